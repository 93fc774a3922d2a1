"""Histograms of oriented gradients of a whole image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.layers.orientation import (
    both_axes,
    central_differences,
    orientation_responses,
    strongest_channel,
)


@keras.saving.register_keras_serializable(package="tfalign")
class HOG(keras.layers.Layer):
    """Histogram of oriented gradients (Dalal and Triggs), as OpenCV computes it.

    The image is brought to ``size`` × ``size`` pixels by area averaging. Each pixel's gradient is
    split between its two nearest orientations (0–180°) and the nearest cells of each block that
    holds it, weighted by a gaussian at the block's centre; blocks are normalised by L2-Hys. A block
    histogram is linear in the response maps and separable, so it is one constant matrix on each
    axis instead of a loop over pixels.

    It agrees with ``cv2.HOGDescriptor((64, 64), (16, 16), (8, 8), (8, 8), 9, 1, -1, 0, 0.2, g)``
    in values and in their order, where ``g`` is ``gamma_correction``; the constructor of
    five arguments leaves gamma correction out. Computed in float32 under any policy; only the
    result is cast.

    Args:
        size: Side of the square window in pixels.
        block: Side of a block in pixels, a multiple of ``cell``.
        stride: Distance of neighbouring blocks in pixels; it divides ``size - block``.
        cell: Side of a cell in pixels.
        bins: Orientations on the half circle.
        gamma_correction: Whether gradients are taken of the pixel values' square roots, as by
            OpenCV's constructor without arguments.
        clip: Largest value between the two normalisations of L2-Hys.

    Input shape:
        (batch, H, W, 1) grey or (batch, H, W, 3), values in [0, 255], H and W at least ``size``.
        Of three channels, each pixel takes the one of the largest gradient.

    Output shape:
        (batch, blocks² · (block / cell)² · bins); 1,764 for the defaults. Blocks column by column,
        in a block cells column by column, bins innermost, as OpenCV orders them.

    Reference:
        Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; the
        global feature of Shi et al., "Deep Regression for Face Alignment", 2014, section 3.2.2.

    Reading:
        The DeepReg paper prints block stride 16; its 1,764 dimensions are those of stride 8.

    Raises:
        ValueError: If the sizes do not divide, or the input is too small or has other channels.
    """

    def __init__(
        self,
        size: int = 64,
        block: int = 16,
        stride: int = 8,
        cell: int = 8,
        bins: int = 9,
        gamma_correction: bool = True,
        clip: float = 0.2,
        **kwargs: Any,
    ) -> None:
        # Half precision would round pixel values before they are subtracted.
        super().__init__(**{**kwargs, "autocast": False})
        if min(size, block, stride, cell) < 1 or block % cell or (size - block) % stride:
            raise ValueError(
                "`cell` must divide `block`, and `stride` the rest of `size` beside one block. "
                f"Received: size={size}, block={block}, stride={stride}, cell={cell}"
            )
        if bins < 2 or size < block or not clip > 0:
            raise ValueError(
                "`bins` must be at least 2, `size` at least `block`, `clip` positive. "
                f"Received: bins={bins}, size={size}, block={block}, clip={clip}"
            )
        self.size, self.block = int(size), int(block)
        self.stride, self.cell = int(stride), int(cell)
        self.bins, self.gamma_correction, self.clip = int(bins), bool(gamma_correction), float(clip)

    @property
    def blocks(self) -> int:
        """Number of blocks on each axis."""
        return (self.size - self.block) // self.stride + 1

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        self.built = True

    def call(self, images: Any) -> Any:
        maps = ops.transpose(ops.cast(images, "float32"), (0, 3, 1, 2))
        if tuple(maps.shape[2:]) != (self.size, self.size):
            rows, columns = (area_average(int(side), self.size) for side in maps.shape[2:])
            maps = both_axes(rows, maps, columns)
        if self.gamma_correction:
            # The floor keeps the gradient of black pixels finite.
            maps = ops.sqrt(ops.maximum(maps, 1e-8))
        dx, dy = strongest_channel(*central_differences(ops.transpose(maps, (0, 2, 3, 1))))
        maps = orientation_responses(dx, dy, self.bins, signed=False, first=0.5)

        # -- Block histograms: (b, bins, blocks · cells along y, blocks · cells along x)
        spread = self._spread()
        histograms = both_axes(spread, maps, spread)
        cells, blocks = self.block // self.cell, self.blocks
        # To (b · block x, cell x, block y, (cell y, bin)), then blocks before cells.
        histograms = ops.transpose(histograms, (0, 3, 2, 1))
        histograms = ops.reshape(histograms, (-1, cells, blocks, cells * self.bins))
        histograms = ops.transpose(histograms, (0, 2, 1, 3))
        length = cells * cells * self.bins
        histograms = ops.reshape(histograms, (-1, blocks * blocks, length))

        # -- L2-Hys, with OpenCV's constants
        histograms = histograms / (_norm(histograms) + 0.1 * length)
        histograms = ops.minimum(histograms, self.clip)
        histograms = histograms / (_norm(histograms) + 1e-3)
        features = ops.reshape(histograms, (-1, blocks * blocks * length))
        return ops.cast(features, self.compute_dtype)

    def _spread(self) -> np.ndarray:
        """Returns (blocks · cells, size): each pixel's weight in each cell of each block."""
        cells = self.block // self.cell
        inside = np.arange(self.block)
        # OpenCV takes sigma = (block width + block height) / 8, and, for the gaussian alone, pixel
        # i to lie at i.
        window = np.exp(-((inside - self.block / 2) ** 2) / (2 * (self.block / 4) ** 2))
        place = (inside + 0.5) / self.cell - 0.5
        share = np.maximum(0.0, 1.0 - np.abs(place[None] - np.arange(cells)[:, None]))
        spread = np.zeros((self.blocks, cells, self.size), np.float32)
        for index in range(self.blocks):
            start = index * self.stride
            spread[index, :, start : start + self.block] = share * window
        return spread.reshape(-1, self.size)

    def _check(self, shape: Any) -> None:
        if (
            len(shape) != 4
            or shape[3] not in (1, 3)
            or None in shape[1:3]
            or min(shape[1:3]) < self.size
        ):
            raise ValueError(
                f"HOG takes images (batch, H, W, 1 or 3) with H and W at least size={self.size}. "
                f"Received: input_shape={tuple(shape)}"
            )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check(input_shape)
        cells = self.block // self.cell
        return (input_shape[0], self.blocks**2 * cells**2 * self.bins)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "block": self.block,
            "stride": self.stride,
            "cell": self.cell,
            "bins": self.bins,
            "gamma_correction": self.gamma_correction,
            "clip": self.clip,
        }


def area_average(length: int, size: int) -> np.ndarray:
    """Returns the (size, length) matrix that averages ``length`` pixels over equal spans."""
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0.0) * (size / length)


def _norm(histograms: Any) -> Any:
    squares = ops.sum(histograms * histograms, axis=-1, keepdims=True)
    return ops.sqrt(ops.maximum(squares, 1e-12))
