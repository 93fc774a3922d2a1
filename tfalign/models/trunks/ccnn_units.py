"""CCNN's heatmap and regression units (Tables 2, 3 and 4)."""

from __future__ import annotations

from typing import Any

from keras import initializers, layers

from tfalign.models.trunks.blocks import BN_MOMENTUM, conv_bn, depthwise_bn, scaled


def wide_conv(
    x: Any,
    filters: int,
    kernel: int,
    form: str,
    strides: int = 1,
    activation: bool = True,
    name: str = "",
) -> Any:
    """A wide convolution with batch normalisation, in the paper's form or separable.

    The separable form is a 1×1 convolution to ``filters`` channels and one k×k filter for each.
    In this order the k×k filters meet the few channels that a unit computes with, not the many of
    concatenated maps. Fewer multiplications are not as much less time: LiteRT has no fast kernel
    for wide depthwise filters, which exports therefore divide into tiles.

    Args:
        x: (batch, H, W, C).
        filters: Channels of the result.
        kernel: k.
        form: ``"paper"`` or ``"separable"``.
        strides: Of the k×k filter.
        activation: Whether a ReLU follows.
        name: Prefix of the layers' names.
    """
    if form == "paper":
        return conv_bn(x, filters, kernel, strides, activation, name=name)
    x = layers.Conv2D(
        filters, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_pointwise"
    )(x)
    return depthwise_bn(x, kernel, strides, activation, name=name)


def heatmaps(x: Any, num_landmarks: int, name: str) -> tuple[Any, Any]:
    """The last layer of a heatmap network: 1×1, batch normalisation, ReLU.

    The normalisation has no offset. Ninety-nine cells in a hundred have the target 0, so early
    training would lower an offset until some landmark's map is 0 everywhere, where ReLU passes no
    gradient and the map stays empty: in the first model that we trained one map of 68 in either
    heatmap unit, for two points of NLE. Without offset the mean of a landmark's maps over a batch
    is 0 before the ReLU, so that training never meets a landmark without cells above.

    One face's map may still be 0 everywhere, where its maximum says nothing. The maximum is
    therefore taken before the ReLU: it is the same cell wherever the map has one above 0.

    Args:
        x: (batch, H, W, C).
        num_landmarks: n.
        name: Prefix of the layers' names.

    Returns:
        The maps after and before the ReLU, (batch, H, W, n) each.
    """
    x = layers.Conv2D(
        num_landmarks, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(
        momentum=BN_MOMENTUM,
        epsilon=1e-5,
        center=False,
        # A map is a Gaussian of height 1 on one cell in a hundred or fewer: its standard deviation
        # is about a tenth. Starting there, training need not first unlearn noise of height 1.
        gamma_initializer=initializers.Constant(0.1),
        name=f"{name}_bn",
    )(x)
    return layers.ReLU(name=f"{name}_relu")(x), x


def heatmap_head(
    features: Any, num_landmarks: int, width: float, form: str, dropout: Any, name: str
) -> tuple[Any, Any]:
    """Builds layers A8 to A12 of Table 2: F² → H₀, as `heatmaps` returns it.

    Args:
        features: (batch, H, W, C).
        num_landmarks: n.
        width: Multiplier on channel counts.
        form: Form of the 9×9 filters, see `wide_conv`.
        dropout: The dropout layer after A11.
        name: Prefix of the layers' names.
    """
    x = wide_conv(features, scaled(128, width), 9, form, name=f"{name}_a8")
    x = wide_conv(x, scaled(128, width), 9, form, name=f"{name}_a9")
    x = conv_bn(x, scaled(256, width), 1, name=f"{name}_a10")
    x = conv_bn(x, scaled(256, width), 1, name=f"{name}_a11")
    return heatmaps(dropout(x), num_landmarks, name=f"{name}_a12")


def heatmap_unit(x: Any, num_landmarks: int, width: float, form: str, name: str) -> tuple[Any, Any]:
    """Builds Table 3: F² ⊕ H_{k−1} → H_k. Arguments and result as for `heatmap_head`."""
    x = wide_conv(x, scaled(64, width), 7, form, name=f"{name}_b1")
    x = wide_conv(x, scaled(64, width), 13, form, name=f"{name}_b2")
    x = conv_bn(x, scaled(128, width), 1, name=f"{name}_b3")
    return heatmaps(x, num_landmarks, name=f"{name}_b4")


def regression_features(x: Any, width: float, form: str, name: str) -> Any:
    """Builds layers C1 to C3 of Table 4: F¹ ⊕ F² ⊕ H_k ⊕ H₀ → E_k. Arguments as above."""
    x = wide_conv(x, scaled(64, width), 7, form, 2, activation=False, name=f"{name}_c1")
    x = _pool(x, f"{name}_c1_pool")
    x = wide_conv(x, scaled(128, width), 5, form, 2, activation=False, name=f"{name}_c2")
    x = _pool(x, f"{name}_c2_pool")
    x = conv_bn(x, scaled(256, width), 3, 2, activation=False, name=f"{name}_c3")
    return _pool(x, f"{name}_c3_pool")


def regression_head(
    x: Any, num_landmarks: int, width: float, cells: tuple[int, int], name: str
) -> Any:
    """Builds layers C4 to C6 of Table 4: E_k ⊕ E_{k−1} → ΔP̂_k.

    Args:
        x: (batch, H/8, W/8, C) for maps of H×W cells.
        num_landmarks: n.
        width: Multiplier on channel counts.
        cells: (columns, rows) of the maps.
        name: Prefix of the layers' names.

    Returns:
        Increments (batch, n, 2) in [0, 1] of the map.
    """
    x = conv_bn(x, scaled(512, width), 3, 2, activation=False, name=f"{name}_c4")
    x = _pool(x, f"{name}_c4_pool")
    x = conv_bn(x, scaled(1024, width), 3, 2, activation=False, name=f"{name}_c5")
    x = _pool(x, f"{name}_c5_pool")
    # C6 speaks in cells, of which an increment is a few at most: with outputs in [0, 1] a loss in
    # cells or pixels would be so steep in its weights that the published rates diverge.
    x = layers.Conv2D(
        2 * num_landmarks,
        tuple(x.shape[1:3]),
        # Refinement begins as nearly nothing, about a tenth of a cell at any width; a normalisation
        # of its output would undo that.
        kernel_initializer=initializers.VarianceScaling(0.01, distribution="untruncated_normal"),
        dtype="float32",
        name=f"{name}_c6",
    )(x)
    x = layers.Reshape((num_landmarks, 2), dtype="float32", name=f"{name}_cells")(x)
    scale = [1.0 / side for side in cells]
    return layers.Rescaling(scale, dtype="float32", name=f"{name}_increment")(x)


def _pool(x: Any, name: str) -> Any:
    """2×2, stride 1, padded by 1 in total: the size is kept."""
    return layers.MaxPooling2D(2, 1, padding="same", name=name)(x)
