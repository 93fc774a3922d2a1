"""TSR: landmark regression behind two re-initializations, of the face and of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops

from tfalign import markup
from tfalign.geometry.parametric import identity_parameters
from tfalign.layers import InverseShapeTransform, ShapeTransform, SpatialTransformer
from tfalign.markup.scheme import LOCAL_PART_NAMES
from tfalign.models import canonical_shape as canonical
from tfalign.models.direct_regression import TRUNKS, face_features, landmark_output
from tfalign.models.landmark_model import (
    CropLike,
    LandmarkModel,
    SchemeLike,
    check_input_shape,
    resolve_points,
)
from tfalign.models.trunks.tcdcn import SMALLEST, tcdcn, view_of
from tfalign.models.weights import load_weights


@keras.saving.register_keras_serializable(package="tfalign")
class TwoStage(LandmarkModel):
    """Two-stage re-initialization with supervised spatial transformers.

    Global stage: a small network sees a 60×60 view of the rough box's crop and predicts θg, by
    which the crop is warped to the canonical face Fg (Equations 1 and 2); VGG-S regresses the
    coarse shape from it. Local stage: for both eyes with their brows, nose and mouth, one dense
    layer makes θl from the part's coarse landmarks; a network like the first one regresses the
    increment of the part's shape from the patch that θl shows of Fg (Equation 7). The contour stays
    as the global stage gave it. Everything is mapped back to the crop (Equation 8).

    Without ``local_stage`` it is the paper's "Proposed⁻".

    Args:
        num_landmarks: n; None takes the number of the scheme's points.
        input_shape: (height, width, 3) of the rough box's crop; the paper's is (224, 224, 3).
        width: Multiplier on the global regression's channels; the paper's is 1.0.
        local_stage: Whether the parts are refined.
        brows: Whether a brow is refined as one part with its eye (the paper's), or stays as the
            global stage gave it, as in version 0.1.
        trunk: Network of the global regression: ``"vgg_s"`` (the paper's) or ``"resnet18"`` (ours).
        face_size: Side of Fg in pixels; None takes the crop's longer side. The paper's is 224.
        view_size: Side in pixels of the view and of the parts' patches; the paper's is 60.
        view_width: Multiplier on the channels of the small networks; None takes ``width``.
        batch_norm: Whether all networks have batch normalisation (ours, for training without
            ImageNet's weights).
        dropout: Rate on VGG-S's hidden dense layers, in training.
        canonical_shape: (n, 2) in [0, 1]² of Fg: where a frontal face's landmarks shall lie. None
            until ``set_mean_shape`` makes it of the mean shape.
        crop: The box convention: a name of ``tfalign.geometry.CROP_PRESETS``, a
            ``CropConvention`` or its configuration.
        scheme: Landmark scheme of the outputs, as ``tfalign.markup.get`` takes it, which says what
            belongs to a part, or None.
        weights: None, the name of weights that ship with the package, or the path of a ``.npz``,
            ``.weights.h5`` or ``.keras`` file.
        name: Model name.

    Input shape:
        (batch, height, width, 3), RGB in [0, 255], uint8 or float.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the input image. ``stage_shapes`` has the coarse shape
        and, with the local stage, the final one.

    Reference:
        Lv, Shao, Xing, Cheng, Zhou, "A Deep Regression Architecture with Two-Stage
        Re-initialization for High Performance Facial Landmark Detection", CVPR 2017.

    Reading:
        θg starts at the identity. A part's dense layer starts as the least-squares similarity from
        the canonical part to the coarse part, which is linear in the coarse part; at the canonical
        shape it is the transform of the predefined part, as the paper has it. (An affine start
        would tear closed eyes and the three points of AFLW's open.) Section 3.2 names four parts
        and leaves the contour alone unrefined (Equation 8), so the brows belong to the eyes' parts.
        The view is the crop averaged over whole pixels, then resized bilinearly.
        ``training_model`` hands θ along with the landmarks of a warped image, because their targets
        depend on it: in ``"face"`` and the parts each landmark is a row (x, y, θ of the transforms
        from the image inwards), see ``losses.ReinitializedLoss`` and ``losses.ThetaLoss``.

    Raises:
        ValueError: If an argument is outside its range, the local stage is wanted and the scheme
            has none of its parts, or the weights belong to another configuration.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"regressor": "trunk"}

    def __init__(
        self,
        num_landmarks: int | None = None,
        input_shape: Sequence[int] = (224, 224, 3),
        width: float = 1.0,
        local_stage: bool = True,
        brows: bool = True,
        trunk: str = "vgg_s",
        face_size: int | None = None,
        view_size: int = 60,
        view_width: float | None = None,
        batch_norm: bool = False,
        dropout: float = 0.5,
        canonical_shape: Sequence[Sequence[float]] | np.ndarray | None = None,
        crop: CropLike = "tsr",
        scheme: SchemeLike = None,
        weights: str | None = None,
        name: str = "two_stage",
    ) -> None:
        shape = check_input_shape(input_shape, 1)
        side = max(shape[:2]) if face_size is None else int(face_size)
        small = width if view_width is None else view_width
        num_landmarks, scheme = resolve_points(num_landmarks, scheme)
        _check(num_landmarks, width, small, dropout, trunk, side, view_size, shape)
        parts = _local_parts(scheme, brows) if local_stage else {}
        if local_stage and not parts:
            raise ValueError(
                "The local stage needs a landmark scheme with some of the parts "
                f"{LOCAL_PART_NAMES}; without one use local_stage=False. Received: "
                f"scheme={None if scheme is None else scheme.name!r}"
            )

        images = keras.Input(shape, name="images")
        pixels = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(images)
        # -- Section 3.1.1: global re-initialization
        features = tcdcn(view_of(pixels, view_size), small, batch_norm, name="view")
        theta_dense = _theta_dense("theta_global", identity_parameters())
        theta = theta_dense(features)
        face = SpatialTransformer(side, name="face")([pixels, theta])
        # -- Section 3.1.2: global regression
        features, dropouts = face_features(face, trunk, width, batch_norm, dropout)
        coarse = landmark_output(features, num_landmarks, "face_landmarks")
        stages = [InverseShapeTransform(name="coarse")([coarse, theta])]
        outputs = {"theta_global": theta, "face": _with_thetas(coarse, theta)}
        results = {"theta_global": theta, "face": face, "coarse_in_face": coarse}

        fine = []
        for part, indices in parts.items():
            # -- Section 3.2.1: local re-initialization
            start = ops.take(coarse, np.array(indices, "int32"), axis=1)
            local_dense = _theta_dense(f"theta_{part}", canonical.centre_theta())
            local = local_dense(layers.Flatten(dtype="float32", name=f"{part}_coarse_flat")(start))
            patch = SpatialTransformer(view_size, name=f"patch_{part}")([face, local])
            # -- Section 3.2.2: local regression
            features = tcdcn(patch, small, batch_norm, name=part)
            increment = landmark_output(features, len(indices), f"increment_{part}")
            start = ShapeTransform(name=f"start_{part}")([start, local])
            in_patch = layers.Add(dtype="float32", name=f"refined_{part}")([start, increment])
            fine.append(InverseShapeTransform(name=f"{part}_in_face")([in_patch, local]))
            outputs[f"theta_{part}"] = ops.concatenate([local, theta], 1)
            outputs[part] = _with_thetas(in_patch, theta, local)
            results |= {
                f"theta_{part}": local,
                f"patch_{part}": patch,
                f"{part}_in_patch": in_patch,
            }
        if parts:
            # -- Equation 8: the parts take the coarse landmarks' places
            places = np.arange(num_landmarks, dtype="int32")
            offset = num_landmarks
            for indices in parts.values():
                places[list(indices)] = offset + np.arange(len(indices))
                offset += len(indices)
            refined = ops.take(ops.concatenate([coarse, *fine], axis=1), places, axis=1)
            stages.append(InverseShapeTransform(name="refined")([refined, theta]))

        super().__init__(
            images,
            stages,
            {"stages": ops.stack(stages, axis=1), **outputs},
            groups={"dropout": dropouts},
            crop=crop,
            scheme=scheme,
            name=name,
        )
        self.__dict__["_results_model"] = keras.Model(images, results, name=f"{name}_results")
        # Part name to the indices of its landmarks; not for Keras to track.
        self.__dict__["parts"] = parts
        self._group_layers()
        self.width = float(width)
        self.local_stage = bool(local_stage)
        self.brows = bool(brows)
        self.trunk = trunk
        self.face_size = None if face_size is None else int(face_size)
        self.view_size = int(view_size)
        self.view_width = view_width if view_width is None else float(view_width)
        self.batch_norm = bool(batch_norm)
        self.dropout = float(dropout)
        self._set_canonical(canonical.checked_canonical(canonical_shape, num_landmarks))
        if weights is not None:
            load_weights(self, weights)

    def _group_layers(self) -> None:
        prefixes = {"reinit": ("view_", "theta_global")}
        for part in self.parts:
            prefixes[part] = (f"{part}_", f"theta_{part}", f"increment_{part}")
        for group, names in prefixes.items():
            self.groups[group] = [layer for layer in self.layers if layer.name.startswith(names)]
        self.groups["local"] = [layer for part in self.parts for layer in self.groups[part]]
        taken = {id(layer) for name in ("reinit", "local") for layer in self.groups[name]}
        self.groups["global_regression"] = [x for x in self.layers if id(x) not in taken]
        # θg from statistics of single batches would shake the whole face that the rest depends on.
        settled = [x for x in self.groups["reinit"] if isinstance(x, layers.BatchNormalization)]
        self.groups["end_to_end"] = [x for x in self.layers if x not in settled]

    def intermediate_results(self, images: Any) -> dict[str, Any]:
        """Returns what lies between image and landmarks, by name.

        Args:
            images: As the model's input.

        Returns:
            ``"theta_global"`` (batch, 6) and, for each part, ``"theta_left_eye"`` …, in [−1, 1]
            space; ``"face"`` (batch, side, side, 3), Fg, and ``"patch_left_eye"`` …, pixels in
            [−1, 1]; ``"coarse_in_face"`` (batch, n, 2) in [0, 1]² of Fg and
            ``"left_eye_in_patch"`` … (batch, m, 2) in [0, 1]² of the patch.
        """
        results: dict[str, Any] = self._results_model(images, training=False)
        return results

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        frontal = canonical.canonical_shape(shape, self.scheme)
        # The patch of a single point shows one pixel, whatever is found in it moves nothing.
        points = [
            part for part, i in self.parts.items() if np.ptp(frontal[list(i)], 0).max() < 1e-3
        ]
        if points:
            raise ValueError(
                "A part that the local stage looks at must be two points or more, at different "
                "places: put further points into these parts of the scheme, take their points out "
                "of all parts, or use local_stage=False, which is the architecture "
                "'two_stage_global'. Received: "
                f"{', '.join(f'{p} of {len(self.parts[p])} points' for p in points)}"
            )
        self.get_layer("face_landmarks").bias.assign(shape.reshape(-1))
        self._set_canonical(frontal)

    def _set_canonical(self, shape: np.ndarray | None) -> None:
        self.canonical_shape = None if shape is None else [[float(v) for v in p] for p in shape]
        if shape is None:
            return
        for part, indices in self.parts.items():
            weights = canonical.similarity_weights(shape[list(indices)])
            self.get_layer(f"theta_{part}").set_weights(weights)

    def _known_canonical(self) -> np.ndarray:
        if self.canonical_shape is None:
            raise ValueError("`set_mean_shape` must be called first: it makes the canonical shape.")
        return np.array(self.canonical_shape, np.float32)

    def start_global(self, feed: Any = None) -> None:
        """Starts the global regression at the shape that re-initialized faces have.

        ``set_mean_shape`` starts it at the mean shape of the crops, which is right while θg is the
        identity; after step 1 of the training Fg shows the canonical shape.

        Args:
            feed: Ignored; a training phase gives it.

        Raises:
            ValueError: If there is no canonical shape yet.
        """
        del feed
        self.get_layer("face_landmarks").bias.assign(self._known_canonical().reshape(-1))

    def start_local(self, feed: Any = None) -> None:
        """Starts the local stage, as step 3 of the training does (section 3.3).

        Each part's dense layer becomes the transform of the canonical part, and each part's network
        receives the weights of the network that predicts θg.

        Args:
            feed: Ignored; a training phase gives it.

        Raises:
            ValueError: If there is no canonical shape yet.
        """
        del feed
        self._set_canonical(self._known_canonical())
        for layer in self.groups["reinit"]:
            if layer.weights and layer.name.startswith("view_"):
                for part in self.parts:
                    twin = self.get_layer(layer.name.replace("view_", f"{part}_", 1))
                    twin.set_weights(layer.get_weights())

    def get_config(self) -> dict[str, Any]:
        return {
            **self.base_config(),
            "width": self.width,
            "local_stage": self.local_stage,
            "brows": self.brows,
            "trunk": self.trunk,
            "face_size": self.face_size,
            "view_size": self.view_size,
            "view_width": self.view_width,
            "batch_norm": self.batch_norm,
            "dropout": self.dropout,
            "canonical_shape": self.canonical_shape,
            "weights": None,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """Makes a model from what ``get_config`` returned; 0.1 refined no brows."""
        return super().from_config({"brows": "regressor" not in config, **config}, custom_objects)


def _local_parts(scheme: markup.LandmarkScheme | None, brows: bool) -> dict[str, tuple[int, ...]]:
    """Returns the indices of the landmarks of each part that is refined (section 3.2)."""
    if scheme is None:
        return {}
    parts = dict(scheme.local_parts)
    for side in ("left", "right") if brows else ():
        brow = scheme.parts.get(f"{side}_brow", ())
        if f"{side}_eye" in parts:
            parts[f"{side}_eye"] = (*brow, *parts[f"{side}_eye"])
    return parts


def _theta_dense(name: str, start: np.ndarray) -> layers.Dense:
    """Returns the dense layer of θ, whose output is ``start`` until it is trained."""
    return layers.Dense(
        6,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant([float(value) for value in start]),
        dtype="float32",
        name=name,
    )


def _with_thetas(landmarks: Any, *thetas: Any) -> Any:
    """Returns rows (x, y, θ …): landmarks (batch, m, 2) with the transforms that they depend on."""
    points = landmarks.shape[1]
    rows = [ops.repeat(ops.expand_dims(theta, 1), points, axis=1) for theta in thetas]
    return ops.concatenate([landmarks, *rows], axis=-1)


def _check(
    num_landmarks: int,
    width: float,
    view_width: float,
    dropout: float,
    trunk: str,
    side: int,
    view_size: int,
    shape: tuple[int, int, int],
) -> None:
    """Raises ``ValueError`` for an argument outside its range."""
    if num_landmarks < 3 or not (width > 0 and view_width > 0) or not 0.0 <= dropout < 1.0:
        raise ValueError(
            "`num_landmarks` must be at least 3, `width` and `view_width` positive, and `dropout` "
            f"in [0, 1). Received: num_landmarks={num_landmarks}, width={width}, "
            f"view_width={view_width}, dropout={dropout}"
        )
    if trunk not in TRUNKS:
        raise ValueError(f"`trunk` must be one of {TRUNKS}. Received: trunk={trunk!r}")
    if trunk == "resnet18" and side % 16:
        raise ValueError(f"'resnet18' needs `face_size` to be a multiple of 16. Received: {side}")
    if not SMALLEST <= view_size <= min(shape[:2]):
        raise ValueError(
            f"`view_size` must be at least {SMALLEST} and at most the crop's shorter side. "
            f"Received: view_size={view_size}, input_shape={shape}"
        )
