"""From collected predictions to an ``Evaluation``, for images and for crops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfalign import markup
from tfalign.evaluation.checks import warn
from tfalign.evaluation.evaluation import Evaluation
from tfalign.evaluation.protocols import Floats, Protocol, related_protocols
from tfalign.evaluation.scores import Score, compute_score
from tfalign.evaluation.subsets import subsets_of
from tfalign.evaluation.worst import Case


@dataclass
class Faces:
    """What is kept of each face: everything but its pixels.

    Attributes:
        names, attributes: Of the samples.
        truth: (n, 2) true landmarks of each face, image pixels.
        visible: (n,) bool of each face.
        boxes: (4,) annotated boxes; fewer than faces where some have none.
        predicted: (n, 2) predictions in the protocol's scheme, image pixels.
        missed: Names of the faces that a detector missed.
        undefined: Names of the points that the model's scheme lacks.
    """

    names: list[str] = field(default_factory=list)
    attributes: list[Mapping[str, Any]] = field(default_factory=list)
    truth: list[Any] = field(default_factory=list)
    visible: list[Any] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    predicted: list[Any] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    undefined: tuple[str, ...] = ()

    def evaluation(
        self,
        protocol: Protocol,
        threshold: float | None,
        *,
        model_name: str,
        dataset: str,
        split: str | None,
        box: str,
        seconds: float,
        worst: tuple[Case, ...] = (),
        fingerprint: str | None = None,
    ) -> Evaluation:
        """Scores the faces under the protocol and, beside it, the set's other protocols.

        Raises:
            ValueError: If there is no face, or the predictions cannot be scored.
        """
        if not self.names:
            raise ValueError("There must be at least one face to evaluate. Received: none")
        truth = np.asarray(self.truth, np.float64)
        predicted = np.asarray(self.predicted, np.float64)
        visible = np.asarray(self.visible, np.bool_)
        boxes = np.asarray(self.boxes, np.float64) if len(self.boxes) == len(truth) else None

        def scored(by: Protocol) -> Score:
            return compute_score(
                predicted,
                truth,
                by,
                threshold,
                visible=visible,
                boxes=boxes,
                missing=self.undefined,
            )

        main = scored(protocol)
        warn(main.warnings)
        related: list[Score] = []
        unscored: dict[str, str] = {}
        for other in related_protocols(protocol):
            try:
                related.append(scored(other))
            except ValueError as error:  # e.g. no inter-pupil distance in a pure profile
                unscored[other.name] = str(error)
        return Evaluation(
            model_name=model_name,
            dataset=dataset,
            split=split,
            box=box,
            score=main,
            subsets=subsets_of(protocol.dataset, self.names, self.attributes),
            names=tuple(self.names),
            predicted=predicted,
            truth=truth,
            seconds=seconds,
            related=tuple(related),
            unscored=unscored,
            missed=tuple(self.missed),
            undefined=self.undefined,
            worst=worst,
            fingerprint=fingerprint,
        )


def convert_points(
    points: Floats,
    source: markup.LandmarkScheme | None,
    data_schemes: Iterable[markup.LandmarkScheme],
    protocol: Protocol,
) -> tuple[Floats, tuple[str, ...]]:
    """Converts predictions into the protocol's scheme.

    Args:
        points: (faces, n, 2) predictions.
        source: Their scheme.
        data_schemes: The annotations' schemes.
        protocol: Decides the scheme of the result.

    Returns:
        (faces, m, 2), and the names of the points that ``source`` lacks (NaN).

    Raises:
        ValueError: If the data's scheme is not the protocol's, or the model's is unknown or cannot
            be converted.
    """
    target = protocol.scheme
    others = sorted(scheme.name for scheme in data_schemes if scheme != target)
    if others:
        raise ValueError(
            f"Protocol {protocol.name!r} scores the scheme {target.name!r}. Received: annotations "
            f"of {', '.join(others)}"
        )
    if source is None:
        raise ValueError(
            f"The model's landmark scheme is unknown, so it cannot be scored as {target.name!r}: "
            "give `scheme` when loading it. Received: scheme=None"
        )
    if source == target:
        return points, ()
    plan = markup.conversion(source, target)
    converted = markup.convert(points, source, target, undefined="nan")
    return np.asarray(converted, np.float64), plan.undefined
