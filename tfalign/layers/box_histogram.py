"""SIFT-like histograms around landmarks, read from integral images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

CELLS = 4


@keras.saving.register_keras_serializable(package="tfalign")
class BoxHistogram(keras.layers.Layer):
    """Describes the square around each landmark by 4×4 cell sums of every response map.

    All 25 corners of a landmark's cells share one fractional offset. Between its samples an
    integral image is bilinear, so one integer gather and one blend give exact sums over cells at
    any position: pixels count by the area that a cell covers. Pixels outside the image are 0.

    Backward, the descriptor's derivative by its landmark is the central difference

        ψ_x = (h(x + ε, y) − h(x − ε, y)) / 2ε,    ψ_y likewise                 (Equations 9, 10)

    and a landmark's descriptor depends on no other landmark (Equation 8: the Jacobian is
    block-diagonal). The integral images get no gradient: they are features of the input image.

    Args:
        patch: Side of the square in pixels, a multiple of 4.
        epsilon: ε in pixels; the paper's is 2.
        clip: Descriptors are scaled to unit length, cut at this value and scaled again, as SIFT
            does; None leaves the sums as they are.

    Call arguments:
        inputs: ``[integrals, landmarks]``.

    Input shape:
        ``integrals`` (batch, H + 1, W + 1, C) of ``OrientationIntegral``; ``landmarks``
        (batch, n, 2), (x, y) in [0, 1]² of the image.

    Output shape:
        (batch, n, 16 · C): cells row by row, maps innermost.

    Reference:
        Shi et al., "Deep Regression for Face Alignment", 2014, sections 3.2 and 3.2.2.

    Raises:
        ValueError: If an argument is out of range, or the inputs are not two tensors of rank 4
            and 3.
    """

    def __init__(
        self, patch: int = 32, epsilon: float = 2.0, clip: float | None = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        if patch < CELLS or patch % CELLS:
            raise ValueError(
                f"`patch` must be a positive multiple of {CELLS}. Received: patch={patch}"
            )
        if not epsilon > 0 or (clip is not None and not clip > 0):
            raise ValueError(
                f"`epsilon` and `clip` must be positive. Received: epsilon={epsilon}, clip={clip}"
            )
        self.patch, self.epsilon = int(patch), float(epsilon)
        self.clip = None if clip is None else float(clip)

    def build(self, input_shape: Any) -> None:
        check_shapes(input_shape, type(self).__name__)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        integrals, landmarks = (ops.cast(x, "float32") for x in inputs)
        rows, columns = (int(side) for side in integrals.shape[1:3])
        size = np.array([columns - 1, rows - 1], "float32")
        described = self._with_central_difference(integrals, landmarks * size)
        return ops.cast(described, self.compute_dtype)

    def _with_central_difference(self, integrals: Any, points: Any) -> Any:
        """Returns the descriptors of points (batch, n, 2) in pixels."""

        @ops.custom_gradient
        def descriptors(integrals: Any, points: Any) -> Any:
            def backward(*arguments: Any, upstream: Any = None) -> tuple[Any, Any]:
                upstream = arguments[0] if upstream is None else upstream
                along_x = np.array([self.epsilon, 0], "float32")
                moved = [points + along_x, points - along_x]
                moved += [points + along_x[::-1], points - along_x[::-1]]
                values = self._describe(integrals, ops.concatenate(moved, axis=1))
                right, left, down, up = ops.split(values, 4, axis=1)
                slopes = [
                    ops.sum(upstream * (ahead - behind), axis=-1) / (2 * self.epsilon)
                    for ahead, behind in ((right, left), (down, up))
                ]
                return ops.zeros_like(integrals), ops.stack(slopes, axis=-1)

            return self._describe(integrals, points), backward

        return descriptors(ops.stop_gradient(integrals), points)

    def _describe(self, integrals: Any, points: Any) -> Any:
        batch, rows, columns, maps = ops.shape(integrals)
        n, cell = int(points.shape[1]), self.patch // CELLS
        # The patch's top left corner; beyond a patch outside the image nothing changes.
        corner = ops.clip(
            points - self.patch / 2,
            -float(self.patch + 1),
            np.array([columns + 1, rows + 1], "float32"),
        )
        whole = ops.floor(corner)
        share_x, share_y = ops.split(ops.reshape(corner - whole, (-1, 1, 1, 2)), 2, axis=-1)
        whole = ops.cast(whole, "int32")

        # -- Gather: per landmark 5 corners on each axis, then the successors of these 5
        side = CELLS + 1
        steps = (np.arange(2)[:, None] + np.arange(side) * cell).reshape(-1).astype("int32")
        xs = ops.clip(whole[..., 0, None] + steps, 0, columns - 1)
        ys = ops.clip(whole[..., 1, None] + steps, 0, rows - 1) * columns
        index = ys[..., :, None] + xs[..., None, :]
        if integrals.shape[0] != 1:
            offset = ops.arange(batch, dtype="int32") * (rows * columns)
            index = index + ops.reshape(offset, (-1, 1, 1, 1))
        values = ops.take(ops.reshape(integrals, (-1, maps)), ops.reshape(index, (-1,)), axis=0)

        # -- Blend and difference along y, then along x. What a step pairs are two halves of an
        # axis, each one long run of numbers: runtimes copy and subtract such runs fastest.
        values = ops.reshape(values, (-1, 1, 2, side * 2 * side * maps))
        values = _blend(values, share_y)
        values = ops.reshape(values, (-1, side, 2 * side * maps))
        values = values[:, 1:] - values[:, :-1]
        values = ops.reshape(values, (-1, CELLS, 2, side * maps))
        values = _blend(values, share_x)
        values = ops.reshape(values, (-1, CELLS, side, maps))
        values = values[:, :, 1:] - values[:, :, :-1]
        values = ops.reshape(values, (-1, n, CELLS * CELLS * maps))
        if self.clip is None:
            return values
        values = ops.minimum(values / _norm(values), self.clip)
        return values / _norm(values)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        integrals, landmarks = check_shapes(input_shape, type(self).__name__)
        return (integrals[0], landmarks[1], CELLS * CELLS * integrals[3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "patch": self.patch,
            "epsilon": self.epsilon,
            "clip": self.clip,
        }


def check_shapes(input_shape: Any, layer: str) -> tuple[Any, Any]:
    """Returns the two input shapes, or raises ``ValueError`` saying what they must be."""
    good = (
        isinstance(input_shape, (list, tuple))
        and len(input_shape) == 2
        and all(isinstance(shape, (list, tuple)) for shape in input_shape)
        and (len(input_shape[0]), len(input_shape[1])) == (4, 3)
        and None not in input_shape[0][1:]
        and input_shape[1][1] is not None
        and input_shape[1][2] == 2
    )
    if not good:
        raise ValueError(
            f"{layer} takes [(batch, H, W, C), landmarks (batch, n, 2)] with all but the batch "
            f"known. Received: input_shape={input_shape}"
        )
    return input_shape[0], input_shape[1]


def _blend(values: Any, share: Any) -> Any:
    """Returns what lies between the two halves (..., 2, k), ``share`` of the way to the second."""
    first, second = ops.split(values, 2, axis=-2)
    return first + share * (second - first)


def _norm(values: Any) -> Any:
    squares = ops.sum(values * values, axis=-1, keepdims=True)
    # A flat patch has the descriptor 0, not noise of unit length.
    return ops.sqrt(ops.maximum(squares, 1e-10)) + 1e-5
