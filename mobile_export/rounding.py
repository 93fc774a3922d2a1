"""What quantization-aware training rounds, and how. Only ``tuning_methods`` imports this file."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

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
