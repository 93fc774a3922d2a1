"""How the error grows when the face box is wrong: TSR's Tables 1 and 2 for any models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from tfalign.data.sample import Sample
from tfalign.evaluation import published
from tfalign.evaluation.boxes import (
    BoxSource,
    Perturbation,
    box_of,
    choose_boxes,
    dividing_box,
    fits_faces,
    tsr_table_2,
    usual_box,
)
from tfalign.evaluation.checks import warn
from tfalign.evaluation.evaluate import batches, convert_points, length_of
from tfalign.evaluation.protocols import Floats, Protocol, get_protocol
from tfalign.evaluation.scores import Score, checked_threshold, compute_score, few_faces_note
from tfalign.evaluation.tables import format_table, subsets_of
from tfalign.inference.detectors import Detector
from tfalign.inference.predictor import Predictor, load_predictor


@dataclass(frozen=True, eq=False)
class Robustness:
    """Errors under several conditions.

    Attributes:
        protocol: How it was scored.
        frame: One row per model, condition and subset: ``model``, ``kind`` (of the perturbation, or
            ``"box"``), ``condition`` (amount or box source), ``subset`` (the data set's customary
            columns; all faces are ``"full"`` or ``"all"``), ``faces``, ``nme``, ``failure_rate``,
            ``auc`` (fractions), ``missed`` (faces without a detection).
        box: Source of the boxes that perturbations spoil.
        remarks: What is known beyond the numbers, e.g. that a model lacks some of the points.
    """

    protocol: Protocol
    frame: pd.DataFrame
    box: str = "landmarks"
    remarks: tuple[str, ...] = ()

    @property
    def subsets(self) -> list[str]:
        """Names of the columns that were measured, all faces last."""
        names = list(dict.fromkeys(self.frame["subset"]))
        # As papers print them: 300-W's come last, but WFLW's first.
        return sorted(names, key=lambda name: name in ("full", "all"))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know, in words."""
        whole = self.whole()
        faces = int(whole["faces"].iloc[0])
        notes = [*self.remarks]
        if rough := few_faces_note(faces):
            notes.append(rough)
        for kind, condition, missed in zip(
            whole["kind"], whole["condition"], whole["missed"], strict=True
        ):
            if missed:
                notes.append(
                    f"The detector missed {missed} of {faces} faces "
                    f"({condition if kind == 'box' else self.box} boxes); these were cropped by "
                    "the data set's box, or the landmarks' where it has none."
                )
        return tuple(dict.fromkeys(notes))

    @property
    def title(self) -> str:
        """What the tables' figures are, in one line."""
        faces = int(self.whole()["faces"].iloc[0])
        return f"NME {self.protocol.unit}, {self.protocol.title}, {faces} faces"

    def whole(self) -> pd.DataFrame:
        """Returns the rows of ``frame`` that speak of all faces."""
        return self.frame[self.frame["subset"] == self.subsets[-1]]

    def pivot(self, kind: str, subset: str | None = None) -> pd.DataFrame:
        """Returns NME of one kind in the protocol's unit: models in rows, conditions in columns.

        Args:
            kind: Of the perturbation, or ``"box"``.
            subset: One of ``subsets``; None takes all faces.
        """
        part = self.frame[self.frame["kind"] == kind]
        part = part[part["subset"] == (subset or self.subsets[-1])]
        table = part.pivot(index="model", columns="condition", values="nme") * self.protocol.scale
        models = list(dict.fromkeys(part["model"]))
        return table.loc[models, list(dict.fromkeys(part["condition"]))]

    def with_published(self, kind: str, subset: str | None = None) -> pd.DataFrame:
        """Returns ``pivot`` with the rows of TSR's Tables 1 and 2 below ours.

        The paper's rows speak of 300-W's test sets (554, 135 and 689 faces) and, in Table 2, of the
        official detector's boxes: they are added only where ours are of the same faces and boxes.
        """
        table = self.pivot(kind, subset)
        column = subset or self.subsets[-1]
        faces = int(self.frame[self.frame["subset"] == column]["faces"].iloc[0])
        same = published.comparable(self.protocol.dataset, column, faces)
        if not same or (kind != "box" and self.box != "file"):
            return table
        theirs: dict[str, dict[Any, float]] = {}
        for condition in table.columns:
            value = condition if isinstance(condition, str) else f"{condition:g}"
            for result in published.find(self.protocol.name, condition=f"{kind}={value}"):
                if result.subset == column:
                    theirs.setdefault(result.method, {})[condition] = result.value
        return pd.concat([table, pd.DataFrame.from_dict(theirs, orient="index")])

    def growth(self) -> pd.DataFrame:
        """Returns the perturbations' rows with ``growth``: NME over the unperturbed NME, minus 1.

        Raises:
            ValueError: If a model has no unperturbed row.
        """
        keys = ["model", "subset"]
        clean = self.frame[self.frame["kind"] == "none"].set_index(keys)["nme"]
        rows = self.frame[~self.frame["kind"].isin(["none", "box"])].copy()
        absent = sorted(set(rows["model"]) - set(clean.index.get_level_values("model")))
        if absent:
            raise ValueError(
                'Growth needs the perturbation "none" for every model. Received none for: '
                f"{', '.join(absent)}"
            )
        before = clean.loc[list(rows[keys].itertuples(index=False, name=None))]
        rows["growth"] = rows["nme"].to_numpy() / before.to_numpy() - 1.0
        return rows

    def blocks(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields the title and the table of each kind and subset."""
        for kind in dict.fromkeys(self.frame["kind"]):
            boxes = "" if kind == "box" else f", {self.box} boxes"
            for subset in self.subsets:
                yield f"{kind}, {subset}{boxes}", self.with_published(kind, subset)

    def table(self) -> str:
        """Returns the tables as text: NME in the protocol's unit, one block per kind and subset."""
        blocks = (f"{title}\n{format_table(table, 2)}" for title, table in self.blocks())
        return "\n\n".join([self.title, *blocks, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON; errors are fractions."""
        rows = self.frame.to_dict(orient="records")
        return {
            "protocol": self.protocol.name,
            "box": self.box,
            "rows": rows,
            "notes": list(self.notes),
        }


Key = tuple[str, Any]
"""Kind and condition of one column."""


@dataclass(frozen=True, eq=False)
class _Cropping:
    """How a batch of faces is cropped under one condition."""

    key: Key
    boxes: NDArray[Any]
    angles: Floats | None
    missed: NDArray[np.bool_]


Croppings = Callable[[Sequence[Sample], Floats], Iterator[_Cropping]]
"""(batch, directions) → its croppings under every condition."""


def box_sweep(
    models: Mapping[str, Any],
    samples: Iterable[Sample],
    protocol: str | Protocol,
    perturbations: Sequence[Perturbation] | None = None,
    *,
    threshold: float | None = None,
    box: BoxSource | None = None,
    detector: Detector | None = None,
    seed: int = 0,
    batch_size: int = 32,
    progress: bool = True,
) -> Robustness:
    """Measures models on spoiled boxes (TSR's Table 2).

    Args:
        models: Name to model, as for ``evaluate_model``.
        samples: Samples of one data set; read once.
        protocol: How to score.
        threshold: Limit of failure rate and AUC, a fraction; None takes the protocol's.
        perturbations: What to do to the boxes; None takes ``tsr_table_2()``.
        box: Where the unspoiled box comes from; None takes what the models were trained with, which
            must be the same. The model's own padding follows after.
        detector: For ``box="detector"``.
        seed: Decides the directions.
        batch_size: Faces per batch.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: As ``evaluate_model``.
    """
    chosen = tsr_table_2() if perturbations is None else tuple(perturbations)
    if twice := [spoil for spoil, count in Counter(chosen).items() if count > 1]:
        raise ValueError(
            "Each amount of a perturbation must be given once. Received twice: "
            + ", ".join(f"{spoil.kind} {spoil.amount:g}" for spoil in twice)
        )
    models = {name: predictor_of(model) for name, model in models.items()}
    source = common_box(models, samples) if box is None else box
    partly = box_of(samples) == "file"
    if source == "detector":
        check_whole_faces(models)

    def croppings(batch: Sequence[Sample], directions: Floats) -> Iterator[_Cropping]:
        found = choose_boxes(batch, source, detector, partly=partly)
        for spoil in chosen:
            boxes, angles = spoil.apply(found.boxes, directions)
            yield _Cropping((spoil.kind, spoil.amount), boxes, angles, found.missed)

    frame = _measure(models, samples, protocol, threshold, croppings, seed, batch_size, progress)
    remarks = left_out_notes(models, get_protocol(protocol))
    return Robustness(get_protocol(protocol), frame, source, remarks)


def check_whole_faces(models: Mapping[str, Predictor]) -> None:
    """Raises ``ValueError`` for a model that a detector's box is fitted to before it is cropped."""
    for name, model in models.items():
        if not fits_faces(model.backend.box_padding):
            raise ValueError(
                "Models that are compared on a detector's boxes must take them as they are, as "
                "those with points of the whole face do; `evaluate` measures others one by one. "
                f"Received: {name}"
            )


def left_out_notes(models: Mapping[str, Predictor], protocol: Protocol) -> tuple[str, ...]:
    """Returns what to say of points that a model's scheme lacks: its errors are of the others."""
    notes = []
    for name, model in models.items():
        # Of no face: only which points these are is asked for.
        none = np.zeros((0, model.backend.num_landmarks, 2))
        _, undefined = convert_points(none, model.backend.scheme, (), protocol)
        if undefined:
            notes.append(
                f"{name}: {len(undefined)} of {protocol.scheme.num_points} points do not exist in "
                f"the model's scheme and are left out: {', '.join(undefined)}."
            )
    return tuple(notes)


def predictor_of(model: Any) -> Predictor:
    """Returns a predictor of whatever ``evaluate_model`` takes."""
    return model if isinstance(model, Predictor) else load_predictor(model)


def common_box(models: Mapping[str, Predictor], faces: Any) -> BoxSource:
    """Returns the box source that all models were trained with, see ``usual_box``.

    Raises:
        ValueError: If they were trained with different ones.
    """
    found = {name: usual_box(model.backend, faces) for name, model in models.items()}
    if len(set(found.values())) > 1:
        raise ValueError(
            "Models that are compared must be cropped by the same boxes: give `box`. Received: "
            + ", ".join(f"{name} trained with {box!r}" for name, box in found.items())
        )
    return next(iter(found.values()), "landmarks")


def box_comparison(
    models: Mapping[str, Any],
    samples: Iterable[Sample],
    protocol: str | Protocol,
    sources: Mapping[str, BoxSource | Detector],
    *,
    threshold: float | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> Robustness:
    """Measures models on boxes of several sources (TSR's Table 1).

    Args:
        models: Name to model, as for ``evaluate_model``.
        samples: Samples of one data set; read once.
        protocol: How to score.
        threshold: Limit of failure rate and AUC, a fraction; None takes the protocol's.
        sources: Column name to ``"landmarks"``, ``"file"``, ``"detector"`` (Viola–Jones) or another
            detector.
        batch_size: Faces per batch.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: As ``evaluate_model``.
    """

    models = {name: predictor_of(model) for name, model in models.items()}
    if any(callable(source) or source == "detector" for source in sources.values()):
        check_whole_faces(models)
    partly = box_of(samples) == "file"

    def croppings(batch: Sequence[Sample], directions: Floats) -> Iterator[_Cropping]:
        for name, source in sources.items():
            if callable(source):
                found = choose_boxes(batch, "detector", source)
            else:
                found = choose_boxes(batch, source, partly=partly)
            yield _Cropping(("box", name), found.boxes, None, found.missed)

    frame = _measure(models, samples, protocol, threshold, croppings, 0, batch_size, progress)
    remarks = left_out_notes(models, get_protocol(protocol))
    return Robustness(get_protocol(protocol), frame, remarks=remarks)


def _measure(
    models: Mapping[str, Any],
    samples: Iterable[Sample],
    protocol: str | Protocol,
    threshold: float | None,
    croppings: Croppings,
    seed: int,
    batch_size: int,
    progress: bool,
) -> pd.DataFrame:
    """Runs every model under every condition, decoding each image once."""
    chosen = get_protocol(protocol)
    checked_threshold(threshold, chosen)  # before all faces are measured
    predictors = {name: predictor_of(model) for name, model in models.items()}
    generator = np.random.default_rng(seed)
    truth: list[Any] = []
    visible: list[Any] = []
    annotated: list[Any] = []
    boxes: list[Any] = []
    predicted: dict[tuple[str, Key], list[Floats]] = {}
    missed: dict[Key, list[NDArray[np.bool_]]] = {}
    names: list[str] = []
    attributes: list[Mapping[str, Any]] = []
    undefined: dict[str, tuple[str, ...]] = dict.fromkeys(predictors, ())
    with tqdm(
        total=length_of(samples), unit="face", disable=not progress, desc="robustness"
    ) as bar:
        for batch in batches(samples, batch_size):
            images = [sample.image for sample in batch]
            schemes = {sample.scheme for sample in batch}
            directions = generator.uniform(0.0, 2.0 * np.pi, len(batch))
            names += [sample.name for sample in batch]
            attributes += [sample.attributes for sample in batch]
            truth += [sample.landmarks for sample in batch]
            visible += [sample.visible for sample in batch]
            annotated += [sample.annotated for sample in batch]
            own = [dividing_box(sample, chosen) for sample in batch]
            boxes += [box for box in own if box is not None]
            for cropping in croppings(batch, directions):
                missed.setdefault(cropping.key, []).append(cropping.missed)
                for name, predictor in predictors.items():
                    points = predictor(images, cropping.boxes, cropping.angles)
                    points, undefined[name] = convert_points(
                        points, predictor.backend.scheme, schemes, chosen
                    )
                    predicted.setdefault((name, cropping.key), []).append(points)
            bar.update(len(batch))
    rows = []
    for (name, key), parts in predicted.items():
        result: Score = compute_score(
            np.concatenate(parts),
            np.asarray(truth),
            chosen,
            threshold,
            visible=np.asarray(visible, np.bool_),
            boxes=np.asarray(boxes) if len(boxes) == len(truth) else None,
            missing=undefined[name],
            annotated=np.asarray(annotated, np.bool_),
        )
        if key[0] in ("none", "box"):
            warn(result.warnings)
        for subset, mask in subsets_of(chosen.dataset, names, attributes).items():
            part = result.subset(mask)
            rows.append(
                {
                    "model": name,
                    "kind": key[0],
                    "condition": key[1],
                    "subset": subset,
                    "faces": len(part),
                    "nme": part.nme,
                    "failure_rate": part.failure_rate,
                    "auc": part.auc,
                    "missed": int(np.concatenate(missed[key])[mask].sum()),
                }
            )
    if not rows:
        raise ValueError("There must be a model, a condition and a face. Received: none of one")
    return pd.DataFrame(rows)
