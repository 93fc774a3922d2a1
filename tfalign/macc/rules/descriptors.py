"""Hand-made descriptors: HOG and SIFT-like histograms.

The rule: descriptors interpolate between pixels, cells and orientations, so the multiply-adds of
their constant matrices and blends stand in the resampling column, one per tap; none is a learned
multiply-accumulate. The layers mark the matrices (``tfalign.layers.fixed_map``), so that the count
of a ``.tflite`` file finds them again and puts the same numbers in the same column. What is done to
each pixel alone (differences, magnitude, angle, the split between orientations) is elementwise, and
each scaling to unit length is one normalisation.
"""

from __future__ import annotations

from typing import Any

from tfalign.layers import HOG, BoxHistogram, ConstantShape, OrientationIntegral, ShapeIndexedSIFT
from tfalign.layers.box_histogram import CELLS
from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule

ANGLE = 15
"""Operations per pixel of magnitude and angle: 3 and 12 (ratio, polynomial, two foldings)."""
SPLIT = 7
"""Operations per pixel and orientation of the split between orientations."""


@rule(HOG)
def hog(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Area averaging, then block histograms: on each axis one matrix."""
    batch, height, width, channels = inputs[0]
    side, cells = layer.size, layer.blocks * (layer.block // layer.cell)
    taps = layer.bins * _both_axes(cells, side, side, cells)
    if (height, width) != (side, side):
        taps += channels * _both_axes(side, height, width, side)
    return Cost(
        resampling=batch * taps,
        elementwise=batch * side * side * _per_pixel(channels, layer.bins, layer.gamma_correction),
        bias_norm=2 * size(outputs[0]),
    )


@rule(OrientationIntegral)
def orientation_integral(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Blur and integration: on each axis one matrix that does both."""
    batch, height, width, channels = inputs[0]
    taps = layer.orientations * _both_axes(height + 1, height, width, width + 1)
    pixels = batch * height * width
    return Cost(
        resampling=batch * taps,
        elementwise=pixels * _per_pixel(channels, layer.orientations, scaled=True),
    )


@rule(BoxHistogram)
def box_histogram(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A blend of two rows and one of two columns per corner, and the differences of corners."""
    vectors = inputs[1][0] * inputs[1][1] * inputs[0][-1]  # landmarks times maps
    side = CELLS + 1
    blends = 2 * side * 2 * side + 2 * CELLS * side
    differences = CELLS * 2 * side + CELLS * CELLS
    scalings = 0 if layer.clip is None else 2
    return Cost(
        resampling=vectors * blends,
        elementwise=vectors * differences,
        bias_norm=scalings * size(outputs[0]),
    )


@rule(ShapeIndexedSIFT)
def shape_indexed_sift(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The two layers that it is made of."""
    images, landmarks = inputs
    integrals = (images[0], images[1] + 1, images[2] + 1, layer.integral.orientations)
    return orientation_integral(layer.integral, (images,), (integrals,)) + box_histogram(
        layer.histogram, (integrals, landmarks), outputs
    )


@rule(ConstantShape)
def constant_shape(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Nothing to count."""
    return Cost()


def _both_axes(rows: int, height: int, width: int, columns: int) -> int:
    """Multiply-adds of (rows, height) · (height, width) · (width, columns), the right one first."""
    return height * width * columns + rows * height * columns


def _per_pixel(channels: int, bins: int, scaled: bool) -> int:
    """Operations per pixel: 2 differences for each channel, choosing among several, the rest."""
    choice = 3 * channels + 3 * (channels - 1) if channels > 1 else 0
    return channels * (2 + int(scaled)) + choice + ANGLE + SPLIT * bins
