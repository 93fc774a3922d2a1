"""A trunk for phones, and for training on a CPU."""

from __future__ import annotations

from typing import Any

from keras import layers

from tfalign.models.trunks.blocks import conv_bn, conv_residual, depthwise_bn, scaled


def inverted_residual(x: Any, filters: int, strides: int, expansion: int, name: str) -> Any:
    """1×1 expansion, 3×3 depthwise, 1×1 projection; a shortcut where the shapes agree."""
    y = conv_bn(x, x.shape[-1] * expansion, 1, name=f"{name}_expand")
    y = depthwise_bn(y, 3, strides, name=f"{name}_depthwise")
    y = conv_bn(y, filters, 1, activation=False, name=f"{name}_project")
    if strides == 1 and x.shape[-1] == filters:
        return layers.Add(name=f"{name}_add")([x, y])
    return y


def mobile(images: Any, width: float = 1.0) -> tuple[list[Any], Any]:
    """Builds the trunk: full convolutions while maps are large, then inverted residuals.

    Args:
        images: (batch, H, W, 3), scaled.
        width: Multiplier on all channel counts.

    Returns:
        The shallow feature maps that refinement reads, finest first (H/2×W/2, H/4×W/4, H/8×W/8),
        and the final map at H/16×W/16. The design is ours, not the paper's.
    """
    c0, c1, c2, c3, c4, c5 = (scaled(c, width) for c in (16, 24, 40, 80, 144, 256))
    x = conv_bn(images, c0, 3, 2, name="stem")
    x = conv_residual(x, c1, 1, name="fine")
    maps = [x]
    x = conv_residual(x, c2, 2, name="stage1_1")
    x = conv_residual(x, c2, 1, name="stage1_2")
    maps.append(x)
    x = inverted_residual(x, c3, 2, 2, name="stage2_1")
    x = inverted_residual(x, c3, 1, 2, name="stage2_2")
    x = inverted_residual(x, c3, 1, 2, name="stage2_3")
    maps.append(x)
    x = inverted_residual(x, c4, 2, 3, name="stage3_1")
    x = inverted_residual(x, c4, 1, 3, name="stage3_2")
    x = conv_bn(x, c5, 1, name="head")
    return maps, x
