"""What tensorflow-model-optimization does to a twin before it is trained on, and how it is undone.

Only ``tuning_process`` imports this file: it needs ``tf_keras`` as TensorFlow's Keras.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras.prunable_layer import PrunableLayer

from mobile_export.tuning_copy import Twin
from mobile_export.tuning_copy_layers import Wrapped

CUSTOM = {"Wrapped": Wrapped}
_quantizers = tfmot.quantization.keras.quantizers
KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel", "Dense": "kernel"}
"""Layers whose kernels are rounded, and what the kernel is called."""
MAPS = ("BatchNormalization", "ReLU", "PReLU", "Activation", "Add", "Concatenate")
MAPS = (*MAPS, "MaxPooling2D", "AveragePooling2D", "Conv2D", "DepthwiseConv2D")
"""Layers whose results are rounded where they are feature maps."""
MERGED = ("BatchNormalization", "ReLU", "PReLU", "Activation")
"""Layers that the converter merges into the one before, so that nothing is rounded between."""


def kernel_name(layer: Any) -> str | None:
    """Returns the name of a layer's kernel; None where none is rounded."""
    return KERNELS.get(type(layer).__name__)


def ends_a_block(layer: Any) -> bool:
    """Whether the exported file holds a layer's result as int8: features, at the end of a block."""
    kind = type(layer).__name__
    if kind == "Dense":
        # Without activation function it makes coordinates or parameters, which stay float.
        features = tf_keras.activations.serialize(layer.activation) != "linear"
    else:
        features = kind in MAPS and len(layer.output_shape) == 4
    readers = [type(node.layer).__name__ for node in layer.outbound_nodes]
    return features and bool(readers) and not all(reader in MERGED for reader in readers)


def range_of(layer: Any) -> tuple[Any, Any] | None:
    """Returns the variables (smallest, largest) of a wrapped layer's result, if it is rounded."""
    ends = {weight.name.split(":")[0].split("/")[-1]: weight for weight in layer.weights}
    pair = ends.get("output_min"), ends.get("output_max")
    return None if pair[0] is None or pair[1] is None else pair


class PerOutput(_quantizers.Quantizer):
    """Rounds a kernel to −127 … 127 with a scale for each output, taken from the kernel itself.

    The toolkit's own keeps one scale for all channels of a depthwise convolution; the exported file
    has one for each.
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        del tensor_shape, name, layer
        return {}

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        del training, weights, kwargs
        # A depthwise kernel is (height, width, channels, multiplier): each channel is an output.
        depthwise = len(inputs.shape) == 4 and inputs.shape[-1] == 1
        outputs = inputs.shape[-2] if depthwise else inputs.shape[-1]
        rows = tf.reshape(inputs, (-1, outputs))
        largest = tf.maximum(tf.reduce_max(tf.abs(tf.stop_gradient(rows)), axis=0), 1e-9)
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            rows, -largest, largest, num_bits=8, narrow_range=True
        )
        return tf.reshape(rounded, inputs.shape)

    def get_config(self) -> dict[str, Any]:
        return {}


class Rounding(tfmot.quantization.keras.QuantizeConfig):
    """What of one layer is rounded.

    Args:
        kernel: Name of the kernel, or None.
        output: Whether the result is, with one range for all of it.
    """

    def __init__(self, kernel: str | None, output: bool) -> None:
        self.kernel, self.output = kernel, bool(output)

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        return [(getattr(layer, self.kernel), PerOutput())] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        if self.kernel:
            setattr(layer, self.kernel, quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        return None

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        if not self.output:
            return []
        average = _quantizers.MovingAverageQuantizer
        return [average(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "output": self.output}


class Method:
    """Base: how layers are wrapped, and where the trained values are found afterwards.

    Attributes:
        prefix: What the toolkit puts before a wrapped layer's name.
    """

    prefix = ""

    def apply(self, model: Any, steps: int) -> Any:
        """Returns the model to train, for ``steps`` optimizer steps."""
        raise NotImplementedError(f"{type(self).__name__} must define `apply`.")

    def prepare(self, model: Any, twin: Twin, batches: Iterable[Any]) -> None:
        """Brings what the method adds to the model to its start, from a few batches of pictures."""

    def callbacks(self) -> list[Any]:
        """Returns callbacks that must see every step."""
        return []

    def base_name(self, name: str) -> str:
        """Returns the twin's name of a layer of the model in training."""
        return name.removeprefix(self.prefix)

    def weights(self, model: Any, twin: Twin) -> dict[str, list[Any]]:
        """Returns the trained weights of every twin layer, in its order."""
        raise NotImplementedError(f"{type(self).__name__} must define `weights`.")


class Quantized(Method):
    """Quantization-aware training: kernels and feature maps are rounded as int8 will round them.

    Kernels get a scale for each output, as the exported file has them; maps are rounded where a
    block ends (behind the activation, not between a convolution and its normalisation, which the
    file merges). Coordinates stay as they are: adding shapes and the outputs of dense layers
    without activation function are not rounded; the kernels of the latter are.
    """

    prefix = "quant_"

    def apply(self, model: Any, steps: int) -> Any:
        del steps
        annotate = tfmot.quantization.keras.quantize_annotate_layer

        def wrap(layer: Any) -> Any:
            rounding = Rounding(kernel_name(layer), ends_a_block(layer))
            return annotate(layer, rounding) if rounding.kernel or rounding.output else layer

        annotated = tf_keras.models.clone_model(model, clone_function=wrap)
        annotated.set_weights(model.get_weights())
        with tfmot.quantization.keras.quantize_scope({**CUSTOM, "Rounding": Rounding}):
            return tfmot.quantization.keras.quantize_apply(annotated)

    def prepare(self, model: Any, twin: Twin, batches: Iterable[Any]) -> None:
        """Sets the range of every rounded map to what the model reaches on these pictures.

        The toolkit starts a range at -6 … 6 and moves it by a thousandth with each step, which a
        short training would have to live with.
        """
        rounded = [layer for layer in model.layers if range_of(layer)]
        outputs = [twin.model.get_layer(self.base_name(layer.name)).output for layer in rounded]
        observe = tf_keras.Model(twin.model.input, outputs)
        lows, highs = [], []
        for pictures in batches:
            values = observe(pictures, training=False)
            lows.append([float(tf.reduce_min(value)) for value in values])
            highs.append([float(tf.reduce_max(value)) for value in values])
        for layer, low, high in zip(rounded, np.min(lows, 0), np.max(highs, 0), strict=True):
            smallest, largest = range_of(layer)
            # Zero stays inside, since padding must be one of the 256 values.
            smallest.assign(min(0.0, low))
            largest.assign(max(1e-3, high))

    def weights(self, model: Any, twin: Twin) -> dict[str, list[Any]]:
        names = {layer.name: layer for layer in model.layers}
        found = {}
        for name in twin.originals:
            layer = names.get(self.prefix + name) or names[name]
            trained = {_leaf(weight): weight.numpy() for weight in layer.weights}
            # The quantizers' own variables have other names (`output_min`, `optimizer_step`).
            found[name] = [trained[_leaf(w)] for w in twin.model.get_layer(name).weights]
        return found


class Pruned(Method):
    """Magnitude pruning: the smallest entries of each kernel become zero and stay so.

    Args:
        sparsity: Share of zeros reached at half of the steps.
    """

    prefix = "prune_low_magnitude_"

    def __init__(self, sparsity: float) -> None:
        self.sparsity = sparsity
        PrunableLayer.register(Wrapped)

    def apply(self, model: Any, steps: int) -> Any:
        keras = tfmot.sparsity.keras
        schedule = keras.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=self.sparsity,
            begin_step=0,
            end_step=max(1, steps // 2),
            frequency=max(1, steps // 50),
        )

        def wrap(layer: Any) -> Any:
            kernels = isinstance(layer, Wrapped) and layer.get_prunable_weights()
            if type(layer).__name__ in ("Conv2D", "Dense") or kernels:
                return keras.prune_low_magnitude(layer, pruning_schedule=schedule)
            return layer

        return _cloned(model, wrap)

    def callbacks(self) -> list[Any]:
        return [tfmot.sparsity.keras.UpdatePruningStep()]

    def weights(self, model: Any, twin: Twin) -> dict[str, list[Any]]:
        with tf_keras.utils.custom_object_scope(CUSTOM):
            return _by_name(tfmot.sparsity.keras.strip_pruning(model), twin)


class Clustered(Method):
    """Weight clustering: each kernel holds a few different values, trained as centroids.

    Args:
        clusters: Number of values.
    """

    prefix = "cluster_"

    def __init__(self, clusters: int) -> None:
        self.clusters = clusters

    def apply(self, model: Any, steps: int) -> Any:
        del steps
        keras = tfmot.clustering.keras
        start = keras.CentroidInitialization.KMEANS_PLUS_PLUS

        def wrap(layer: Any) -> Any:
            if type(layer).__name__ in ("Conv2D", "Dense"):
                return keras.cluster_weights(
                    layer, number_of_clusters=self.clusters, cluster_centroids_init=start
                )
            return layer

        return _cloned(model, wrap)

    def weights(self, model: Any, twin: Twin) -> dict[str, list[Any]]:
        with tf_keras.utils.custom_object_scope(CUSTOM):
            return _by_name(tfmot.clustering.keras.strip_clustering(model), twin)


def method(job: dict[str, Any]) -> Method:
    """Returns the method of a job's kind."""
    if job["kind"] == "pruned":
        return Pruned(job["sparsity"])
    if job["kind"] == "clustered":
        return Clustered(job["clusters"])
    return Quantized()


def _cloned(model: Any, wrap: Any) -> Any:
    """Clones a model with wrapped layers that start from its weights."""

    # Pruning and clustering read a layer's weights when they wrap it, so each layer is rebuilt
    # and filled first.
    def rebuilt(layer: Any) -> Any:
        copy = type(layer).from_config(layer.get_config())
        if layer.weights:
            copy.build(layer.input_shape)
            copy.set_weights(layer.get_weights())
        return wrap(copy)

    return tf_keras.models.clone_model(model, clone_function=rebuilt)


def _by_name(model: Any, twin: Twin) -> dict[str, list[Any]]:
    return {name: model.get_layer(name).get_weights() for name in twin.originals}


def _leaf(weight: Any) -> str:
    return weight.name.split(":")[0].split("/")[-1]
