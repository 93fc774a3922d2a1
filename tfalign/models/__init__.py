"""The architectures of the five papers, as Keras models."""

from tfalign.models.architectures import ARCHITECTURES, Architecture, architecture, register
from tfalign.models.ccnn import CCNN
from tfalign.models.deepreg import DeepReg
from tfalign.models.direct_regression import DirectRegression, TSRBaseline1, TSRBaseline2
from tfalign.models.dssd import DSSD
from tfalign.models.ensemble import Ensemble
from tfalign.models.greglref import GRegLRef, GRegNet
from tfalign.models.landmark_model import LandmarkModel
from tfalign.models.rdssd import RDSSD
from tfalign.models.saved import load_model
from tfalign.models.transfer import Transfer, transfer
from tfalign.models.two_stage import TwoStage
from tfalign.models.weights import load, save_weights, shipped_presets, shipped_tflite

__all__ = [
    "ARCHITECTURES",
    "CCNN",
    "DSSD",
    "RDSSD",
    "Architecture",
    "DeepReg",
    "DirectRegression",
    "Ensemble",
    "GRegLRef",
    "GRegNet",
    "LandmarkModel",
    "TSRBaseline1",
    "TSRBaseline2",
    "Transfer",
    "TwoStage",
    "architecture",
    "load",
    "load_model",
    "register",
    "save_weights",
    "shipped_presets",
    "shipped_tflite",
    "transfer",
]
