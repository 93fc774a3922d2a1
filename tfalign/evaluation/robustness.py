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
from tfalign.evaluation import published_robustness as paper
from tfalign.evaluation.boxes import BoxSource, choose_boxes
from tfalign.evaluation.evaluate import batches, length_of
from tfalign.evaluation.faces import convert_points
from tfalign.evaluation.perturbations import Perturbation, tsr_table_2
from tfalign.evaluation.protocols import Floats, Protocol, get_protocol
from tfalign.evaluation.scores import Score, compute_score
from tfalign.evaluation.tables import format_table
from tfalign.inference.detectors import Detector
from tfalign.inference.predictor import Predictor, load_predictor


@dataclass(frozen=True, eq=False)
class Robustness:
    """Errors under several conditions.

    Attributes:
        protocol: How it was scored.
        frame: One row per model and condition: ``model``, ``kind`` (of the perturbation, or
            ``"box"``), ``condition`` (amount or box source), ``faces``, ``nme``, ``failure_rate``,
            ``auc`` (fractions), ``missed`` (faces without a detection).
    """

    protocol: Protocol
    frame: pd.DataFrame

    def pivot(self, kind: str) -> pd.DataFrame:
        """Returns NME in per cent of one kind: models in rows, conditions in columns."""
        part = self.frame[self.frame["kind"] == kind]
        table = part.pivot(index="model", columns="condition", values="nme") * 100
        models = list(dict.fromkeys(part["model"]))
        return table.loc[models, list(dict.fromkeys(part["condition"]))]

    def with_published(self, kind: str) -> pd.DataFrame:
        """Returns ``pivot`` with the rows of TSR's Tables 1 and 2 below ours.

        Only columns that both have are filled; the published faces are the 689 of 300-W's full set.
        Nothing is added under another protocol than ``300w_inter_ocular``.
        """
        table = self.pivot(kind)
        if self.protocol.name != "300w_inter_ocular":
            return table
        theirs = paper.rows(kind)
        known = [c for c in table.columns if any(c in row for row in theirs.values())]
        if not known:
            return table
        published = pd.DataFrame.from_dict(theirs, orient="index").reindex(columns=table.columns)
        return pd.concat([table, published])

    def growth(self) -> pd.DataFrame:
        """Returns the perturbations' rows with ``growth``: NME over the unperturbed NME, minus 1.

        Raises:
            ValueError: If a model has no unperturbed row.
        """
        clean = self.frame[self.frame["kind"] == "none"].set_index("model")["nme"]
        rows = self.frame[~self.frame["kind"].isin(["none", "box"])].copy()
        absent = sorted(set(rows["model"]) - set(clean.index))
        if absent:
            raise ValueError(
                'Growth needs the perturbation "none" for every model. Received none for: '
                f"{', '.join(absent)}"
            )
        rows["growth"] = rows["nme"].to_numpy() / clean.loc[rows["model"]].to_numpy() - 1.0
        return rows

    def table(self) -> str:
        """Returns the tables as text: NME in per cent, one block per kind."""
        blocks = [f"NME %, {self.protocol.title}"]
        for kind in dict.fromkeys(self.frame["kind"]):
            blocks.append(f"{kind}\n{format_table(self.with_published(kind), 2)}")
        return "\n\n".join(blocks)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON; errors are fractions."""
        return {"protocol": self.protocol.name, "rows": self.frame.to_dict(orient="records")}


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
    box: BoxSource = "landmarks",
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
        box: Where the unspoiled box comes from. The model's own padding follows after.
        detector: For ``box="detector"``.
        seed: Decides the directions.
        batch_size: Faces per batch.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: As ``evaluate_model``.
    """
    chosen = tsr_table_2() if perturbations is None else tuple(perturbations)

    def croppings(batch: Sequence[Sample], directions: Floats) -> Iterator[_Cropping]:
        found = choose_boxes(batch, box, detector)
        for spoil in chosen:
            boxes, angles = spoil.apply(found.boxes, directions)
            yield _Cropping((spoil.kind, spoil.amount), boxes, angles, found.missed)

    return _measure(models, samples, protocol, threshold, croppings, seed, batch_size, progress)


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

    def croppings(batch: Sequence[Sample], directions: Floats) -> Iterator[_Cropping]:
        for name, source in sources.items():
            if callable(source):
                found = choose_boxes(batch, "detector", source)
            else:
                found = choose_boxes(batch, source)
            yield _Cropping(("box", name), found.boxes, None, found.missed)

    return _measure(models, samples, protocol, threshold, croppings, 0, batch_size, progress)


def _measure(
    models: Mapping[str, Any],
    samples: Iterable[Sample],
    protocol: str | Protocol,
    threshold: float | None,
    croppings: Croppings,
    seed: int,
    batch_size: int,
    progress: bool,
) -> Robustness:
    """Runs every model under every condition, decoding each image once."""
    chosen = get_protocol(protocol)
    predictors = {
        name: model if isinstance(model, Predictor) else load_predictor(model)
        for name, model in models.items()
    }
    generator = np.random.default_rng(seed)
    truth: list[Any] = []
    visible: list[Any] = []
    boxes: list[Any] = []
    predicted: dict[tuple[str, Key], list[Floats]] = {}
    missed: Counter[Key] = Counter()
    undefined: dict[str, tuple[str, ...]] = dict.fromkeys(predictors, ())
    with tqdm(
        total=length_of(samples), unit="face", disable=not progress, desc="robustness"
    ) as bar:
        for batch in batches(samples, batch_size):
            images = [sample.image for sample in batch]
            schemes = {sample.scheme for sample in batch}
            directions = generator.uniform(0.0, 2.0 * np.pi, len(batch))
            truth += [sample.landmarks for sample in batch]
            visible += [sample.visible for sample in batch]
            boxes += [sample.box for sample in batch if sample.box_source == "file"]
            for cropping in croppings(batch, directions):
                missed[cropping.key] += int(cropping.missed.sum())
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
        )
        rows.append(
            {
                "model": name,
                "kind": key[0],
                "condition": key[1],
                "faces": len(result),
                "nme": result.nme,
                "failure_rate": result.failure_rate,
                "auc": result.auc,
                "missed": missed[key],
            }
        )
    if not rows:
        raise ValueError("There must be a model, a condition and a face. Received: none of one")
    return Robustness(chosen, pd.DataFrame(rows))
