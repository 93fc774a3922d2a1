"""VGG-S (CNN-S), the network of TSR's global regression."""

from __future__ import annotations

from typing import Any

from keras import layers

from tfalign.layers import LocalResponseNormalization
from tfalign.models.trunks.blocks import BN_MOMENTUM, scaled

SMALLEST = 32
"""Side of the smallest picture that the network takes."""


def vgg_s(
    images: Any,
    width: float = 1.0,
    batch_norm: bool = False,
    dropout: float = 0.5,
    name: str = "face",
) -> tuple[Any, list[Any]]:
    """Builds the network up to its second hidden dense layer.

    conv 7×7×96 stride 2, normalisation, pool 3; conv 5×5×256, pool 2; three times conv 3×3×512,
    pool 3; dense 4096, dense 4096, each with dropout.

    Args:
        images: (batch, H, W, 3), scaled, at least 32 pixels on each side; the paper's are 224×224.
        width: Multiplier on all channel counts; 1.0 is the paper's.
        batch_norm: Whether every convolution and dense layer has batch normalisation (ours, for
            training without ImageNet's weights); local response normalisation is then left out.
        dropout: Rate after each dense layer, in training; the paper's is 0.5.
        name: Prefix of the layers' names.

    Returns:
        (batch, 4096), and the dropout layers.

    Reference:
        Chatfield, Simonyan, Vedaldi, Zisserman, "Return of the Devil in the Details", BMVC 2014,
        Table 1, CNN-S; Lv et al., CVPR 2017, section 3.1.2.

    Reading: padding is CNN-S's (none, 1, 1), and pools round up, as in Caffe: 224 → 109 → 37 → 35
    → 18 → 6 cells.

    Raises:
        ValueError: If the pictures are too small.
    """
    if min(images.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"VGG-S needs pictures of at least {SMALLEST} pixels on each side. Received: "
            f"images.shape={tuple(images.shape)}"
        )

    def normalized(x: Any, layer: str) -> Any:
        if batch_norm:
            x = layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=1e-5, name=f"{layer}_bn")(x)
        return layers.ReLU(name=f"{layer}_relu")(x)

    def conv(x: Any, filters: int, kernel: int, index: int, strides: int = 1, pad: int = 0) -> Any:
        layer = f"{name}_conv{index}"
        if pad and kernel != 2 * pad + 1:
            x = layers.ZeroPadding2D(pad, name=f"{layer}_pad")(x)
        x = layers.Conv2D(
            scaled(filters, width),
            kernel,
            strides,
            padding="same" if kernel == 2 * pad + 1 else "valid",
            use_bias=not batch_norm,
            kernel_initializer="he_normal",
            name=layer,
        )(x)
        return normalized(x, layer)

    def pool(x: Any, size: int, index: int) -> Any:
        return layers.MaxPooling2D(size, padding="same", name=f"{name}_pool{index}")(x)

    # -- CNN-S, conv1 to conv5
    x = conv(images, 96, 7, 1, strides=2)
    if not batch_norm:
        x = LocalResponseNormalization(name=f"{name}_lrn")(x)
    x = pool(x, 3, 1)
    x = pool(conv(x, 256, 5, 2, pad=1), 2, 2)
    for index in (3, 4, 5):
        x = conv(x, 512, 3, index, pad=1)
    x = layers.Flatten(name=f"{name}_flat")(pool(x, 3, 5))
    # -- CNN-S, full6 and full7
    dropouts = []
    for index in (6, 7):
        x = layers.Dense(
            scaled(4096, width),
            use_bias=not batch_norm,
            kernel_initializer="he_normal",
            name=f"{name}_full{index}",
        )(x)
        x = normalized(x, f"{name}_full{index}")
        # Keras gives a Dropout its random state only if its first rate is positive, and a training
        # phase may turn the dropout on later.
        drop = layers.Dropout(dropout or 0.5, name=f"{name}_dropout{index}")
        drop.rate = dropout
        dropouts.append(drop)
        x = drop(x)
    return x, dropouts
