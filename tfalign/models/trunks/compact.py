"""A trunk of dense 3×3 convolutions, for phones and for training on a CPU."""

from __future__ import annotations

from typing import Any

from tfalign.models.trunks.blocks import conv_bn, conv_residual, scaled


def compact(images: Any, width: float = 1.0) -> tuple[list[Any], Any]:
    """Builds the trunk: dense 3×3 convolutions from the first layer to the last but one.

    Multiplications are not time: on a CPU, one in a dense convolution takes less than half of one
    in the depthwise pairs of ``trunks.mobile``, in training and in ``.tflite`` files.

    Args:
        images: (batch, H, W, 3), scaled.
        width: Multiplier on all channel counts.

    Returns:
        The shallow feature maps that refinement reads, finest first (H/2×W/2, H/4×W/4, H/8×W/8),
        and the final map at H/16×W/16. The design is ours, not the paper's.
    """
    c0, c1, c2, c3, c4 = (scaled(c, width) for c in (16, 32, 80, 160, 256))
    x = conv_bn(images, c0, 3, 2, name="stem")
    x = conv_residual(x, c0, 1, name="fine")
    maps = [x]
    for stage, (channels, blocks) in enumerate(((c1, 2), (c2, 3), (c3, 3)), start=1):
        for block in range(1, blocks + 1):
            strides = 2 if block == 1 else 1
            x = conv_residual(x, channels, strides, name=f"stage{stage}_{block}")
        maps.append(x)
    x = conv_bn(x, c4, 1, name="head")
    return maps[:3], x
