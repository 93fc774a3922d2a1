"""Custom Keras layers, one per file, on ``keras.ops`` alone."""

from tfalign.layers.box_histogram import BoxHistogram
from tfalign.layers.constant_shape import ConstantShape
from tfalign.layers.crop_transform import CropTransform
from tfalign.layers.gaussian_heatmaps import GaussianHeatmaps
from tfalign.layers.heatmap_argmax import HeatmapArgmax
from tfalign.layers.hog import HOG
from tfalign.layers.inverse_shape_transform import InverseShapeTransform
from tfalign.layers.landmarkwise_dense import LandmarkwiseDense
from tfalign.layers.local_response_normalization import LocalResponseNormalization
from tfalign.layers.neighbor_features import NeighborFeatures
from tfalign.layers.orientation_integral import OrientationIntegral
from tfalign.layers.patch_network import PatchNetwork
from tfalign.layers.pixel_differences import PixelDifferences
from tfalign.layers.shape_indexed_crop import ShapeIndexedCrop
from tfalign.layers.shape_indexed_patches import ShapeIndexedPatches
from tfalign.layers.shape_indexed_sift import ShapeIndexedSIFT
from tfalign.layers.shape_mixture import ShapeMixture
from tfalign.layers.shape_transform import ShapeTransform
from tfalign.layers.sharable_detectors import SharableDetectors
from tfalign.layers.spatial_transformer import SpatialTransformer

__all__ = [
    "HOG",
    "InverseShapeTransform",
    "BoxHistogram",
    "ConstantShape",
    "CropTransform",
    "GaussianHeatmaps",
    "HeatmapArgmax",
    "LandmarkwiseDense",
    "LocalResponseNormalization",
    "NeighborFeatures",
    "OrientationIntegral",
    "PatchNetwork",
    "PixelDifferences",
    "ShapeIndexedCrop",
    "ShapeIndexedPatches",
    "ShapeIndexedSIFT",
    "ShapeTransform",
    "SpatialTransformer",
    "ShapeMixture",
    "SharableDetectors",
]
