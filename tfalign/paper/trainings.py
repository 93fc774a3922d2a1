"""Trains what an item needs: resumable, several processes at a time, never on test faces."""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import os
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfalign.data import sets
from tfalign.data.readers import Reader
from tfalign.evaluation.published import TEST_FACES
from tfalign.files import claimed, read_json, sha256, told_differences, write_json
from tfalign.models import architecture
from tfalign.paper.experiment import Paper, Training
from tfalign.paper.scales import SCALES, Scale

if TYPE_CHECKING:
    from tfalign.training import Settings


UNBOXED = (("300w", "private"),)
"""Splits whose official boxes were never released: they are cropped by their landmarks' boxes."""


@dataclass(frozen=True)
class Workshop:
    """Where an experiment's data and results are, and how large it is run.

    Attributes:
        data: A folder with one folder for each data set, by its name; or set name to folder.
        out: Folder of the results; trainings are shared by all items of a paper.
        scale: Name of one of ``tfalign.paper.SCALES``.
        settings: Fields of ``tfalign.training.Settings`` that replace the scale's.
    """

    data: Path | Mapping[str, Path]
    out: Path
    scale: str = "small"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> Scale:
        """The scale."""
        if self.scale not in SCALES:
            raise ValueError(f"`scale` must be one of {', '.join(SCALES)}. Received: {self.scale}")
        return SCALES[self.scale]

    @property
    def says(self) -> str:
        """What the output says of the scale, and of what replaces its settings."""
        changes = "".join(f", but {name} {value}" for name, value in sorted(self.settings.items()))
        return f"{self.scale}: {self.size.says}{changes}"

    @property
    def label(self) -> str:
        """What folders are named by: the scale, and what replaces its settings."""
        return "-".join([self.scale, *(f"{k}{v}" for k, v in sorted(self.settings.items()))])

    def root(self, dataset: str) -> Path | None:
        """Returns the folder of a data set; None where it is not there."""
        if isinstance(self.data, Mapping):
            folder = self.data.get(dataset)
        else:
            folder = self.data / dataset
        return folder if folder is not None and folder.is_dir() else None

    def folder(self, paper: Paper, name: str, seed: int) -> Path:
        """Returns the folder of a training."""
        return self.out / "trainings" / f"{paper.name}-{name}-{self.label}-seed{seed}"

    def read(self, dataset: str, split: str, box: str | None = None) -> Reader | None:
        """Returns the faces of a split as far as they are there; None where nothing is.

        Raises:
            ValueError: At the published scale, if the set lacks official boxes that there are.
        """
        root = self.root(dataset)
        there = [] if root is None else sets.get(dataset).available(root, split)
        if root is None or not there:
            return None
        known = sets.get(dataset)
        reader = known.read(root, there, box=box)
        without = sum(record.box_source != "file" for record in reader.records)
        needed = box in ("detector", "file") and (dataset, split) not in UNBOXED
        # Some official lists have a wrong box or two, as WFLW's.
        if needed and 100 * without > len(reader) and self.scale == "published":
            raise ValueError(
                f"The published experiment crops {dataset} by its official boxes, and {without} of "
                f"{len(reader)} faces have none: {known.layout}. Received: data={str(root)!r}"
            )
        return reader

    def training_faces(self, training: Training) -> tuple[Reader, Reader | None]:
        """Returns the faces to train on, and those held out where the set has no test faces here.

        Raises:
            FileNotFoundError: If the data set is not there, or, at the published scale, a part of
                what its paper trains on.
        """
        known, root = sets.get(training.data), self.root(training.data)
        reader = self.read(training.data, "train", training.box)
        if root is None or reader is None:
            raise FileNotFoundError(
                f"The training faces of {training.data} must be in the folder of that name below "
                f"--data, or at {training.data}=DIR, as {known.layout}. Received: {self.data}"
            )
        missing = sorted(set(known.expand("train")) - set(known.available(root, "train")))
        if missing and self.scale == "published":
            raise FileNotFoundError(
                f"The published experiment trains on all of {training.data}, and "
                f"{', '.join(missing)} is not there: add it, or give --scale small. "
                f"Received: {str(root)!r}"
            )
        if self.read(training.data, "test", training.box) is not None:
            return reader, None
        return sets.get(training.data).hold_out(reader)

    def test_faces(self, dataset: str, split: str, box: str | None) -> tuple[Reader, str] | None:
        """Returns faces to measure on and what they are; None where the set is not there.

        Where a set that can be trained on has no official test faces here, these are the faces
        that ``training_faces`` holds out.
        """
        reader = self.read(dataset, split, box)
        if reader is not None:
            known, tables = sets.get(dataset), TEST_FACES.get(dataset, {})
            released = sum(known.counts.get(part, 0) for part in known.expand(split))
            # "test" is what the tables call all faces. Some sets are in no table: COFW's 29 points.
            names = (split, "full", "all")
            whole = next((tables[n] for n in names if n in tables), released) or len(reader)
            if len(reader) == whole:
                return reader, "official"
            which = "a part of" if len(reader) < whole else "other than"
            return reader, f"{which} the {whole} official ones"
        known = sets.get(dataset)
        if known.training and split in ("test", "full") and self.read(dataset, "train") is not None:
            _, held_out = self.training_faces(Training("", dataset, box))
            if held_out is not None:
                return held_out, f"the last {len(held_out)} training faces by name, held out"
        return None


def train_all(
    paper: Paper, names: Sequence[str], shop: Workshop, seeds: Sequence[int], jobs: int = 1
) -> list[str]:
    """Trains what is not there yet; those that others start from come first.

    Args:
        paper: The paper.
        names: Its trainings, see ``Paper.needed``.
        shop: Data, results and scale.
        seeds: One training for each.
        jobs: Processes that share the work. Further ones may be started by hand on the same folder.

    Returns:
        What went wrong, a line each.

    Raises:
        ValueError: If a finished training saw other faces than those that are there now, or was
            made otherwise than the paper's declaration says now.
    """
    check_faces(paper, names, shop, seeds)
    check_settings(paper, names, shop, seeds)
    failed: list[str] = []
    starts = {paper.trainings[name].start for name in names}
    for stage in ([n for n in names if n in starts], [n for n in names if n not in starts]):
        work = [(name, seed) for seed in seeds for name in stage]
        open_work = [w for w in work if not (shop.folder(paper, *w) / "result.json").is_file()]
        if jobs == 1 or len(open_work) < 2:
            failed += _work(paper, open_work, shop)
            continue
        processes = min(jobs, len(open_work))
        with multiprocessing.get_context("spawn").Pool(processes, end_with_parent) as pool:
            calls = [(paper.name, [one], shop) for one in open_work]
            for lines in pool.starmap(_work_by_name, calls, chunksize=1):
                failed += lines
    return failed


def check_faces(paper: Paper, names: Sequence[str], shop: Workshop, seeds: Sequence[int]) -> None:
    """Checks that finished trainings saw the faces that are there now, and watched the same.

    A training of other faces may have seen those that are measured on: it is no row of this table.

    Raises:
        ValueError: If one did.
    """
    known: dict[Any, list[str]] = {}
    watched: dict[str, str | None] = {}
    for name in names:
        training = paper.trainings[name]
        for seed in seeds:
            folder = shop.folder(paper, name, seed)
            if not (folder / "result.json").is_file():
                continue
            source = (training.data, training.box, training.also)
            if source not in known:
                try:
                    known[source] = [part.fingerprint() for part in faces_of(training, shop)[0]]
                except FileNotFoundError:
                    known[source] = []
                    print(
                        f"The training faces of {training.data} are not here: that they are none "
                        "of the test faces is not checked.",
                        flush=True,
                    )
            seen = result_of(folder)["data"]
            other = known[source] and known[source] != seen["train_fingerprints"]
            if known[source] and "held_out_fingerprint" in seen:  # not in results of before 0.2
                # Those that are scored as watched must be none that were trained on.
                if name not in watched:
                    faces = watched_faces(training, shop)
                    watched[name] = None if faces is None else faces.fingerprint()
                other = other or watched[name] != seen["held_out_fingerprint"]
            if other:
                raise ValueError(
                    f"{folder} was trained on other faces than those of {training.data} that are "
                    "there now, or watched others: give another --out, or delete that folder to "
                    "train it anew. "
                    f"Received: {shop.data}"
                )


def check_settings(
    paper: Paper, names: Sequence[str], shop: Workshop, seeds: Sequence[int]
) -> None:
    """Checks that finished trainings were made as the rows say that they are.

    Defaults change between versions: a row must not show the error of what it was before.

    Raises:
        ValueError: If one was not; the message names each difference.
    """
    models: dict[str, Any] = {}
    for name, seed in ((name, seed) for name in names for seed in seeds):
        folder = shop.folder(paper, name, seed)
        if not (folder / "result.json").is_file():
            continue
        training, stored = paper.trainings[name], read_json(folder / "run.json")
        # Rows often differ in their schedule alone.
        about = [training.model, options_of(training, shop.size), stored["model"]["config"]]
        of_model = json.dumps(about, sort_keys=True, default=str)
        if of_model not in models:
            models[of_model] = _model_of(training, shop, stored)
        wanted = _declared(training, shop, models[of_model], result_of(folder))
        if training.start is not None:
            start = shop.folder(paper, training.start, seed) / "model.keras"
            wanted |= {"identity": {"init_weights": sha256(start)}} if start.is_file() else {}
        if different := told_differences(_as_far_as(stored, wanted), wanted):
            raise ValueError(
                f"{folder} was trained otherwise than {paper.name} {name} says now: give another "
                f"--out, or delete that folder to train it anew. They differ in\n{different}"
            )


def _as_far_as(stored: Any, wanted: Any) -> Any:
    """Returns the part of stored plain data that has a counterpart in what is wanted.

    A run knows its faces and their boxes, too, which a declaration does not.
    """
    if isinstance(stored, dict) and isinstance(wanted, dict) and wanted:
        return {key: _as_far_as(stored[key], wanted[key]) for key in wanted if key in stored}
    return stored


def _model_of(training: Training, shop: Workshop, stored: Mapping[str, Any]) -> Any:
    """Returns the model that a training would make now, for the faces of a finished one."""
    import keras

    from tfalign.markup import LandmarkScheme
    from tfalign.training import make_model

    config, options = stored["model"]["config"], options_of(training, shop.size)
    if config.get("canonical_shape") is not None:  # which training makes of its faces
        options["canonical_shape"] = config["canonical_shape"]
    made = make_model(training.model, LandmarkScheme.from_config(config["scheme"]), **options)
    keras.utils.clear_session()
    return made


def _declared(
    training: Training, shop: Workshop, model: Any, result: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what a run's ``run.json`` must hold, as far as faces and machine do not decide it."""
    from tfalign.training.train import augmentation, make_schedule

    settings = settings_of(training, shop)
    # Results of before 0.2 have no steps, and sequential learning has neither steps nor epochs.
    if result.get("steps"):
        steps_per_epoch = result["steps"] // result["epochs"]
    else:
        steps_per_epoch = result["data"]["train"] // settings.batch_size
    settings = scheduled(training, shop, settings, model, steps_per_epoch)
    schedule = make_schedule(settings, model, steps_per_epoch, settings.validation != 0)
    wanted = {
        "keep": settings.keep,
        "schedule": schedule.get_config(),
        "model": {"class": type(model).__name__, "config": model.get_config()},
        "train": {
            "batch_size": settings.batch_size,
            "augment": augmentation(settings.augment).get_config(),
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(wanted, default=str))
    return plain


def faces_of(training: Training, shop: Workshop) -> tuple[list[Reader], Reader | None]:
    """Returns what a training is given, and what is held out where the set has no test faces here.

    Those that it watches are among the first of what it is given.

    Raises:
        FileNotFoundError: If they are not there.
        ValueError: If one of the further sets has a photograph that is measured on.
    """
    from tfalign.training.face_checks import check_apart

    faces, held_out = shop.training_faces(training)
    parts = [faces]
    for dataset, split in training.also:
        more = shop.read(dataset, split)
        if more is None and shop.size.schedule == "published":
            raise FileNotFoundError(
                f"The published experiment trains on {dataset} {split}, too. Received: {shop.data}"
            )
        parts += [] if more is None else [more]
    check_apart(parts[1:], [held_out, shop.read(training.data, "test", training.box)])
    return parts, held_out


def settings_of(training: Training, shop: Workshop) -> Settings:
    """Returns a training's settings at a scale, but for its seed and what a function declares."""
    from tfalign.training import Settings

    scale = shop.size
    published = scale.schedule == "published"
    named = {"schedule": training.schedule} if isinstance(training.schedule, str) else {}
    changes = {
        "schedule": scale.schedule,
        **scale.settings,
        **training.settings,
        **(training.published if published else {}),
        **scale.forced,
        **shop.settings,
        **named,
    }
    return Settings.made(architecture(training.model) if published else None, changes)


def watched_faces(training: Training, shop: Workshop) -> Reader | None:
    """Returns the faces that a training watched; None where it watched none.

    Raises:
        FileNotFoundError: If they are not there.
    """
    faces, _ = shop.training_faces(training)
    return divided(faces, training, shop)[1]


def divided(faces: Reader, training: Training, shop: Workshop) -> tuple[Reader, Reader | None]:
    """Returns those of a set's training faces that a training learns from, and those it watches.

    Others of the watched ones' photographs are in neither, see ``DataSet.hold_out``.
    """
    settings = settings_of(training, shop)
    if settings.validation == 0:
        return faces, None
    return sets.get(training.data).hold_out(faces, settings.validation, settings.group)


def end_with_parent() -> None:
    """Ends this process when the one that started it has ended, however it did.

    A worker whose parent was killed would train on, unseen, and keep the next run from its folder.
    What it had done is in its checkpoint.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _work_by_name(name: str, work: Sequence[tuple[str, int]], shop: Workshop) -> list[str]:
    """Does the work in a process of its own, which reads the paper's file anew."""
    paper = importlib.import_module(f"tfalign.paper.{name}").PAPER
    return _work(paper, work, shop)


def _work(paper: Paper, work: Sequence[tuple[str, int]], shop: Workshop) -> list[str]:
    failed = []
    for name, seed in work:
        folder = shop.folder(paper, name, seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with claimed(folder) as free:
            if not free:
                failed.append(f"{paper.name} {name}: another process is training it")
                continue
            if (folder / "result.json").is_file():
                continue
            print(f"{paper.name} {name}, seed {seed}:", flush=True)
            try:
                train_one(paper, name, shop, seed)
            except (ValueError, FloatingPointError, FileNotFoundError) as error:
                # A training that diverged, say. The others do not depend on it.
                traceback.print_exc()
                failed.append(f"{paper.name} {name}: {error}")
    return failed


def train_one(paper: Paper, name: str, shop: Workshop, seed: int) -> dict[str, Any]:
    """Trains a model of a paper, or loads its finished run; test faces are not looked at.

    Returns:
        The content of ``result.json``.
    """
    import keras

    from tfalign import training as room

    training = paper.trainings[name]
    parts, held_out = faces_of(training, shop)
    settings = dataclasses.replace(settings_of(training, shop), seed=seed)
    if training.start is not None:
        start = shop.folder(paper, training.start, seed) / "model.keras"
        settings = dataclasses.replace(settings, init_weights=start)
    options = options_of(training, shop.size)
    # The names that Keras gives to unnamed layers must not depend on the models made before.
    keras.utils.clear_session()
    model: Any = training.model
    if callable(training.schedule):
        keras.utils.set_random_seed(seed)
        model = room.make_model(training.model, parts[0].scheme, **options)
        learned = [divided(parts[0], training, shop)[0], *parts[1:]]
        per_epoch = max(1, sum(map(len, learned)) // settings.batch_size)
        settings, options = scheduled(training, shop, settings, model, per_epoch), {}
    result = room.train(
        model,
        parts,
        settings,
        options=options,
        out=shop.folder(paper, name, seed),
        test_name="held-out training faces",
    )
    about = {
        "scale": shop.scale,
        "held_out_for_test": 0 if held_out is None else len(held_out),
        "model_sha256": sha256(shop.folder(paper, name, seed) / "model.keras"),
    }
    write_json(shop.folder(paper, name, seed) / "experiment.json", about)
    return result.summary


def scheduled(
    training: Training, shop: Workshop, settings: Settings, model: Any, steps_per_epoch: int
) -> Settings:
    """Returns the settings with the schedule that a training declares as a function."""
    from tfalign.training.schedules import Budget

    if not callable(training.schedule):
        return settings
    epochs = settings.epochs
    steps = settings.steps if epochs is None else epochs * steps_per_epoch
    budget = Budget(steps, steps_per_epoch, settings.rate, settings.dropout)
    schedule = training.schedule(model, budget, shop.size.schedule == "published")
    # It holds its length, rate and dropout now.
    return dataclasses.replace(
        settings, schedule=schedule, epochs=None, steps=None, rate=None, dropout=None
    )


def options_of(training: Training, scale: Scale) -> dict[str, Any]:
    """Returns the arguments of ``tfalign.training.make_model`` for a training at a scale."""
    return {
        "crop": sets.get(training.data).crop,
        "published": scale.schedule == "published",
        **(architecture(training.model).published if scale.schedule == "published" else {}),
        **scale.of(training.model),
        **(training.small if scale.name == "small" else {}),
        **training.options,
    }


def result_of(folder: Path) -> dict[str, Any]:
    """Returns a finished training's ``result.json``."""
    content: dict[str, Any] = read_json(folder / "result.json")
    return content
