"""From trained models to a paper's tables: predictions, rows and columns, published rows beside."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import stats

from tfalign import macc
from tfalign.data import sets
from tfalign.data.readers import Reader
from tfalign.evaluation import (
    box_comparison,
    box_sweep,
    evaluate_model,
    get_protocol,
    plots,
    published,
    tsr_table_2,
)
from tfalign.evaluation.boxes import box_of, dividing_box
from tfalign.evaluation.scores import Score, compute_score
from tfalign.evaluation.tables import format_table, subsets_of
from tfalign.files import read_json, sha256, versions, write_json, write_whole
from tfalign.models.saved import load_model
from tfalign.paper.experiment import Column, Item, Paper, Training
from tfalign.paper.trainings import Workshop, options_of, result_of, train_all, watched_faces

_PARTS = {"helen": "helen/testset/", "lfpw": "lfpw/testset/"}
_WHOLE = ("full", "all")

ZEROS = {"zeros_in_p": "basis", "zeros_in_c": "codes"}
"""Metrics of DSSD's factors to the variable of ``tfalign.layers.SharableDetectors``."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model finds on a set of faces.

    Attributes:
        reader: The faces.
        what: ``"official"`` test faces, or which others.
        box: Source of their boxes.
        predicted: (faces, n, 2) in image pixels, in the protocol's scheme.
    """

    reader: Reader
    what: str
    box: str
    predicted: np.ndarray

    def score(self, column: Column, mask: np.ndarray | None = None) -> Score:
        """Returns the score of the faces in a mask, or of all."""
        records = self.reader.records
        protocol = get_protocol(column.protocol)
        boxes = [b for r in records if (b := dividing_box(r, protocol)) is not None]
        found = compute_score(
            self.predicted,
            np.stack([r.landmarks for r in records]).astype(np.float64),
            column.protocol,
            column.threshold,
            visible=np.stack([r.visible for r in records]),
            boxes=np.stack(boxes) if len(boxes) == len(records) else None,
        )
        return found if mask is None else found.subset(mask)

    def mask(self, column: Column) -> np.ndarray | None:
        """Returns which faces a column is about; None if it has none here."""
        return mask_of(self.reader, column)


def mask_of(reader: Reader, column: Column) -> np.ndarray | None:
    """Returns which faces of a reader a column is about, (faces,) bool; None if it has none."""
    names = [record.name for record in reader.records]
    everyone = np.ones(len(names), np.bool_)
    if column.subset in _PARTS:
        found = np.array([name.startswith(_PARTS[column.subset]) for name in names])
    elif column.subset in (*_WHOLE, column.split):
        found = everyone
    else:
        dataset = get_protocol(column.protocol).dataset
        attributes = [record.attributes for record in reader.records]
        found = subsets_of(dataset, names, attributes).get(column.subset, ~everyone)
    return found if found.any() else None


class Bench:
    """An item on the bench: its models, faces and files.

    Args:
        paper: The paper.
        name: The item's name.
        shop: Data, results and scale.
        seeds: Of the trainings; pictures show the first.
        only: Labels of the rows that are wanted; None takes all.

    Raises:
        ValueError: If there is no such item or row, or a seed is given twice.
    """

    def __init__(
        self,
        paper: Paper,
        name: str,
        shop: Workshop,
        seeds: Sequence[int] = (0,),
        only: Sequence[str] | None = None,
    ) -> None:
        self.paper, self.name, self.shop, self.seeds = paper, name, shop, tuple(seeds)
        self.item: Item = paper.item(name)
        if not seeds or len(set(seeds)) < len(seeds):
            # One training counted twice would make the spread of seeds too small.
            raise ValueError(
                "Each seed must be given once, and at least one. Received: seeds="
                f"{', '.join(map(str, seeds)) or 'none'}"
            )
        if only is not None and not set(only) <= set(self.item.rows):
            raise ValueError(
                f"Rows of {paper.name} {name} are {', '.join(self.item.rows)}. Received: "
                f"{', '.join(only)}"
            )
        self.rows = {
            label: training
            for label, training in self.item.rows.items()
            if only is None or label in only
        }
        part = "" if self.rows == dict(self.item.rows) else "-part"
        self.out = shop.out / paper.name / f"{name}-{shop.label}{part}"
        self._known: dict[Any, Any] = {}

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def training(self, label: str) -> Training:
        """Returns the training of a row."""
        return self.paper.trainings[self.rows[label]]

    def folder(self, label: str, seed: int | None = None) -> Path:
        """Returns the folder of a row's training, of the first seed unless one is said."""
        chosen = self.seeds[0] if seed is None else seed
        return self.shop.folder(self.paper, self.rows[label], chosen)

    def model(self, label: str, seed: int | None = None) -> Any:
        """Returns a row's model."""
        path = self.folder(label, seed) / "model.keras"
        return self._once(path, lambda: load_model(path))

    def faces(self, label: str, column: Column | None = None) -> tuple[Reader, str] | None:
        """Returns the test faces of a row and what they are; None where they are not there."""
        training = self.training(label)
        data = training.data if column is None or column.data is None else column.data
        split = "test" if column is None else column.split
        box = training.box if data == training.data else None
        found: tuple[Reader, str] | None = self._once(
            (data, split, box), lambda: self.shop.test_faces(data, split, box)
        )
        return found

    def needed_faces(self, label: str, column: Column | None = None) -> tuple[Reader, str]:
        """Returns `faces`.

        Raises:
            FileNotFoundError: If they are not there.
        """
        found = self.faces(label, column)
        if found is None:
            raise FileNotFoundError(
                f"The test faces of {self.paper.name} {self.name} must be there. Received: "
                f"{self.shop.data}"
            )
        return found

    def predictions(
        self, label: str, column: Column, seed: int | None = None
    ) -> Predictions | None:
        """Returns what a row's model finds; None where its test faces are not there."""
        found = self.faces(label, column)
        return None if found is None else self._found(label, column, seed, *found)

    def watched(self, label: str, column: Column, seed: int) -> Predictions | None:
        """Returns what a row's model finds on the faces that its training watched.

        None where it watched none, or where they are not there.
        """
        training = self.training(label)
        key = ("watched", self.rows[label])
        try:
            reader = self._once(key, lambda: watched_faces(training, self.shop))
        except FileNotFoundError:
            return None
        return None if reader is None else self._found(label, column, seed, reader, "watched")

    def _found(
        self, label: str, column: Column, seed: int | None, reader: Reader, what: str
    ) -> Predictions:
        box, folder = box_of(reader), self.folder(label, seed)
        scheme = get_protocol(column.protocol).scheme.name
        model_file = folder / "model.keras"
        of_model = self._once(("sha256", model_file), lambda: sha256(model_file))[:16]
        key = f"{of_model}-{reader.fingerprint()[:16]}-{box}-{scheme}"
        cache = folder / "found" / f"{key}.npy"

        def predict() -> np.ndarray:
            if cache.is_file():
                return np.asarray(np.load(cache))
            model, protocol = self.model(label, seed), column.protocol
            done = evaluate_model(model, reader, protocol, box=box, worst=0, progress=False)
            cache.parent.mkdir(exist_ok=True)
            buffer = io.BytesIO()
            np.save(buffer, done.predicted)
            write_whole(cache, buffer.getvalue())
            return np.asarray(done.predicted)

        return Predictions(reader, what, box, self._once(cache, predict))

    @cached_property
    def conditions(self) -> str:
        """What our rows were made under, in words."""
        changed = "".join(f", {name} {value}" for name, value in self.shop.settings.items())
        return f"{self.shop.scale} scale{changed}, {len(self.seeds)} seed(s)"

    def save_figure(self, name: str, figure: Any) -> str:
        """Writes a Matplotlib figure into the item's folder and returns the file's name."""
        write_whole(self.out / name, plots.png_bytes(figure))
        return name


def run_item(
    paper: Paper,
    name: str,
    shop: Workshop,
    *,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Makes a table or figure: trains what is missing, measures, writes and prints.

    Args:
        paper: The paper.
        name: Of the table or figure.
        shop: Data, results and scale.
        seeds: One training of every row for each; values are their means. Pictures and stages are
            those of the first, and no other is trained for them.
        only: Labels of the rows that are wanted; None takes all.
        jobs: Processes that train.

    Returns:
        The content of ``results.json`` in the item's folder ``OUT/PAPER/ITEM-SCALE``; ``"errors"``
        names the trainings that failed, whose rows are left out.

    Raises:
        ValueError: If there is no such item, row or scale, a seed is given twice or ``jobs`` is
            not positive.
    """
    if jobs < 1:
        raise ValueError(f"`jobs` must be at least one process. Received: jobs={jobs}")
    bench = Bench(paper, name, shop, seeds, only)
    if len(seeds) > 1 and bench.item.measure not in MEANS:
        seeds = bench.seeds = bench.seeds[:1]
        print(f"{paper.name} {name} shows one model a row: that of seed {seeds[0]}.", flush=True)
    bench.out.mkdir(parents=True, exist_ok=True)
    names = paper.needed(bench.item, bench.rows)
    failed = [] if bench.item.measure in UNTRAINED else train_all(paper, names, shop, seeds, jobs)
    if bench.item.measure not in UNTRAINED:
        bench.rows = {
            label: training
            for label, training in bench.rows.items()
            if all((bench.folder(label, seed) / "result.json").is_file() for seed in bench.seeds)
        }
    if not bench.rows:
        raise ValueError(f"No row of {paper.name} {name} could be trained: {'; '.join(failed)}")
    content = {
        "paper": paper.citation,
        "item": name,
        "title": bench.item.title,
        "scale": shop.says,
        "seeds": list(bench.seeds),
        "note": bench.item.note,
        "trainings": dict(bench.rows),
        "conditions": bench.conditions,
        **(bench.item.measure or scores)(bench),
        "versions": versions(),
        **({"errors": failed} if failed else {}),
    }
    write_json(bench.out / "results.json", content)
    lines = [f"{paper.name} {name}: {bench.item.title} ({content['scale']})"]
    lines += [content["text"]] if "text" in content else []
    lines += [f"note: {bench.item.note}"] if bench.item.note else []
    print(*lines, bench.out, sep="\n")
    return content


def scores(bench: Bench) -> dict[str, Any]:
    """Fills rows and columns, draws a CED for each column of errors; names what has no faces.

    The curves are those of all seeds' faces together.
    """
    rows: dict[str, dict[str, Any]] = {}
    details: dict[str, Any] = {}
    curves: dict[Column, dict[str, Score]] = {}
    for label in bench.rows:
        rows[label], details[label] = {}, {}
        faces: dict[str, None] = {}
        trained_on = _trained_on(bench, label)
        for column in bench.item.columns:
            value, detail, score = _cell(bench, label, column)
            rows[label][column.title] = value
            details[label][column.title] = detail
            if detail is not None and "faces" in detail:
                other = "" if detail["box"] == trained_on else f" (trained on {trained_on} boxes)"
                about = f"{detail['faces']} faces ({detail['what']}), {detail['box']} boxes{other}"
                faces[about] = None
            if score is not None and column.metric == "nme":
                curves.setdefault(column, {})[label] = score
        watched = _watched(bench, label)
        if watched is not None:
            # What a choice between rows may look at.
            rows[label]["validation nme"] = float(np.mean(watched))
        rows[label] |= _against(bench, label)
        rows[label]["conditions"] = "; ".join([bench.conditions, *_trained(bench, label), *faces])
    theirs = published_rows(bench.item, bench.rows)
    _beside(rows, theirs)
    frame = pd.DataFrame.from_dict(rows, orient="index")
    last = [title for title in (*_CHOICE, "conditions") if title in frame]
    heads = [column.title for column in bench.item.columns if column.title in frame]
    frame = frame[[head for head in heads if frame[head].notna().any()] + last]
    write_whole(bench.out / "table.csv", frame.to_csv(index_label="row"))
    pictures = [
        bench.save_figure(f"ced_{column.title.replace(' ', '_')}.png", plots.ced_plot(found))
        for column, found in curves.items()
    ]
    claim = _claim(bench)
    text = format_table(frame) + ("" if claim is None else f"\n{claim['text']}")
    absent = [
        column.title
        for column in bench.item.columns
        if column.metric not in ZEROS and all(row[column.title] is None for row in details.values())
    ]
    if absent:
        text += f"\nnot measured, since their faces are not there: {', '.join(absent)}"
    return {
        "text": text,
        "rows": details,
        # Of the table's columns those that are no scores of test faces.
        "choice": {
            label: {title: rows[label][title] for title in _CHOICE if title in rows[label]}
            for label in details
        },
        "published": theirs,
        "claim": claim,
        "ced": pictures,
        "absent": absent,
    }


def _trained(bench: Bench, label: str) -> list[str]:
    """Returns how long a row was trained and on how many faces, of its several seeds as far as they
    differ."""
    results = [result_of(bench.folder(label, seed)) for seed in bench.seeds]
    start = bench.training(label).start
    told = {
        "steps" if start is None else f"steps after {start}": [one.get("steps") for one in results],
        "faces trained on": [one.get("data", {}).get("train") for one in results],
    }
    return [
        f"{' / '.join(map(str, dict.fromkeys(values)))} {what}"
        for what, values in told.items()
        if None not in values  # not in results of before 0.2
    ]


def _trained_on(bench: Bench, label: str) -> str:
    """Returns the source of the boxes that a row was trained on, in words."""
    stored = read_json(bench.folder(label) / "run.json")["model"]["config"]
    return str(stored.get("box") or "several sources'")


def _beside(rows: dict[str, dict[str, Any]], theirs: Mapping[str, dict[str, Any]]) -> None:
    """Adds published rows to ours."""
    for label, values in theirs.items():
        rows[label if label not in rows else f"{label} (published)"] = values


def _table(bench: Bench, rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Writes rows into the item's folder and returns them as a table."""
    frame = pd.DataFrame.from_dict(dict(rows), orient="index")
    write_whole(bench.out / "table.csv", frame.to_csv(index_label="row"))
    return frame


def _cell(
    bench: Bench, label: str, column: Column
) -> tuple[float | None, dict[str, Any] | None, Score | None]:
    """Returns a value in the table's unit, its details, and the score of all seeds together."""
    if column.metric in ("million_parameters", "gmacc"):
        value = _size(bench.model(label), column.metric)
        return value, {"value": value}, None
    if column.metric in ZEROS:
        zeros = [_zeros(bench.model(label, seed), ZEROS[column.metric]) for seed in bench.seeds]
        known = [z for z in zeros if z is not None]
        return (float(np.mean(known)) if known else None), {"values": zeros}, None
    found = []
    about: dict[str, str] = {}
    for seed in bench.seeds:
        predictions = bench.predictions(label, column, seed)
        mask = None if predictions is None else predictions.mask(column)
        if predictions is None or mask is None:
            return None, None, None
        about = {"what": predictions.what, "box": predictions.box}
        found.append(predictions.score(column, mask))
    parts = [column.factor * _parts(score, column) for score in found]
    mean, error = mean_and_error(parts)
    detail = {
        "values": [float(part.mean()) for part in parts],
        "faces": len(found[0]),
        **about,
        "standard_error": error,
    }
    return mean, detail, _pooled(found)


def _pooled(scores: Sequence[Score]) -> Score:
    """Returns the score of every seed's faces together: its means are those of the table."""
    arrays = ("errors", "point_errors", "normalizers", "offsets")
    together: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in scores]) for name in arrays
    }
    return dataclasses.replace(scores[0], **together)


def _parts(score: Score, column: Column) -> np.ndarray:
    """Returns what each face contributes to a column's value, which is their mean."""
    if column.metric == "nme":
        return score.errors
    if column.metric == "auc":
        return np.maximum(0.0, 1.0 - score.errors / score.threshold)
    failed = (score.errors > score.threshold).astype(np.float64)
    return failed if column.metric == "failure_rate" else 1.0 - failed


def _zeros(model: Any, variable: str) -> float | None:
    """Returns the share of exact zeros in P or in C of all detectors, in per cent."""
    counted = [
        keras.ops.convert_to_numpy(getattr(layer, variable)).ravel() for layer in model.detectors
    ]
    return 100 * float(np.mean(np.concatenate(counted) == 0.0)) if counted else None


def _size(model: Any, metric: str) -> float:
    counted = macc.count(model)
    return counted.params / 1e6 if metric == "million_parameters" else counted.macc / 1e9


def published_rows(item: Item, labels: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the published rows of an item: method to the values of its columns.

    Ours come first among them; ``conditions`` of each is the table that it stands in.
    """
    rows: dict[str, dict[str, Any]] = {}
    for column in item.columns if item.source else ():
        for result in published.find(column.protocol, column.published_metric, item.source):
            if result.subset == column.subset and result.source == item.source:
                row = rows.setdefault(result.method, {})
                row[column.title] = result.value
                row["conditions"] = f"published: {result.source}" + (
                    f" ({result.note})" if result.note else ""
                )
    return dict(sorted(rows.items(), key=lambda entry: entry[0] not in labels))


def _claim(bench: Bench) -> dict[str, Any] | None:
    """Measures the paper's claim: the difference of two rows' errors, paired over faces."""
    if bench.item.claim is None or not set(bench.item.claim) <= set(bench.rows):
        return None
    better, worse = bench.item.claim
    found = _difference(bench, better, worse)
    return None if found is None else {"better": better, "worse": worse, **found}


def _difference(bench: Bench, label: str, other: str) -> dict[str, Any] | None:
    """Returns `paired` of two rows on all test faces; None where these are not there."""
    column = _main(bench.item)
    differences = []
    for seed in bench.seeds:
        pair = [bench.predictions(row, column, seed) for row in (label, other)]
        scores = [found.score(column).errors for found in pair if found is not None]
        if len(scores) < 2:
            return None
        differences.append(100 * (scores[0] - scores[1]))
    (first, about, _), (second, _, _) = (_cell(bench, row, column) for row in (label, other))
    faces = {name: (about or {}).get(name) for name in ("faces", "what")}
    return {"column": column.title, "errors": [first, second], **faces, **paired(differences)}


def _main(item: Item) -> Column:
    """Returns the column of the error of all faces."""
    return next(c for c in item.columns if c.metric == "nme" and c.subset in _WHOLE)


def _watched(bench: Bench, label: str) -> list[np.ndarray] | None:
    """Returns for each seed (faces,) errors in per cent on the faces that training watched."""
    columns = [c for c in bench.item.columns if c.metric == "nme" and c.data is None]
    if not columns:
        return None
    column = next((c for c in columns if c.subset in _WHOLE), columns[0])
    found = [bench.watched(label, column, seed) for seed in bench.seeds]
    return [100 * one.score(column).errors for one in found if one is not None] or None


_CHOICE = (
    "validation nme",
    "difference",
    "± difference",
    "validation difference",
    "± validation difference",
)


def _against(bench: Bench, label: str) -> dict[str, float]:
    """Returns a row's differences to the row that all are compared with, and their errors."""
    other = bench.item.against
    if label == other or other not in bench.rows:
        return {}
    row: dict[str, float] = {}
    found = _difference(bench, label, other)
    if found is not None:
        row |= {"difference": found["difference"], "± difference": found["standard_error"]}
    ours, theirs = _watched(bench, label), _watched(bench, other)
    if (
        ours is not None
        and theirs is not None
        and [len(e) for e in ours] == [len(e) for e in theirs]
    ):
        apart = paired([one - two for one, two in zip(ours, theirs, strict=True)])
        row["validation difference"] = apart["difference"]
        row["± validation difference"] = apart["standard_error"]
    return row


def mean_and_error(values: Sequence[np.ndarray]) -> tuple[float, float | None]:
    """Returns the mean of values and its standard error.

    Args:
        values: For each seed (faces,), of the same faces.

    Returns:
        The mean, and the standard error of the faces and, of several seeds, of the seeds together;
        None of a single face, whose spread nobody knows.
    """
    mean, variances = _variances(values)
    return mean, None if variances is None else float(np.sqrt(sum(v for v, _ in variances)))


def _variances(values: Sequence[np.ndarray]) -> tuple[float, list[tuple[float, int]] | None]:
    """Returns the mean, and its variance over faces and over seeds with degrees of freedom."""
    table = np.stack([np.asarray(one, np.float64) for one in values])
    seeds, faces = table.shape
    if faces < 2:
        return float(table.mean()), None
    found = [(float(table.mean(axis=0).var(ddof=1) / faces), faces - 1)]
    if seeds > 1:
        found.append((float(table.mean(axis=1).var(ddof=1) / seeds), seeds - 1))
    return float(table.mean()), found


def paired(differences: Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns the mean of paired differences, its standard error, and what is to be said of it.

    Args:
        differences: For each seed (faces,), in points of per cent.

    Returns:
        ``difference``; ``standard_error``, see ``mean_and_error``; ``seeds``, the mean difference
        of each; ``limit``: how far from zero a difference must be to be told apart at the 5 %
        level; ``reproduced``: whether it lies below zero by that, or ``None`` where it is not told
        apart, as none is with a single seed; and ``text``.

    Reading:
        The limit is Student's t with the degrees of freedom of Welch and Satterthwaite: where the
        spread of three seeds decides, two standard errors would see a difference where there is
        none in 16 of 100 cases.
    """
    mean, variances = _variances(differences)
    seeds = [float(np.mean(one)) for one in differences]
    error, limit, told = None, None, None
    verdict = "no verdict"
    if variances is not None:
        variance = sum(v for v, _ in variances)
        error = float(np.sqrt(variance))
        if len(seeds) > 1:
            # Without any spread the least difference is told apart.
            freedom = variance**2 / sum(v**2 / n for v, n in variances) if variance else np.inf
            limit = error * float(stats.t.ppf(0.975, freedom))
            told = None if abs(mean) <= limit else mean < 0
            verdict = {None: "not told apart", True: "reproduced", False: "not reproduced"}[told]
    text = f"claim: {verdict}: {mean:+.3f}" + ("" if error is None else f" ± {error:.3f}")
    text += f" points over {len(seeds)} seed(s), " + (
        "which do not say how much seeds differ"
        if limit is None
        else f"told apart from {limit:.3f} on"
    )
    return {
        "difference": mean,
        "standard_error": error,
        "limit": limit,
        "seeds": seeds,
        "reproduced": told,
        "verdict": verdict,
        "text": text,
    }


def complexity(bench: Bench) -> dict[str, Any]:
    """Counts parameters and multiply-accumulates of the models as they are made, untrained."""
    rows: dict[str, dict[str, Any]] = {}
    for label in bench.rows:
        model = untrained(bench, label)
        rows[label] = {c.title: _size(model, c.metric) for c in bench.item.columns}
        rows[label]["conditions"] = f"counted, {bench.shop.scale} scale"
    _beside(rows, published_rows(bench.item, bench.rows))
    frame = _table(bench, rows)
    return {"text": format_table(frame, 4), "rows": json.loads(frame.T.to_json())}


def layers(bench: Bench) -> dict[str, Any]:
    """Lists the layers of the models as they are made, with their counts."""
    texts = {label: macc.count(untrained(bench, label)).table() for label in bench.rows}
    text = "\n\n".join(f"{label}\n{table}" for label, table in texts.items())
    write_whole(bench.out / "layers.txt", text + "\n")
    return {"text": text}


UNTRAINED = (complexity, layers)
"""What is measured on models that need no training."""


def untrained(bench: Bench, label: str) -> Any:
    """Makes a row's model as its training would."""
    from tfalign.training import make_model

    training = bench.training(label)
    scheme = sets.get(training.data).scheme
    return make_model(training.model, scheme, **options_of(training, bench.shop.size))


def box_sources(bench: Bench) -> dict[str, Any]:
    """Compares the models on boxes of several sources (TSR, Table 1)."""
    from tfalign.inference.detectors import DlibDetector

    sources: dict[str, Any] = {"detector": "detector", "file": "file", "landmarks": "landmarks"}
    absent = []
    try:
        sources["dlib"] = DlibDetector()
    except ImportError:
        absent.append("dlib is not installed: its column is left out")
    faces, _ = bench.needed_faces(next(iter(bench.rows)))
    if box_of(faces) != "file":
        del sources["file"]
        absent.append("not every face has an official box: their column, file, is left out")
    found = _robustness(bench, lambda models, reader, protocol: box_comparison(
        models, reader, protocol, sources, progress=False,
    ))  # fmt: skip
    return {**found, "text": "\n".join([found["text"], *absent])}


def spoiled_boxes(bench: Bench) -> dict[str, Any]:
    """Measures the models on spoiled boxes (TSR, Table 2)."""
    return _robustness(bench, lambda models, reader, protocol: box_sweep(
        models, reader, protocol, tsr_table_2(), box=box_of(reader), progress=False
    ))  # fmt: skip


def _robustness(bench: Bench, measure: Callable[..., Any]) -> dict[str, Any]:
    label = next(iter(bench.rows))
    reader, what = bench.needed_faces(label)
    protocol = sets.get(bench.training(label).data).protocol
    found = [
        measure({name: bench.model(name, seed) for name in bench.rows}, reader, protocol)
        for seed in bench.seeds
    ]
    # The same faces, conditions and subsets for every seed, in the same order.
    frame = found[0].frame.copy()
    for value in ("nme", "failure_rate", "auc"):
        frame[value] = np.mean([one.frame[value] for one in found], axis=0)
    result = dataclasses.replace(found[0], frame=frame)
    write_whole(bench.out / "table.csv", result.frame.to_csv(index=False))
    pictures = []
    if set(result.frame["kind"]) - {"none", "box"}:
        pictures = [bench.save_figure("robustness.png", plots.robustness_plot(result))]
    text = f"{result.table()}\n{len(reader)} faces ({what}); {bench.conditions}"
    return {"text": text, "pictures": pictures, **result.to_dict()}


def exported(bench: Bench) -> dict[str, Any]:
    """Exports the models as float32 and int8 files, measures and times them in turns."""
    from mobile_export.measure_exports import KINDS, export_and_measure
    from mobile_export.timing import latencies, race

    rows: dict[str, dict[str, Any]] = {}
    conditions: dict[str, str] = {}
    files = []
    for label in bench.rows:
        faces, what = bench.needed_faces(label)
        measured = []
        for folder in (bench.folder(label, seed) for seed in bench.seeds):
            measured.append(
                export_and_measure(
                    folder / "model.keras",
                    folder / "calibration.npz",
                    faces,
                    bench.item.columns[0].protocol,
                    folder,
                )
            )
        errors = {kind: [one[kind]["nme"] for one in measured] for kind in KINDS}
        rows[label] = {f"{kind} NME %": 100 * float(np.mean(errors[kind])) for kind in KINDS}
        conditions[label] = f"{bench.conditions}; {len(faces)} faces ({what})"
        # The files of all seeds are of one size and speed.
        files += [bench.folder(label) / kind / "model.tflite" for kind in KINDS]
    times = iter(latencies(files, race(files, threads=1, runs=50)))
    for label in rows:
        # Processor time, which other programs lengthen less than the clock's.
        rows[label] |= {f"{kind} ms": next(times).cpu for kind in KINDS}
        rows[label]["conditions"] = conditions[label]
    return {"text": format_table(_table(bench, rows)), "rows": rows}


MEANS = (None, box_sources, spoiled_boxes, exported)
"""What gives means over seeds; any other measure shows single models."""
