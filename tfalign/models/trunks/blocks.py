"""Convolution blocks shared by the trunks."""

from __future__ import annotations

from typing import Any

from keras import layers

# Moving statistics over about fifty batches. The usual 0.9 remembers ten: at 32 faces a batch, the
# held-out error of a model whose weights hardly move any more still swung by a tenth of itself.
BN_MOMENTUM = 0.98


def scaled(channels: int, width: float, smallest: int = 8) -> int:
    """Returns ``channels · width`` rounded to a multiple of 8, at least ``smallest``.

    Width 1.0 returns ``channels`` unchanged.
    """
    if width == 1.0:
        return channels
    return max(smallest, round(channels * width / 8) * 8)


def conv_bn(
    x: Any,
    filters: int,
    kernel: int,
    strides: int = 1,
    activation: bool = True,
    padding: str = "same",
    name: str = "",
) -> Any:
    """Convolution without bias, batch normalisation, and (if asked) ReLU."""
    # Torch-style padding of 1 on every side and Keras's "same" differ on even sizes with stride 2:
    # "same" puts the odd row after the map. The arithmetic and the counts are equal.
    x = layers.Conv2D(
        filters,
        kernel,
        strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activation else x


def depthwise_bn(
    x: Any,
    kernel: int,
    strides: int = 1,
    activation: bool = True,
    padding: str = "same",
    name: str = "",
) -> Any:
    """Depthwise convolution without bias, batch normalisation, and (if asked) ReLU."""
    x = layers.DepthwiseConv2D(
        kernel,
        strides,
        padding=padding,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_dwconv",
    )(x)
    x = layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activation else x


def conv_residual(x: Any, filters: int, strides: int, name: str) -> Any:
    """3×3 convolution with batch normalisation and ReLU; a shortcut where the shapes agree."""
    y = conv_bn(x, filters, 3, strides, name=name)
    if strides == 1 and x.shape[-1] == filters:
        return layers.Add(name=f"{name}_add")([x, y])
    return y
