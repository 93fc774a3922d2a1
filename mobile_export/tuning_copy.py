"""The ``tf_keras`` twin of a Keras 3 model, made layer by layer.

TensorFlow's model-optimization toolkit knows the layers of Keras 2 (``tf_keras``) only. A twin has
the same graph, names and weights: ordinary layers become their ``tf_keras`` namesakes, which the
toolkit can quantize, prune and cluster; every other layer or operation is wrapped
(``tuning_copy_layers.Wrapped``) and runs its own Keras 3 code.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_export.converter import require_tensorflow_backend
from tfalign.tflite import require

NATIVE = (
    "Conv2D",
    "DepthwiseConv2D",
    "Dense",
    "BatchNormalization",
    "ReLU",
    "PReLU",
    "Activation",
    "Add",
    "Concatenate",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "ZeroPadding2D",
    "Flatten",
    "Reshape",
    "Dropout",
)
"""Layers with a namesake of equal arithmetic in ``tf_keras``."""


@dataclass(frozen=True)
class Twin:
    """A ``tf_keras`` model and its way back.

    Attributes:
        model: The ``tf_keras`` model; its outputs are a list.
        output_names: Keys of the original's outputs in the order of ``model.outputs``; ``""`` for
            a model with one unnamed output.
        originals: Name of a twin layer → the Keras 3 layer it stands for, where it has weights.
    """

    model: Any
    output_names: tuple[str, ...]
    originals: dict[str, Any]

    def outputs(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Runs the twin and names its outputs."""
        values = self.model(images, training=training)
        values = values if isinstance(values, (list, tuple)) else [values]
        return dict(zip(self.output_names, values, strict=True))


def build(model: Any) -> Twin:
    """Returns the twin of a functional Keras 3 model.

    Args:
        model: A functional ``keras.Model`` with one input; models inside it are taken apart too.

    Raises:
        ValueError: If the model is not functional or has several inputs.
        ImportError: If the optional packages are missing.
    """
    require("tf_keras")
    require_tensorflow_backend()
    import keras
    import tf_keras

    if not hasattr(model, "_run_through_graph") or len(model.inputs) != 1:
        raise ValueError(
            "A twin is made of a functional Keras 3 model with one input. Received: "
            f"model={type(model).__name__}"
        )
    image = tf_keras.Input(model.inputs[0].shape[1:], dtype="float32", name=model.inputs[0].name)
    builder = _Builder()
    outputs = builder.run(model, image)
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    flat = {name: keras.tree.flatten(value)[0] for name, value in named.items()}
    twin = tf_keras.Model(image, list(flat.values()), name=model.name)
    for name, layer in builder.originals.items():
        twin.get_layer(name).set_weights([np.asarray(v) for v in weights_of(layer)])
    return Twin(twin, tuple(flat), builder.originals)


def weights_of(layer: Any) -> list[Any]:
    """Returns a Keras 3 layer's weights in the order of its twin's."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


class _Builder:
    """Runs a model's graph on ``tf_keras`` tensors, making each layer's twin when first met."""

    def __init__(self) -> None:
        self.originals: dict[str, Any] = {}
        self._twins: dict[tuple[int, Any], Any] = {}
        self._names: set[str] = set()

    def run(self, model: Any, inputs: Any) -> Any:
        # Keras has no public way to run its graph with other operations; this is the method that
        # its own clone_model uses.
        return model._run_through_graph(inputs, operation_fn=lambda op: op, call_fn=self.call)

    def call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        import keras

        if isinstance(operation, keras.Model) and hasattr(operation, "_run_through_graph"):
            return self.run(operation, args[0])
        if _is_native(operation, args, kwargs):
            layer = self._once((id(operation), None), lambda: self._native(operation))
            return layer(args[0])
        return self._wrapped(operation, args, kwargs)

    def _native(self, operation: Any) -> Any:
        import keras
        import tf_keras

        kind = getattr(tf_keras.layers, type(operation).__name__)
        accepted = set(inspect.signature(kind.__init__).parameters)
        config = {k: v for k, v in operation.get_config().items() if k in accepted}
        # Weights are copied and training starts from them: initial values and penalties stay.
        config = {k: v for k, v in config.items() if not k.endswith(_TRAINING_SETTINGS)}
        if "activation" in config:
            config["activation"] = keras.activations.serialize(operation.activation)
        if kind is tf_keras.layers.BatchNormalization:
            # The fused kernel rounds differently and corrects the variance for the batch's size;
            # Keras 3 does neither.
            config["fused"] = False
        name = self._register(operation)
        return kind(**{**config, "name": name, "dtype": "float32"})

    @staticmethod
    def _is_tensor(value: Any) -> bool:
        import tf_keras

        # tf_keras's own question raises an error for what is no tensor at all.
        return isinstance(value, tf_keras.__internal__.KerasTensor)

    def _wrapped(self, operation: Any, args: Any, kwargs: Any) -> Any:
        import keras

        from mobile_export.tuning_copy_layers import Call, Wrapped

        structure = (args, kwargs)
        tensors = [x for x in keras.tree.flatten(structure) if self._is_tensor(x)]
        call = Call.record(operation, structure, self._is_tensor)
        layer = self._once(
            (id(operation), call.template),
            lambda: Wrapped(call.key, name=self._register(operation), dtype="float32"),
        )
        return layer(tensors)

    def _once(self, key: tuple[int, Any], make: Any) -> Any:
        if key not in self._twins:
            self._twins[key] = make()
        return self._twins[key]

    def _register(self, operation: Any) -> str:
        """Returns a name that is free, and remembers whose weights it will hold."""
        name, count = operation.name, 1
        while name in self._names:
            name, count = f"{operation.name}_{count}", count + 1
        self._names.add(name)
        if getattr(operation, "weights", None):
            self.originals[name] = operation
        return name


_TRAINING_SETTINGS = ("_initializer", "_regularizer", "_constraint")


def _is_native(operation: Any, args: Any, kwargs: Any) -> bool:
    import keras

    del kwargs  # native layers take their settings from the configuration alone
    return (
        type(operation).__name__ in NATIVE
        and type(operation).__module__.startswith("keras.")
        and isinstance(operation, keras.Layer)
        and len(args) == 1
        and getattr(operation, "data_format", "channels_last") in ("channels_last", None)
    )
