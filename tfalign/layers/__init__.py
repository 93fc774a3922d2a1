"""Custom Keras layers, one per file, on ``keras.ops`` alone."""

from tfalign.layers.box_histogram import BoxHistogram
from tfalign.layers.constant_shape import ConstantShape
from tfalign.layers.hog import HOG
from tfalign.layers.landmarkwise_dense import LandmarkwiseDense
from tfalign.layers.orientation_integral import OrientationIntegral
from tfalign.layers.shape_indexed_crop import ShapeIndexedCrop
from tfalign.layers.shape_indexed_sift import ShapeIndexedSIFT

__all__ = [
    "HOG",
    "BoxHistogram",
    "ConstantShape",
    "LandmarkwiseDense",
    "OrientationIntegral",
    "ShapeIndexedCrop",
    "ShapeIndexedSIFT",
]
