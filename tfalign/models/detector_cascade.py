"""What DSSD and R-DSSD share: initial shape, coarse stages and refinement stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfalign.geometry import pixel_from_unit
from tfalign.layers import PixelDifferences, ShapeIndexedPatches, ShapeMixture
from tfalign.models.detector_start import collect, shape_centers, svr_detectors
from tfalign.models.landmark_model import (
    CropLike,
    LandmarkModel,
    SchemeLike,
    check_input_shape,
    resolve_points,
)
from tfalign.models.refinement_stage import RefinementStage
from tfalign.models.trunks.blocks import conv_bn, scaled
from tfalign.models.weights import load_weights

_LUMA = np.array([0.299, 0.587, 0.114], "float32")
# A response of 1 is this far, in sides of a patch: what is left of an initial shape spreads so.
_RESPONSE = 0.1
# Share of the input's side → how often the input is halved.
HALVINGS = {200: 0, 100: 1, 50: 2}
_PREDICTOR = (32, 64, 128, 256)


@dataclass(frozen=True)
class Tap:
    """Tensors of a model's graph around a layer of detectors.

    Attributes:
        stage: The refinement stage.
        features: φ, (batch, n, k).
        shape: The shape that the stage starts from, (batch, n, 2) in [0, 1]².
        unit: (2,), what the stage's increments are multiplied by.
    """

    stage: RefinementStage
    features: Any
    shape: Any
    unit: np.ndarray


class DetectorCascade(LandmarkModel):
    """Base of ``DSSD`` and ``RDSSD``: builds the cascade that a subclass lists.

    Args:
        coarse: Image scale of each coarse stage: 50, 100 or 200, the side in pixels where the
            input's is 200.
        refinements: Image scale of each refinement stage, likewise.
        shared: Whether all refinement stages have the same parameters.
        num_landmarks, input_shape, width, patch, kernel, neighbors, features, latent_tasks,
        sharable, centers, pairs, radius, stop_position_gradient, crop, scheme, weights, name: See
            ``RDSSD``.
    """

    def __init__(
        self,
        *,
        coarse: Sequence[int],
        refinements: Sequence[int],
        shared: bool,
        num_landmarks: int | None,
        input_shape: Sequence[int],
        width: float,
        patch: int,
        kernel: int,
        neighbors: int,
        features: int,
        latent_tasks: int,
        sharable: bool,
        centers: int,
        pairs: int,
        radius: float,
        stop_position_gradient: bool,
        crop: CropLike,
        scheme: SchemeLike,
        weights: str | None,
        name: str,
    ) -> None:
        num_landmarks, scheme = resolve_points(num_landmarks, scheme)
        if min(features, centers) < 1 or not width > 0:
            raise ValueError(
                "`features`, `centers` and `width` must be positive. Received: "
                f"features={features}, centers={centers}, width={width}"
            )
        if not 1 <= neighbors <= num_landmarks:
            raise ValueError(
                "`neighbors` must be from 1 to num_landmarks. Received: "
                f"neighbors={neighbors}, num_landmarks={num_landmarks}"
            )
        shape = check_input_shape(input_shape, 4)
        images = keras.Input(shape, name="images")
        # -- Section IV-A: grey images at 200, 100 and 50 pixels
        luma = ops.sum(images * _LUMA, axis=-1, keepdims=True)
        grey = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="grey")(luma)
        levels = {200: grey}
        for scale, finer in ((100, 200), (50, 100)):
            halve = layers.AveragePooling2D(2, dtype="float32", name=f"image_{scale}")
            levels[scale] = halve(levels[finer])

        # -- Section IV-A: robust shape initialization
        shape_0, initial = _initial_shape(levels[100], num_landmarks, centers, width)
        stages = [shape_0]
        groups: dict[str, list[Any]] = {"initial": initial, "coarse": [], "refinement": []}

        def advance(increment: Any) -> None:
            add = layers.Add(dtype="float32", name=f"shape_{len(stages)}")
            stages.append(add([stages[-1], increment]))

        # -- Section III-B: coarse stages on random pixel differences
        for t, scale in enumerate(coarse, start=1):
            reader = PixelDifferences(
                pairs, radius, t, stop_position_gradient, dtype="float32", name=f"differences_{t}"
            )
            block = [
                layers.Flatten(dtype="float32", name=f"differences_{t}_flat"),
                _coordinates(num_landmarks, f"coarse_{t}"),
                layers.Reshape((num_landmarks, 2), dtype="float32", name=f"coarse_{t}_shape"),
            ]
            y = reader([levels[scale], stages[-1]])
            for layer in block:
                y = layer(y)
            advance(y)
            groups[f"coarse_{t}"] = [reader, *block]
            groups["coarse"] += groups[f"coarse_{t}"]

        # -- Sections III-A and III-B: refinement stages on patches
        taps: list[Tap] = []
        detected: list[Any] = []
        for t, scale in enumerate(refinements, start=1):
            if t == 1 or not shared:
                suffix = "" if shared else f"_{t}"
                stage = RefinementStage(
                    num_landmarks, width, kernel, neighbors, features, latent_tasks, sharable,
                    suffix,
                )  # fmt: skip
            cut = ShapeIndexedPatches(
                patch, stop_position_gradient, dtype="float32", name=f"patches_{t}"
            )
            level = levels[scale]
            described = stage.describe(cut([level, stages[-1]]))
            # Increments are in units of the patch's side, the same for images of every scale.
            unit = patch / np.array([level.shape[2], level.shape[1]], "float32")
            taps.append(Tap(stage, described, stages[-1], unit))
            responses = stage.respond(described)
            detected.append(ops.stop_gradient(stages[-1]) + responses * (_RESPONSE * unit))
            advance(stage.increment(responses) * unit)
            groups[f"refinement_{t}"] = [cut, *stage.layers]
            groups["refinement"] += groups[f"refinement_{t}"]
        kinds = ("description", "detectors", "structure")
        unique = {id(tap.stage): tap.stage for tap in taps}.values()
        for kind in kinds:
            groups[kind] = [layer for stage in unique for layer in getattr(stage, kind)]

        super().__init__(
            images,
            stages,
            {"stages": ops.stack(stages, axis=1), "detected": ops.stack(detected, axis=1)},
            groups=groups,
            crop=crop,
            scheme=scheme,
            name=name,
        )
        self.__dict__["taps"] = taps
        self.width, self.patch, self.kernel = float(width), int(patch), int(kernel)
        self.neighbors, self.features = int(neighbors), int(features)
        self.latent_tasks, self.sharable = int(latent_tasks), bool(sharable)
        self.centers, self.pairs, self.radius = int(centers), int(pairs), float(radius)
        self.stop_position_gradient = bool(stop_position_gradient)
        if weights is not None:
            load_weights(self, weights)

    @property
    def detectors(self) -> list[Any]:
        """The layers of sharable detectors, each once; empty without them."""
        found = {id(tap.stage): tap.stage for tap in self.taps}
        return [layer for stage in found.values() for layer in stage.detectors if self.sharable]

    def sparsity(self) -> dict[str, float]:
        """Returns the share of exact zeros in each P and C, by the variable's path."""
        return {
            variable.path: float(np.mean(ops.convert_to_numpy(variable) == 0.0))
            for layer in self.detectors
            for variable in (layer.basis, layer.codes)
        }

    def _set_mean_shape(self, shape: np.ndarray) -> None:
        self.get_layer("initial_shape").set_shapes(np.repeat(shape[None], self.centers, axis=0))
        self._set_neighbors(shape)

    def _set_neighbors(self, shape: np.ndarray) -> None:
        pixels = pixel_from_unit(shape, self.image_size)
        for tap in self.taps:
            tap.stage.neighbors.set_mean_shape(pixels)

    def start_shapes(self, feed: Any, passes: int = 3) -> None:
        """Makes the initial shapes and the table of neighbours (section IV-A).

        The initial shapes are k-means centres of the feed's landmarks, neighbours are those on
        their mean.

        Args:
            feed: Source of batches, see ``tfalign.training.Feed``.
            passes: Epochs taken from the feed; with augmentation each shows other shapes.

        Reading:
            k-means is run on the landmarks as they lie in the augmented crops, because an initial
            shape must fit a crop, not a normalised face.
        """
        _, landmarks = collect(feed, passes, images=False)
        self.get_layer("initial_shape").set_shapes(shape_centers(landmarks, self.centers))
        self._set_neighbors(landmarks.mean(axis=0))

    def start_detectors(self, feed: Any, passes: int = 1) -> None:
        """Starts P and C from a singular value decomposition (section IV-B), and Q's last layer.

        A linear support vector regression from the features φ of each landmark, as the model
        describes them now, to the error of the shape that the stage starts from gives a matrix W of
        all detectors; its singular value decomposition W = Z S Vᵀ gives P, the first G columns of
        Z, and C, the first G rows of S Vᵀ. With more latent tasks than features the further ones
        keep their random columns of P and have zeros in C. Q's last layer starts as the ridge
        regression from its own inputs to the increments. Stages that are frozen
        (``layer.trainable``), such as those that sequential learning has finished, stay as they
        are; without sharable detectors only Q is started.

        Args:
            feed: Source of batches, see ``tfalign.training.Feed``.
            passes: Epochs taken from the feed.

        Reading:
            The paper calls it a linear SVM regressor and does not say how C starts; this C makes
            P C the best approximation of W of rank G. Shared detectors start from all refinement
            stages together. The paper starts Q at random (Equation 23). Its regression is ours: as
            long as Q is near zero the loss does not depend on P and C, and R-DSSD's were zero in
            every entry after a few updates under β and γ, for good. For the same reason errors are
            in tenths of a patch: Q sees responses of order one.
        """
        images, landmarks = collect(feed, passes)
        by_stage: dict[int, list[Tap]] = {}
        for tap in self.taps:
            if tap.stage.detectors[0].trainable:
                by_stage.setdefault(id(tap.stage), []).append(tap)
        for taps in by_stage.values():
            views, increments = [], []
            for tap in taps:
                view = keras.Model(self.input, [tap.features, tap.shape])
                described, shapes = view.predict(images, batch_size=32, verbose=0)
                views.append(described)
                increments.append((landmarks - shapes) / tap.unit)
            stage, features = taps[0].stage, np.concatenate(views)
            if self.sharable:
                errors = np.concatenate(increments) / _RESPONSE
                detectors = stage.detectors[0]
                values = (ops.convert_to_numpy(v) for v in (detectors.basis, detectors.codes))
                basis, codes = svr_detectors(features, errors, *values)
                detectors.basis.assign(basis)
                detectors.codes.assign(codes)
            # Stages that share Q follow one another: each takes its part of the way.
            stage.start_structure(features, np.concatenate(increments) / len(taps))

    def cascade_config(self) -> dict[str, Any]:
        """Returns the constructor arguments that DSSD and R-DSSD share."""
        return {
            **self.base_config(),
            "width": self.width,
            "patch": self.patch,
            "kernel": self.kernel,
            "neighbors": self.neighbors,
            "features": self.features,
            "latent_tasks": self.latent_tasks,
            "sharable": self.sharable,
            "centers": self.centers,
            "stop_position_gradient": self.stop_position_gradient,
            "weights": None,
        }


def _initial_shape(image: Any, n: int, centers: int, width: float) -> tuple[Any, list[Any]]:
    """Returns the initial shape and the layers that make it."""
    x = image
    for index, channels in enumerate(_PREDICTOR, start=1):
        # At least 16 channels: the smallest models' initial shapes would hardly follow the face.
        x = conv_bn(x, scaled(channels, width, 16), 3, 2, name=f"initial_{index}")
    x = layers.Flatten(name="initial_flat")(x)
    x = layers.Dense(centers, activation="softmax", dtype="float32", name="initial_centers")(x)
    shape = ShapeMixture(n, dtype="float32", name="initial_shape")(x)
    steps = [f"initial_{i}_{kind}" for i in range(1, len(_PREDICTOR) + 1) for kind in
             ("conv", "bn", "relu")]  # fmt: skip
    names = [*steps, "initial_flat", "initial_centers", "initial_shape"]
    view = keras.Model(image, shape)
    return shape, [view.get_layer(name) for name in names]


def _coordinates(n: int, name: str) -> Any:
    # Starts near zero: a stage begins as the identity.
    near_zero = keras.initializers.RandomNormal(stddev=1e-3)
    return layers.Dense(2 * n, kernel_initializer=near_zero, dtype="float32", name=name)
