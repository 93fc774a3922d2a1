"""TSR's baselines: one network that regresses all landmarks from the rough box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers

from tfalign.models.landmark_model import (
    CropLike,
    LandmarkModel,
    SchemeLike,
    check_input_shape,
    resolve_points,
)
from tfalign.models.trunks.blocks import depthwise_bn
from tfalign.models.trunks.resnet import resnet18
from tfalign.models.trunks.tcdcn import tcdcn
from tfalign.models.trunks.vgg_s import vgg_s
from tfalign.models.weights import load_weights

TRUNKS = ("vgg_s", "resnet18")
"""Networks of the global regression."""


def face_features(
    images: Any, trunk: str, width: float, batch_norm: bool, dropout: float
) -> tuple[Any, list[Any]]:
    """Builds a network of ``TRUNKS`` up to its last feature vector.

    Args:
        images: (batch, side, side, 3), scaled.
        trunk: ``"vgg_s"`` or ``"resnet18"``, whose side is a multiple of 16.
        width: Multiplier on channels.
        batch_norm: For ``"vgg_s"``, see its trunk; the other always has it.
        dropout: Rate on feature vectors in training.

    Returns:
        The feature vector, and the dropout layers.

    Raises:
        ValueError: If the network is unknown.
    """
    if trunk == "vgg_s":
        return vgg_s(images, width, batch_norm, dropout, name="face")
    if trunk != "resnet18":
        raise ValueError(f"`trunk` must be one of {TRUNKS}. Received: trunk={trunk!r}")
    _, x = resnet18(images, width)
    x = depthwise_bn(x, tuple(x.shape[1:3]), activation=False, padding="valid", name="face_gdconv")
    x = layers.Flatten(name="face_flat")(x)
    drop = layers.Dropout(dropout or 0.5, name="face_dropout")
    drop.rate = dropout
    return drop(x), [drop]


def landmark_output(features: Any, num_landmarks: int, name: str) -> Any:
    """Returns landmarks (batch, n, 2) regressed linearly from a feature vector.

    The start is near zero: landmarks then lie at the layer's bias.
    """
    dense = layers.Dense(
        2 * num_landmarks,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        dtype="float32",
        name=name,
    )
    return layers.Reshape((num_landmarks, 2), dtype="float32", name=f"{name}_shape")(
        dense(features)
    )


@keras.saving.register_keras_serializable(package="tfalign")
class DirectRegression(LandmarkModel):
    """One network from the rough box's crop to all landmarks.

    ``TSRBaseline1`` is it with TCDCN's network, ``TSRBaseline2`` with VGG-S: the rows Baseline1
    and Baseline2 of TSR's Tables 1 to 4. Layers have the names that they have in ``TwoStage``, so
    that one's weights start the other.

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3); the paper's are 60×60 for TCDCN, 224×224 for VGG-S.
        trunk: ``"tcdcn"``, ``"vgg_s"`` or ``"resnet18"``.
        width: Multiplier on channels; the paper's is 1.0.
        batch_norm: Whether TCDCN and VGG-S have batch normalisation (ours).
        dropout: Rate on hidden dense layers of VGG-S, in training.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, or None.
        weights: None, the name of weights that ship with the package, or the path of a ``.npz``,
            ``.weights.h5`` or ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image.

    Reference:
        Lv et al., CVPR 2017, section 4.

    Raises:
        ValueError: If an argument is outside its range.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"network": "trunk"}

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (224, 224, 3),
        trunk: str = "vgg_s",
        width: float = 1.0,
        batch_norm: bool = False,
        dropout: float = 0.5,
        crop: CropLike = "tsr",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "direct_regression",
    ) -> None:
        if trunk not in ("tcdcn", *TRUNKS):
            raise ValueError(
                f"`trunk` must be one of {('tcdcn', *TRUNKS)}. Received: trunk={trunk!r}"
            )
        num_landmarks, scheme = resolve_points(num_landmarks, scheme)
        if not width > 0 or not 0.0 <= dropout < 1.0:
            raise ValueError(
                "`width` must be positive and `dropout` in [0, 1). Received: "
                f"width={width}, dropout={dropout}"
            )
        shape = check_input_shape(input_shape, 16 if trunk == "resnet18" else 1)
        images = keras.Input(shape, name="images")
        x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(images)
        if trunk == "tcdcn":
            features, dropouts = tcdcn(x, width, batch_norm, name="view"), []
            landmarks = landmark_output(features, num_landmarks, "view_landmarks")
        else:
            features, dropouts = face_features(x, trunk, width, batch_norm, dropout)
            landmarks = landmark_output(features, num_landmarks, "face_landmarks")
        super().__init__(
            images,
            [landmarks],
            {"stages": keras.ops.expand_dims(landmarks, 1), "face": landmarks},
            groups={"dropout": dropouts},
            crop=crop,
            scheme=scheme,
            name=name,
        )
        self.trunk = trunk
        self.width = float(width)
        self.batch_norm = bool(batch_norm)
        self.dropout = float(dropout)
        if weights is not None:
            load_weights(self, weights)

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        output = "view_landmarks" if self.trunk == "tcdcn" else "face_landmarks"
        self.get_layer(output).bias.assign(shape.reshape(-1))

    def get_config(self) -> dict[str, Any]:
        return {
            **self.base_config(),
            "trunk": self.trunk,
            "width": self.width,
            "batch_norm": self.batch_norm,
            "dropout": self.dropout,
            "weights": None,
        }


def TSRBaseline1(
    num_landmarks: int | None = None, input_shape: Sequence[int] = (60, 60, 3), **arguments: Any
) -> DirectRegression:
    """Returns Baseline1 of TSR's tables: TCDCN's network alone, on 60×60 pixels.

    Takes the other arguments of ``DirectRegression`` except ``trunk``.

    Raises:
        ValueError: If ``trunk`` is given.
    """
    return _baseline("tcdcn", "tsr_baseline1", num_landmarks, input_shape, arguments)


def TSRBaseline2(
    num_landmarks: int | None = None, input_shape: Sequence[int] = (224, 224, 3), **arguments: Any
) -> DirectRegression:
    """Returns Baseline2 of TSR's tables: VGG-S alone, on 224×224 pixels.

    Takes the other arguments of ``DirectRegression`` except ``trunk``.

    Raises:
        ValueError: If ``trunk`` is given.
    """
    return _baseline("vgg_s", "tsr_baseline2", num_landmarks, input_shape, arguments)


def _baseline(
    trunk: str, name: str, num_landmarks: int | None, input_shape: Sequence[int], arguments: Any
) -> DirectRegression:
    if "trunk" in arguments:
        raise ValueError("A baseline has its own `trunk`; use DirectRegression for another.")
    return DirectRegression(num_landmarks, input_shape, trunk, **{"name": name, **arguments})
