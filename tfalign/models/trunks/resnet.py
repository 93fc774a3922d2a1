"""ResNet-18 as GRegLRef uses it (Table 1)."""

from __future__ import annotations

from typing import Any

from keras import layers

from tfalign.models.trunks.blocks import conv_bn, scaled


def basic_block(x: Any, filters: int, strides: int, name: str) -> Any:
    """Two 3×3 convolutions and a shortcut, projected where the stride or the width changes."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = conv_bn(x, filters, 1, strides, activation=False, name=f"{name}_shortcut")
    y = conv_bn(x, filters, 3, strides, name=f"{name}_1")
    y = conv_bn(y, filters, 3, activation=False, name=f"{name}_2")
    y = layers.Add(name=f"{name}_add")([y, shortcut])
    return layers.ReLU(name=f"{name}_relu")(y)


def resnet18(images: Any, width: float = 1.0) -> tuple[list[Any], Any]:
    """Builds the trunk.

    Args:
        images: (batch, H, W, 3), scaled.
        width: Multiplier on all channel counts; 1.0 is the paper's.

    Returns:
        The shallow feature maps that refinement reads, finest first (conv1 at H×W, res1 at H/2×W/2,
        res2 at H/4×W/4), and the final map at H/16×W/16.

    Reading:
        Table 1 taken literally has 11.30 M parameters and 1.7302 GMACC; a 1×1 convolution in front
        of gdconv makes every printed digit of Table 6 agree, so it is part of the trunk.
    """
    # Not below 16: TensorFlow 2.21's oneDNN crashes in the filter gradient of a 1×1 convolution of
    # stride 2 with 8 input channels and two threads.
    channels = [scaled(c, width, smallest=16) for c in (64, 64, 128, 256, 512)]
    # -- Table 1, conv1
    x = conv_bn(images, channels[0], 3, name="conv1")
    maps = [x]
    # -- Table 1, res1 to res4
    for stage, filters in enumerate(channels[1:], start=1):
        x = basic_block(x, filters, 2, name=f"res{stage}_1")
        x = basic_block(x, filters, 1, name=f"res{stage}_2")
        maps.append(x)
    # -- the 1×1 convolution that Table 6 implies
    x = conv_bn(x, channels[4], 1, name="conv5")
    return maps[:3], x
