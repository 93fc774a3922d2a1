"""The network of TCDCN, as TSR uses it for 60×60 pictures."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from tfalign.models.trunks.blocks import BN_MOMENTUM, scaled

SMALLEST = 38
"""Side of the smallest picture that leaves the fourth convolution a 3×3 map."""

_CONVOLUTIONS = ((5, 20), (5, 48), (3, 64), (3, 80))


def tcdcn(images: Any, width: float = 1.0, batch_norm: bool = False, name: str = "view") -> Any:
    """Builds the network up to its hidden dense layer.

    conv 5×5×20, pool 2, conv 5×5×48, pool 2, conv 3×3×64, pool 2, conv 3×3×80, dense 256, a PReLU
    after each of them.

    Args:
        images: (batch, H, W, C), scaled, at least 38 pixels on each side; the paper's are 60×60.
        width: Multiplier on all channel counts; 1.0 is the paper's.
        batch_norm: Whether every convolution and the dense layer are normalised (ours).
        name: Prefix of the layers' names.

    Returns:
        (batch, 256).

    Reference:
        Zhang, Luo, Loy, Tang, "Facial Landmark Detection by Deep Multi-task Learning", ECCV 2014;
        Lv et al., CVPR 2017, sections 3.1.1 and 3.3.

    Reading: TSR names TCDCN with PReLU and 60×60 pixels without sizes of its layers; convolutions
    are "valid" and pools round up, as in Caffe.

    Raises:
        ValueError: If the pictures are too small.
    """
    if min(images.shape[1:3]) < SMALLEST:
        raise ValueError(
            f"A TCDCN network needs pictures of at least {SMALLEST} pixels on each side. Received: "
            f"images.shape={tuple(images.shape)}"
        )
    x = images
    for index, (kernel, filters) in enumerate(_CONVOLUTIONS, start=1):
        x = layers.Conv2D(
            scaled(filters, width),
            kernel,
            use_bias=not batch_norm,
            kernel_initializer="he_normal",
            name=f"{name}_conv{index}",
        )(x)
        x = _activated(x, batch_norm, f"{name}_conv{index}", shared_axes=[1, 2])
        if index < len(_CONVOLUTIONS):
            x = layers.MaxPooling2D(2, padding="same", name=f"{name}_pool{index}")(x)
    x = layers.Flatten(name=f"{name}_flat")(x)
    x = layers.Dense(
        scaled(256, width),
        use_bias=not batch_norm,
        kernel_initializer="he_normal",
        name=f"{name}_dense",
    )(x)
    return _activated(x, batch_norm, f"{name}_dense")


def _activated(x: Any, batch_norm: bool, name: str, shared_axes: Any = None) -> Any:
    if batch_norm:
        x = layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=1e-5, name=f"{name}_bn")(x)
    slope = keras.initializers.Constant(0.25)  # as in PReLU's paper
    return layers.PReLU(slope, shared_axes=shared_axes, name=f"{name}_prelu")(x)


def view_of(pixels: Any, size: int) -> Any:
    """Returns a whole picture at ``size``×``size`` pixels, as the network's input.

    Averaged over whole pixels as far as they divide, then resized bilinearly.

    Args:
        pixels: (batch, H, W, C), at least ``size`` pixels on each side.
        size: Side of the result.
    """
    height, width = pixels.shape[1:3]

    def whole(side: int) -> int:
        return max(k for k in range(1, max(side // size, 1) + 1) if side % k == 0)

    pool = (whole(height), whole(width))
    view = pixels
    if pool != (1, 1):
        view = layers.AveragePooling2D(pool, name="view_mean")(view)
    if tuple(view.shape[1:3]) != (size, size):
        # Keras takes every resizing for an augmentation, which trains unless told otherwise, and
        # with it all layers after it.
        view = layers.Resizing(size, size, name="view_resized")(view, training=False)
    return view
