"""The architectures of the five papers, as Keras models."""

from tfalign.models.deepreg import DeepReg
from tfalign.models.greglref import GRegLRef, GRegNet
from tfalign.models.landmark_model import LandmarkModel
from tfalign.models.weights import from_preset, save_weights, shipped_presets

__all__ = [
    "DeepReg",
    "GRegLRef",
    "GRegNet",
    "LandmarkModel",
    "from_preset",
    "save_weights",
    "shipped_presets",
]
