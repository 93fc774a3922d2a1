"""The counter's rule for descriptors against products counted one by one."""

import keras
import numpy as np

import tfalign.macc as macc
from tfalign.layers import HOG, BoxHistogram, OrientationIntegral, ShapeIndexedSIFT
from tfalign.models import DeepReg


def products(left: np.ndarray, right: np.ndarray) -> int:
    """Multiply-adds of a dense matrix product, from a product of ones."""
    return int((np.ones(left.shape) @ np.ones(right.shape)).sum())


def two_axes(rows, height, width, columns) -> int:
    inner = products(np.ones((height, width)), np.ones((width, columns)))
    return inner + products(np.ones((rows, height)), np.ones((height, columns)))


def test_hog_counts_its_matrices_as_resampling() -> None:
    at_size = macc.count(_model(HOG(), (64, 64, 1)))
    resampling = sum(layer.cost.resampling for layer in at_size.layers)
    assert resampling == 9 * two_axes(14, 64, 64, 14)
    larger = macc.count(_model(HOG(), (128, 96, 3)))
    more = sum(layer.cost.resampling for layer in larger.layers)
    assert more == resampling + 3 * two_axes(64, 128, 96, 64)
    assert at_size.macc == larger.macc == 0


def test_integral_and_boxes_make_up_sift() -> None:
    images, points = (20, 24, 1), (5, 2)
    integral = macc.count(_model(OrientationIntegral(), images))
    boxes = macc.count(_model(BoxHistogram(8), (21, 25, 8), points))
    whole = macc.count(_model(ShapeIndexedSIFT(8), images, points))

    def column(report, name: str) -> int:
        return sum(getattr(layer.cost, name) for layer in report.layers)

    assert column(integral, "resampling") == 8 * two_axes(21, 20, 24, 25)
    # Per landmark and map: 5 pairs of rows of 10 columns are blended, then 4 rows of 5 pairs.
    assert column(boxes, "resampling") == 5 * 8 * 2 * (5 * 10 + 4 * 5)
    for name in ("resampling", "elementwise", "bias_norm"):
        assert column(whole, name) == column(integral, name) + column(boxes, name)
    assert column(boxes, "bias_norm") == 2 * 5 * 128


def test_deepreg_report_names_the_descriptors() -> None:
    report = macc.count(DeepReg(scheme="ibug68"))
    resampling = {layer.name: layer.cost.resampling for layer in report.layers}
    assert all(resampling[name] > 0 for name in ("hog", "maps", "sift_1", "sift_5"))
    assert report.macc == 136 * (1764 + 5 * 68 * 128)


def _model(layer, *shapes) -> keras.Model:
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
