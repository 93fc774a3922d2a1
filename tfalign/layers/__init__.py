"""Custom Keras layers, one per file, on ``keras.ops`` alone."""

from tfalign.layers.landmarkwise_dense import LandmarkwiseDense
from tfalign.layers.shape_indexed_crop import ShapeIndexedCrop

__all__ = ["LandmarkwiseDense", "ShapeIndexedCrop"]
