"""What programs that measure models share: the options for data, and reading it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from tfalign import markup
from tfalign.argument_help import ArgumentParser
from tfalign.data import sets
from tfalign.data.readers import Reader
from tfalign.data.readers.report import OnError
from tfalign.evaluation.boxes import BoxSource
from tfalign.evaluation.protocols import PROTOCOLS, Protocol, get_protocol, own_protocol
from tfalign.files import FACES, read_json, sha256
from tfalign.models import shipped_presets
from tfalign.tflite.metadata import NAME as METADATA


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options for data, boxes, protocol and output.

    Args:
        doc: The program's docstring; its first paragraph and examples are the help text.
    """
    made = ArgumentParser(description=doc)
    data = made.add_argument_group("data")
    data.add_argument(
        "--dataset",
        required=True,
        choices=list(sets.SETS),
        metavar="SET",
        help=f"Which data set it is: {', '.join(sets.SETS)}. 'tfalign data SET' tells about one.",
    )
    data.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="Folder of the data set in its official layout; of coco, imglab, pts and csv your own "
        "file or folder.",
    )
    splits = "; ".join(
        f"{name}: {', '.join({**dataset.files, **dataset.splits})}"
        for name, dataset in sets.SETS.items()
        if dataset.files
    )
    data.add_argument(
        "--split",
        nargs="+",
        metavar="SPLIT",
        help=f"Which splits to read; only their folders need exist ({splits}).",
    )
    add_reader_option(data)
    data.add_argument(
        "--last",
        type=int,
        metavar="N",
        help="Take only the last N faces by name, for instance those that a training held out.",
    )
    data.add_argument(
        "--faces",
        type=Path,
        metavar="FILE",
        help="Take only the faces that this file names, one in a line, as held_out.txt in the "
        "folder of a training does.",
    )
    data.add_argument(
        "--skip-bad",
        action="store_true",
        help="Leave out faces that cannot be read, and list them, instead of stopping.",
    )
    scoring = made.add_argument_group("scoring")
    scoring.add_argument(
        "--protocol",
        metavar="NAME|FILE.json",
        help="Which normaliser and points to score by; it must be given for cofw and aflw19, where "
        f"the literature has several: {', '.join(PROTOCOLS)}, or a file of one's own.",
    )
    scoring.add_argument(
        "--threshold",
        type=float,
        metavar="FRACTION",
        help="The limit of failure rate and AUC (0.08 is 8 %%); by default the protocol's.",
    )
    running = made.add_argument_group("running")
    running.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="How many faces to predict at a time.",
    )
    running.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="The folder for the results."
    )
    running.add_argument("--quiet", action="store_true", help="Show no progress bar.")
    return made


def add_reader_option(made: Any) -> None:
    """Adds ``--reader``, whose words `DataSet.parse_options` reads."""
    made.add_argument(
        "--reader",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="What the set's files do not tell, as 'tfalign data SET' lists it, for instance "
        "first_pixel=0.5 where the points' tool counts pixels from the picture's corner (default: "
        "none).",
    )


def add_box_option(made: argparse.ArgumentParser) -> None:
    """Adds ``--box``."""
    made.add_argument(
        "--box",
        choices=get_args(BoxSource),
        help="Where the face box comes from: the tight box of the true landmarks, the data set's "
        "file, or OpenCV's Viola-Jones detector. By default it is what the model was trained with, "
        "as its file says. The padding is the model's own.",
    )


def read_data(arguments: argparse.Namespace, scheme: Any = None) -> Reader:
    """Returns the reader that the options ask for.

    Args:
        arguments: The options of ``parser``.
        scheme: The model's landmark scheme, for files that do not name their points.

    Raises:
        FileNotFoundError: If a folder or file is missing.
        ValueError: If a split is unknown, an annotation is bad, or ``--last`` leaves no face.
    """
    dataset = sets.get(arguments.dataset)
    if not (arguments.data.exists() if dataset.scheme is None else arguments.data.is_dir()):
        raise FileNotFoundError(
            f"--data must be {'a file or folder' if dataset.scheme is None else 'the folder'} of "
            f"{arguments.dataset}; `tfalign data {arguments.dataset}` tells its layout. Received: "
            f"{str(arguments.data)!r}"
        )
    policy: OnError = "skip" if arguments.skip_bad else "raise"
    # Of 300-W the boxes of the official detector (TSR's "OD"): the tight boxes that stand beside
    # them are the landmarks' own.
    box = "file" if "file" in dataset.boxes else None
    named = scheme if dataset.scheme is None else None
    reader = dataset.read(
        arguments.data,
        arguments.split,
        on_error=policy,
        box=box,
        scheme=named,
        **dataset.parse_options(arguments.reader),
    )
    if named is not None:
        _tell_of_unnamed_points(arguments, dataset, named)
    if arguments.faces is not None:
        if arguments.last is not None:
            raise ValueError("--faces and --last both choose faces: give one of them.")
        names = arguments.faces.read_text(encoding="utf-8").splitlines()
        known = {record.name: record for record in reader.records}
        absent = [name for name in names if name not in known]
        if absent or not names:
            raise ValueError(
                f"--faces must name faces of {arguments.data}, one in a line. Received: "
                f"{arguments.faces} with {len(absent)} of {len(names)} others, {absent[:3]}"
            )
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(
                "--faces must name each face once, or it counts as several. Received: "
                f"{arguments.faces} with {twice[:3]} more than once"
            )
        return reader.subset([known[name] for name in names])
    if arguments.last is not None:
        if not 0 < arguments.last <= len(reader):
            raise ValueError(
                f"--last must be from 1 to {len(reader)}, the number of faces. Received: "
                f"{arguments.last}"
            )
        records = sorted(reader.records, key=lambda record: record.name)[-arguments.last :]
        reader = reader.subset(records)
    return reader


def reading_notes(reader: Reader, measured: int) -> tuple[str, ...]:
    """Returns what to say of faces that were left out or settled while reading.

    Args:
        reader: The faces, after they were measured on.
        measured: On how many.
    """
    notes = []
    if measured < len(reader):
        notes.append(f"{len(reader) - measured} of {len(reader)} faces could not be read.")
    if reader.report.skipped:
        notes.append(reader.report.table())
    elif noted := reader.report.noted:
        # Of a published set that may be hundreds of pictures that no copy has.
        kinds = Counter(problem.kind for problem in noted)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        notes.append(f"Noted while reading: {told}; the first: {noted[0]}")
    return tuple(notes)


def _tell_of_unnamed_points(
    arguments: argparse.Namespace, dataset: sets.DataSet, scheme: markup.LandmarkScheme
) -> None:
    """Tells that files do not name their points, so that the model's order is taken for theirs."""
    try:
        own = dataset.read(
            arguments.data,
            arguments.split,
            on_error="skip",
            **dataset.parse_options(arguments.reader),
        ).scheme
    except (ValueError, FileNotFoundError):
        return  # Without a scheme these files cannot be read: the model's names are found in them.
    unnamed = markup.LandmarkScheme.unnamed(own.num_points)
    if own == unnamed != scheme:
        print(
            f"The points of {arguments.data} have no names: they are taken in the model's order "
            f"({', '.join(scheme.points[:3])}, …).",
            file=sys.stderr,
        )


def chosen_protocol(arguments: argparse.Namespace, reader: Reader) -> Protocol:
    """Returns the protocol that the options ask for, or the data set's customary one.

    Where the set has none, the scheme's own normaliser is taken.

    Raises:
        ValueError: If the protocol does not fit the annotations, or must be named and is not.
    """
    dataset = sets.get(arguments.dataset)
    if arguments.protocol is not None:
        chosen = get_protocol(arguments.protocol)
    elif dataset.protocol is not None:
        chosen = get_protocol(dataset.protocol)
    elif not dataset.protocols:
        return own_protocol(reader.scheme)
    else:
        chosen = None
    fitting = [n for n in dataset.protocols if PROTOCOLS[n].scheme == reader.scheme]
    own = chosen is not None and chosen.name not in PROTOCOLS
    if chosen is None or not (chosen.name in fitting or (own and chosen.scheme == reader.scheme)):
        names = f"one of {', '.join(fitting)}, or " if fitting else ""
        raise ValueError(
            f"--protocol must be {names}a .json file of one's own for the scheme "
            f"{reader.scheme.name}, for {arguments.dataset}. Received: {arguments.protocol}"
        )
    return chosen


def check_boxes(reader: Reader, sources: Sequence[str]) -> None:
    """Checks, before anything is measured, that the data set has the boxes that are asked for.

    Args:
        reader: The faces.
        sources: Values of ``--box`` or ``--sources``.

    Raises:
        ValueError: If ``"file"`` is among them and a face has no box in the data set's files.
    """
    without = [r.name for r in reader.records if r.box_source != "file" and not r.box_missed]
    if "file" in sources and without:
        raise ValueError(
            f"The data set gives no box for {without[0]!r} ({len(without)} of {len(reader)} faces "
            "have none), so boxes of the source 'file' cannot be used; use 'landmarks' or "
            f"'detector'. Received: {', '.join(sources)}"
        )


def named_models(specs: Sequence[str]) -> dict[str, str]:
    """Returns row name to model of ``[NAME=]MODEL`` each.

    Raises:
        ValueError: If a name occurs twice.
    """
    # A file's own path may have an equals sign, as in runs/rate=0.1/model.keras.
    pairs = [(s, "", "") if Path(s).is_file() else s.partition("=") for s in specs]
    models = {name: model or name for name, _, model in pairs}
    if len(models) != len(specs):
        raise ValueError(f"Row names must differ. Received: --model {' '.join(specs)}")
    return models


def model_identity(spec: str) -> dict[str, Any]:
    """Returns what tells a model from another: its name and the SHA-256 of its file or weights.

    Of an exported file also that of the ``metadata.json`` beside it, which has its crop and boxes.

    Raises:
        FileNotFoundError: If a path does not exist.
    """
    path = Path(spec)
    if path.suffix in (".keras", ".tflite") and not path.is_file():
        raise FileNotFoundError(f"A model file must exist. Received: model={spec!r}")
    preset = shipped_presets().get(spec)
    digest = preset["sha256"] if preset else sha256(path) if path.is_file() else None
    about = path.with_name(METADATA)
    beside = path.suffix == ".tflite" and about.is_file()
    return {
        "model": spec,
        "sha256": digest,
        **({"metadata_sha256": sha256(about)} if beside else {}),
    }


def training_notes(spec: str, reader: Reader) -> tuple[str, ...]:
    """Returns what the files beside a model say of whether it has seen these faces.

    ``faces.json``, where training or an export leaves it, knows every face by its points. Without
    it ``result.json`` has fingerprints of whole readers: a part of the training faces, or the same
    faces read together with others, is then not recognised. Where there is neither, that is said.

    Args:
        spec: The model's path, or the name of a preset, which has no such file.
        reader: The faces to be evaluated.
    """
    fingerprint = reader.fingerprint()
    path = Path(spec)
    record = path.with_name("result.json")
    # A preset's name is no path: what lies in the current folder says nothing about it.
    if path.suffix not in (".keras", ".tflite"):
        return ()
    faces = path.with_name(FACES)
    if not record.is_file():
        if faces.is_file():
            return _seen(faces, reader)
        return (
            f"No {faces.name} beside the model says what it was trained on: whether it has seen "
            "these faces is not known.",
        )
    try:
        result = read_json(record)
        data = result["data"]
        trained, tested = list(data["train_fingerprints"]), data["test_fingerprint"]
        if "held_out_fingerprint" in data:
            watched = tested is not None and tested == data["held_out_fingerprint"]
        else:  # written by 0.1
            watched = data["held_out"] == result["faces"]
    except (ValueError, KeyError, TypeError):
        # Another program's: no reason to measure nothing, but none to be silent either.
        return (
            f"{record} was not written by a training of this package: whether these faces were "
            "trained on is not known.",
        )
    # Crop caches, which have no records, are known by their fingerprints alone.
    if seen := _seen(faces, reader):
        return seen
    if fingerprint in trained:
        return ("These are faces that the model was trained on.",)
    # Where a set has no test faces of its own, training holds some out, watches them after each
    # epoch and measures on them. The record has no fingerprint of the watched ones, but as many.
    if fingerprint == tested and watched:
        return (
            "These are the faces that the model's own training measured on, and it watched as many "
            "after each epoch: if they were the same, this is a hold-out figure and no test "
            "figure.",
        )
    return ()


def _seen(record: Path, reader: Reader) -> tuple[str, ...]:
    """Returns what a training's record of its faces says of these."""
    if not record.is_file():
        return ()
    faces, notes = reader.digests(), []
    try:
        of = read_json(record)
        known = [set(of[role]) for role in ("trained", "watched")]
    except (ValueError, KeyError, TypeError):
        return (f"{record} was not written by a training of this package: it says nothing here.",)
    trained, watched = (sum(face in digests for face in faces) for digests in known)
    if trained:
        notes.append(f"The model was trained on {trained} of these {len(faces)} faces.")
    if watched:
        notes.append(
            f"Its training watched {watched} of these {len(faces)} faces after each epoch: of them "
            "this is a hold-out figure and no test figure."
        )
    return tuple(notes)
