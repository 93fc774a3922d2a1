"""Measures a model on held-out faces: the number that training watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tfalign import geometry
from tfalign.evaluation.boxes import cache_boxes
from tfalign.evaluation.protocols import Protocol, get_protocol
from tfalign.evaluation.scores import Score, compute_score
from tfalign.markup import LandmarkScheme
from tfalign.training.feed import cache_fingerprint

# Of a stage: the largest standard deviation over faces of how far it moves a point, as a share of
# the input. A ten thousandth of a pixel is rounding.
IDLE = 1e-6

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Validation:
    """Held-out faces and the protocol they are measured by.

    Attributes:
        images: (N, h, w, 3), as the model takes them.
        landmarks: (N, n, 2), annotated, in image pixels.
        image_from_output: (N, 2, 3), maps from the model's input pixels to image pixels.
        protocol: How they are scored, see `tfalign.evaluation.get_protocol`.
        boxes: (N, 4) in image pixels, for protocols that divide by the box, or None.
        fingerprint: Identity of the data, part of the run's configuration.
        batch_size: Faces predicted at once.
        annotated: (N, n) bool, the points that count; None counts all.
        crop: The convention by which they were cropped, which must be the model's; None if unknown.
    """

    images: np.ndarray
    landmarks: np.ndarray
    image_from_output: np.ndarray
    protocol: str | Protocol
    boxes: np.ndarray | None = None
    fingerprint: str = ""
    batch_size: int = 64
    annotated: np.ndarray | None = None
    crop: Any = None

    @property
    def scheme(self) -> LandmarkScheme:
        """The landmark scheme by which they are scored, which must be the model's."""
        return get_protocol(self.protocol).scheme

    @classmethod
    def from_cache(cls, cache: Any, protocol: str | Protocol, batch_size: int = 64) -> Validation:
        """Makes a validation set of a crop cache's nominal crops.

        Args:
            cache: A `tfalign.data.pipeline.CropCache`.
            protocol: How it is scored, see `tfalign.evaluation.get_protocol`.
            batch_size: Faces predicted at once.

        Raises:
            ValueError: If the protocol scores other points than the cache has.
        """
        from tfalign.data import pipeline

        scored = get_protocol(protocol)
        if cache.scheme.points != scored.scheme.points:
            raise ValueError(
                f"Protocol {scored.name!r} scores the scheme {scored.scheme.name!r}: convert the "
                f"faces, or give another protocol. Received: faces of {cache.scheme.name!r}"
            )
        return cls(
            images=pipeline.evaluation_arrays(cache)[0],
            landmarks=cache.image_landmarks,
            image_from_output=np.asarray(geometry.invert(cache.maps)),
            protocol=protocol,
            boxes=cache_boxes(cache, scored),
            fingerprint=cache_fingerprint(cache),
            batch_size=batch_size,
            annotated=cache.annotated,
            crop=cache.crop,
        )

    def in_pixels(self, predicted: np.ndarray) -> np.ndarray:
        """Returns landmarks (N, n, 2) in image pixels for predictions (N, n, 2) in [0, 1]."""
        points = geometry.pixel_from_unit(predicted, self.images.shape[1:3])
        return np.asarray(geometry.transform_points(self.image_from_output, points))

    def measure(self, predict: Predict) -> dict[str, float]:
        """Returns ``val_nme`` and, for a cascade, ``val_nme_0`` … of each stage, as fractions.

        Args:
            predict: Images (b, h, w, 3) to landmarks (b, stages, n, 2) in [0, 1].
        """
        stages = self.predict_all(predict)
        nmes = [self.score(stages[:, stage]).nme for stage in range(stages.shape[1])]
        values = {"val_nme": nmes[-1]}
        if len(nmes) > 1:
            values.update({f"val_nme_{stage}": nme for stage, nme in enumerate(nmes)})
        return values

    def idle_stages(self, predict: Predict) -> list[int]:
        """Returns the stages of a cascade that move all faces alike, as dead filters do.

        Args:
            predict: Images (b, h, w, 3) to landmarks (b, stages, n, 2) in [0, 1].
        """
        if len(self.images) < 2:
            return []
        moves = np.diff(self.predict_all(predict), axis=1)
        spread = moves.std(axis=0).max(axis=(1, 2))
        return [stage for stage, value in enumerate(spread, start=1) if value < IDLE]

    def predict_all(self, predict: Predict) -> np.ndarray:
        """Returns every stage's landmarks (N, stages, n, 2) in [0, 1]."""
        starts = range(0, len(self.images), self.batch_size)
        parts = [predict(self.images[start : start + self.batch_size]) for start in starts]
        return np.concatenate(parts)

    def score(self, predicted: np.ndarray) -> Score:
        """Returns the score of predictions (N, n, 2) in [0, 1]."""
        # Without evaluation's warnings: an untrained model looks like all the mistakes it knows.
        pixels = self.in_pixels(predicted)
        return compute_score(
            pixels, self.landmarks, self.protocol, boxes=self.boxes, annotated=self.annotated
        )


def stage_predictor(model: keras.Model) -> Predict:
    """Returns a function from images to every stage's landmarks, in inference mode.

    On JAX it computes the same on every process from the replicated weights, so that it also works
    where a run spans processes, in which Keras's own ``predict`` cannot gather its results.

    Args:
        model: The ``stage_model`` of a ``LandmarkModel``.
    """
    if keras.backend.backend() != "jax":
        if model.distribute_strategy.num_replicas_in_sync > 1:
            # Keras would let every replica predict the whole batch and return it so many times.
            return lambda images: np.asarray(model(images, training=False))
        return lambda images: np.asarray(model.predict_on_batch(images))

    import jax

    @jax.jit
    def run(trainable: Any, fixed: Any, images: Any) -> Any:
        return model.stateless_call(trainable, fixed, images, training=False)[0]

    def predict(images: np.ndarray) -> np.ndarray:
        trainable = [variable.value for variable in model.trainable_variables]
        fixed = [variable.value for variable in model.non_trainable_variables]
        return np.asarray(run(trainable, fixed, images))

    return predict
