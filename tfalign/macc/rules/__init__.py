"""Rules of the counter, by kind of layer. Importing this package registers them all."""

from tfalign.macc.rules import descriptors, keras_layers, products, tfalign_layers

__all__ = ["descriptors", "keras_layers", "products", "tfalign_layers"]
