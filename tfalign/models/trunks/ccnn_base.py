"""CCNN's base networks: from the image to a feature map at a quarter of its resolution."""

from __future__ import annotations

from typing import Any

from keras import layers

from tfalign.models.trunks.blocks import conv_bn, scaled


def paper_base(images: Any, features: int, width: float, name: str) -> Any:
    """Builds layers A1 to A7 of Table 2.

    Args:
        images: (batch, H, W, 3), scaled.
        features: Channels of F at width 1: 128 for F¹ and 68 for F², see ``tfalign.models.CCNN``.
        width: Multiplier on all channel counts.
        name: Prefix of the layers' names.

    Returns:
        F, (batch, H/4, W/4, features · width).
    """
    x = conv_bn(images, scaled(64, width), 3, name=f"{name}_a1")
    x = conv_bn(x, scaled(64, width), 3, name=f"{name}_a2")
    x = layers.MaxPooling2D(2, name=f"{name}_a2_pool")(x)
    x = conv_bn(x, scaled(64, width), 3, name=f"{name}_a3")
    x = conv_bn(x, scaled(128, width), 3, name=f"{name}_a4")
    x = layers.MaxPooling2D(2, name=f"{name}_a4_pool")(x)
    x = conv_bn(x, scaled(128, width), 3, name=f"{name}_a5")
    x = conv_bn(x, scaled(128, width), 3, name=f"{name}_a6")
    return conv_bn(x, scaled(features, width), 1, activation=False, name=f"{name}_a7")


def mobile_base(images: Any, features: int, width: float, name: str) -> Any:
    """Builds our base for phones and CPU training: convolutions of stride 2 in place of pools.

    A1 has stride 2 and A2 is left out, A3 is left out and A4 has stride 2: nothing is computed at
    the full resolution. At paper size that is 1.57 GMACC instead of 5.58.
    Arguments and result are those of `paper_base`.
    """
    x = conv_bn(images, scaled(64, width), 3, 2, name=f"{name}_a1")
    x = conv_bn(x, scaled(128, width), 3, 2, name=f"{name}_a4")
    x = conv_bn(x, scaled(128, width), 3, name=f"{name}_a5")
    x = conv_bn(x, scaled(128, width), 3, name=f"{name}_a6")
    return conv_bn(x, scaled(features, width), 1, activation=False, name=f"{name}_a7")
