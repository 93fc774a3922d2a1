"""Running models: back ends (Keras, LiteRT, any callable), crops, and a predictor over them."""

from tfalign.inference.predictor import Predictor, load_predictor

__all__ = ["Predictor", "load_predictor"]
