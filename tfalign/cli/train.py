"""Trains a model on a data set and measures it on faces that it was not trained on.

    tfalign train 300w --data 300W --out runs/300w
    tfalign train coco --data FACES.json --init-weights 300w --steps 300 --out runs/mine
    tfalign train wflw --out runs/rendered                 # renders synthetic faces
    tfalign train wflw --data WFLW --model gregnet --schedule published --out runs/published
    tfalign train 300w --data 300W --steps 20000 --init-weights runs/rendered/model.keras \\
        --out runs/300w
    tfalign train 300w --data 300W --also wflw=WFLW --also pts=SCUT scheme=scut.json --out runs/all

Faces to watch after each epoch are held out of the training faces, see --validation. The official
test faces, where DIR has them, are looked at once, at the end; where it has none, --holdout faces
are kept apart in their place. OUT receives model.keras, result.json, report.html, history.csv and
calibration.npz; "tensorboard --logdir OUT/tensorboard" draws the run's curves. A killed run
continues when the same command is given again. "tfalign data" lists the sets.

Without --data, synthetic faces are rendered into OUT/faces in WFLW's layout and trained on, for 600
steps where no length is given: a demonstration of minutes, whose numbers say nothing about
photographs. For accuracy on a small set, train on rendered faces first and go on from there with
--init-weights, as above.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfalign import training
from tfalign.argument_help import ArgumentParser
from tfalign.cli.measuring import add_reader_option, check_some
from tfalign.data import sets, synthetic
from tfalign.data.readers import Reader, ReadingReport, union
from tfalign.data.readers.report import OnError
from tfalign.evaluation.protocols import PROTOCOLS
from tfalign.evaluation.scores import few_faces_note
from tfalign.files import write_whole
from tfalign.geometry import CROP_PRESETS
from tfalign.models import ARCHITECTURES, shipped_presets
from tfalign.training import Settings
from tfalign.training.face_checks import check_apart
from tfalign.training.schedules import PUBLISHED_BOXES

# Without --data: what two CPU cores render and train in about five minutes.
RENDERED_FACES = (1000, 200)
RENDERED_STEPS = 600
HELD_OUT = "held_out.txt"
"""Names of the faces that a training kept apart and measured on, in its folder."""


@dataclass(frozen=True)
class TrainAndTest:
    """The faces of a data set.

    Attributes:
        train: Faces to train on, those to watch among them.
        test: Faces to measure on.
        test_name: What these are, in words.
    """

    train: Reader
    test: Reader
    test_name: str
    held_out: bool = False


def read_faces(
    dataset: str,
    data: Path,
    holdout: int | float | None = None,
    group: str | None = None,
    test_split: str | None = None,
    **reading: Any,
) -> TrainAndTest:
    """Returns what to train on and what to measure on.

    Args:
        dataset: The data set's name.
        data: Its folder.
        holdout: Faces kept apart where the folder has no official test faces, a number or a share;
            None takes the set's usual one.
        group: What frames of one person share, see ``DataSet.hold_out``.
        test_split: The split to measure on; None takes a published set's official one. A set of
            one's own is then trained on whole, but for what is held out; with one, on "train".
        **reading: Further arguments of ``DataSet.read``.
    """
    known = sets.get(dataset)
    if known.files and not known.training:
        raise ValueError(f"{dataset} has no faces to train on: {known.summary}.")
    if known.files:
        # Where nothing is there, reading tells what is missing.
        train_split: Any = known.available(data, "train") or "train"
        test = [test_split] if test_split else known.available(data, "test")
        if any(known.is_for_training(name) for name in test):
            raise ValueError(
                f"--test-split must not be a training split of {dataset}. Received: {test_split!r}"
            )
    else:
        train_split, test = ("train", [test_split]) if test_split else (None, [])
    train = known.read(data, train_split, **reading)
    check_some(train, data)
    if test:
        found = known.read(data, test, **reading)
        if not known.files:
            check_apart([train], [found])
        return TrainAndTest(train, found, ", ".join(test))
    if not known.files:
        _tell_of_other_splits(train, known, data, reading)
    rest, held_out = known.hold_out(train, holdout, group)
    if left := len(train) - len(rest) - len(held_out):
        print(
            f"{left} faces are left out: others of their photographs, or copies of these, are held "
            "out.",
            flush=True,
        )
    return TrainAndTest(rest, held_out, f"held-out faces of {dataset}", True)


def _tell_of_other_splits(
    train: Reader, known: sets.DataSet, data: Path, reading: Mapping[str, Any]
) -> None:
    """Tells that files of one's own have faces of other splits, which are trained on, too."""
    named = Counter(str(r.attributes["split"]) for r in train.records if "split" in r.attributes)
    if not named:  # by rows; else each split may have a file
        try:
            named["test"] = len(known.read(data, "test", **{**reading, "on_error": "skip"}))
        except (ValueError, FileNotFoundError):
            return
    for name, count in named.items():
        if count and name.lower() not in ("train", "training", ""):
            print(
                f"{count} faces are of the split {name!r}, and are trained on or held out as any "
                f"other: --test-split {shlex.quote(name)} keeps them apart.",
                flush=True,
            )


def further_faces(main: Reader, also: Sequence[Sequence[str]]) -> list[Reader]:
    """Returns the faces of ``--also`` in the markup of the main set, those points that they have.

    Args:
        main: The main set's training faces.
        also: For each set the words of its option, the first of them SET=DIR.

    Returns:
        No reader where there is no option, or one of all further faces, see
        `tfalign.data.readers.union`.

    Raises:
        FileNotFoundError: If a set's folder or file is missing.
        ValueError: If a word is none, or a set cannot be joined.
    """
    if not also:
        return []
    # What was settled in the main set's files is told with that set.
    plain = Reader(main.dataset, main.scheme, main.records, ReadingReport(main.report.on_error))
    parts = [further_set(first, words, main.report.on_error) for first, *words in also]
    return [union(plain, *parts, scheme=main.scheme)[len(main) :]]


def further_set(first: str, words: Sequence[str], on_error: OnError = "raise") -> Reader:
    """Returns the training faces that the words of an ``--also`` name, in their own markup.

    Raises:
        FileNotFoundError: If the set's folder or file is missing.
        ValueError: If ``first`` is no SET=DIR, a word is none, or the faces are test faces.
    """
    name, equals, folder = first.partition("=")
    if not equals:
        raise ValueError(f"A further set begins with SET=DIR. Received: {first!r}")
    known = sets.get(name)
    common = {"scheme", "split", "box"}
    given = {w.partition("=")[0]: w.partition("=")[2] for w in words}
    split: Any = given.get("split")
    if known.files:
        if not known.training or (split and not known.is_for_training(split)):
            raise ValueError(
                f"A further set must be faces to train on; of {name} these are "
                f"{', '.join(known.training) or 'none'}. Received: split={split}"
            )
        split = split or known.available(folder, "train") or "train"
    return known.read(
        folder,
        split,
        on_error=on_error,
        box=given.get("box"),
        scheme=given.get("scheme"),
        **known.parse_options([w for w in words if w.partition("=")[0] not in common]),
    )


def options(prog: str = "tfalign train", dataset: str | None = None) -> argparse.ArgumentParser:
    """Returns the program's options.

    Args:
        prog: How the program is called.
        dataset: The data set of a program that has one only.
    """
    parser = ArgumentParser(
        prog=prog,
        description=str(__doc__).replace("tfalign train", prog),
    )
    if dataset is None:
        parser.add_argument(
            "dataset",
            choices=list(sets.SETS),
            metavar="SET",
            help=f"Data set: {', '.join(sets.SETS)}.",
        )
    else:
        parser.set_defaults(dataset=dataset)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder of the run; the same command continues one that was killed.",
    )
    group = parser.add_argument_group("faces")
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="Folder of the data set in its official layout; of coco, imglab, pts and csv your own "
        "file or folder.",
    )
    group.add_argument(
        "--holdout",
        type=training.settings.share_or_count,
        metavar="SHARE|FACES",
        help="How many training faces to keep apart and measure on where there are no official "
        "test faces, as a share (0.1) or a number (80) (default: the set's usual number; 120 of "
        "300-W).",
    )
    group.add_argument(
        "--test-split",
        metavar="SPLIT",
        help="Split to measure on (default: the official test faces; of a set of your own none, "
        "see --holdout).",
    )
    group.add_argument(
        "--box",
        metavar="SOURCE",
        help="Where the faces' boxes come from, see 'tfalign data SET' (default: the set's first "
        "source, or the paper's with the published schedule).",
    )
    group.add_argument(
        "--scheme",
        metavar="NAME|FILE.json",
        help="Landmark scheme: of files that do not name their points it says what the points are; "
        "other points are converted to it.",
    )
    add_reader_option(group)
    group.add_argument(
        "--also",
        action="append",
        nargs="+",
        default=[],
        metavar=("SET=DIR", "NAME=VALUE"),
        help="A further data set to train on, whatever its points are: those are learned whose "
        "names the first set has, too. After SET=DIR may follow its scheme=, split=, box= and "
        "reader options, as in --also pts=SCUT scheme=scut.json. The option may be given several "
        "times. None of the photographs to measure on may be among them (default: none).",
    )
    group.add_argument(
        "--protocol",
        metavar="NAME|FILE.json",
        help="How faces are scored (default: the set's customary protocol, or the scheme's own "
        "normaliser).",
    )
    group.add_argument(
        "--skip-bad",
        action="store_true",
        help="Leave out faces that cannot be read, and list them, instead of stopping.",
    )
    group.add_argument(
        "--synthetic-faces",
        type=int,
        nargs=2,
        default=RENDERED_FACES,
        metavar=("TRAIN", "TEST"),
        help="How many faces to render where no --data is given (default: 1000 200).",
    )
    add_model_options(parser)
    add_settings(parser)
    add_device_options(parser)
    return parser


def add_model_options(parser: argparse.ArgumentParser, model: str = "greglref") -> None:
    """Adds the options that say which model; `given_options` reads them."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=model,
        metavar="NAME",
        help=f"Architecture: {', '.join(ARCHITECTURES)}, or your own, see --import.",
    )
    group.add_argument(
        "--width",
        type=float,
        metavar="FACTOR",
        help="Multiplier on channels; 1 is the paper's (default: 1).",
    )
    group.add_argument(
        "--trunk",
        metavar="NAME",
        help="What the first network is built from, for architectures that have a choice. By "
        "default it is one that a CPU can train, and the paper's with the published schedule.",
    )
    group.add_argument(
        "--image-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="Height and width of the input, or one number for both (default: 112, or the paper's "
        "for the published schedule).",
    )
    group.add_argument(
        "--crop",
        choices=sorted(CROP_PRESETS),
        help="How a face's box becomes the input (default: the data set's own).",
    )
    group.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="Further arguments of the architecture, for instance refinements=1 (default: none).",
    )


def add_settings(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds an option for each of `tfalign.training.Settings`; `given_settings` reads them."""
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        about = field.metadata
        group = groups.setdefault(about["group"], parser.add_argument_group(about["group"]))
        default = defaults.get(field.name, field.default)
        told = "" if default in (None, False) else f" (default: {default})"
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            # A setting that is not given may come from the published schedule.
            default=argparse.SUPPRESS,
            help=f"{about['help']}{told}".replace("%", "%%"),
            **about["argument"],
        )
    parser.set_defaults(**defaults)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of several devices; `connect` reads them."""
    group = parser.add_argument_group("several devices")
    group.add_argument(
        "--strategy",
        choices=("none", "mirrored", "data_parallel"),
        default="none",
        help="Which devices share a step: with 'mirrored' those of this host "
        "(TensorFlow), with 'data_parallel' those of all "
        "processes (JAX, KERAS_BACKEND=jax).",
    )
    group.add_argument(
        "--devices",
        nargs="+",
        metavar="DEVICE",
        help="Devices of 'mirrored' by name, for instance GPU:0 GPU:1.",
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="Where process 0 can be reached by the others."
    )
    group.add_argument(
        "--processes", type=int, default=1, metavar="N", help="How many processes take part."
    )
    group.add_argument(
        "--process-id",
        type=int,
        default=0,
        metavar="I",
        help="Which of them this is, counted from 0.",
    )


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings that were given, for `tfalign.training.train`."""
    names = (field.name for field in dataclasses.fields(Settings))
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the model's options that were given, for `tfalign.training.make_model`.

    Raises:
        ValueError: If a size or a word of ``--set`` is none.
    """
    named = {name: getattr(arguments, name) for name in ("width", "trunk", "crop", "image_size")}
    given = {name: value for name, value in named.items() if value is not None}
    if size := given.get("image_size"):
        if len(size) > 2 or min(size) < 1:
            raise ValueError(
                "--image-size must be one number of pixels, or height and width. Received: "
                f"{' '.join(map(str, size))}"
            )
        given["image_size"] = (size[0], size[-1])
    for word in arguments.set:
        name, equals, value = word.partition("=")
        if not (name.isidentifier() and equals):
            raise ValueError(f"--set takes NAME=VALUE. Received: {word!r}")
        with contextlib.suppress(ValueError, SyntaxError):  # a word is itself
            value = ast.literal_eval(value)
        given[name] = value
    return given


def connect(arguments: argparse.Namespace) -> training.Distribution:
    """Connects the devices of the options; called before a model is made."""
    return training.connect(
        arguments.strategy,
        arguments.devices,
        arguments.coordinator,
        arguments.processes,
        arguments.process_id,
    )


def check_paths(arguments: argparse.Namespace) -> None:
    """Checks the folders and files that must exist.

    Raises:
        FileNotFoundError: If one does not; the message names the option.
    """
    for name in ("data", "init_weights"):
        path = getattr(arguments, name, None)
        if name == "init_weights" and path in shipped_presets():
            continue
        if path is not None and not Path(path).exists():
            raise FileNotFoundError(f"--{name.replace('_', '-')}: no such file or folder: {path}")


@contextlib.contextmanager
def output_folder(out: Path, writes: bool = True) -> Iterator[None]:
    """Makes a folder now, not after minutes of work, and takes it away if nothing came of it."""
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out must be a folder. Received a file: {out}")
    made = [folder for folder in (out, *out.parents) if not folder.exists()] if writes else []
    if writes:
        out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it has content
                folder.rmdir()


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and measures; returns the content of ``result.json``."""
    check_paths(arguments)
    settings = given_settings(arguments)
    distribution = connect(arguments)
    with output_folder(arguments.out, distribution.writes):
        data, name = arguments.data, arguments.dataset
        if data is None:
            if name != "wflw":
                raise ValueError(
                    f"{name} needs --data DIR; faces are rendered for wflw alone "
                    "(tfalign train --help tells more)."
                )
            own = str(settings.get("schedule", "")).endswith(".json")  # It says how long it is.
            if "steps" not in settings and "epochs" not in settings and not own:
                settings["steps"] = RENDERED_STEPS
            data = render(arguments, distribution.writes)
        faces = read_faces(
            name,
            data,
            arguments.holdout,
            settings.get("group"),
            arguments.test_split,
            scheme=arguments.scheme,
            box=arguments.box or published_box(arguments.model, name, settings),
            on_error="skip" if arguments.skip_bad else "raise",
            **sets.get(name).parse_options(arguments.reader),
        )
        extra = further_faces(faces.train, arguments.also)
        result = training.train(
            arguments.model,
            [faces.train, *extra],
            options=given_options(arguments),
            test=faces.test,
            test_name="synthetic test faces" if arguments.data is None else faces.test_name,
            protocol=arguments.protocol,
            out=arguments.out,
            distribution=distribution,
            **settings,
        )
        if faces.held_out and distribution.writes:
            names = "".join(f"{record.name}\n" for record in faces.test.records)
            write_whole(arguments.out / HELD_OUT, names)
    summary = result.summary
    if summary:
        print(_headline(summary))
        if rough := few_faces_note(summary["faces"]):
            print(f"note: {rough}")
    return summary


def _headline(summary: Mapping[str, Any]) -> str:
    """Returns a training's result in one line."""
    error, unit = summary["nme_standard_error"], summary["unit"]
    scale = 1.0 if unit == "px" else 100.0
    spread = "" if error is None else f" ± {scale * error:.3f} (standard error)"
    stages = ", ".join(f"{scale * nme:.3f}" for nme in summary["nme_of_stages"])
    return (
        f"NME {scale * summary['nme']:.3f} {unit}{spread} on {summary['faces']} faces "
        f"({summary['split']}; stages {stages}); "
        f"{summary['macc'] / 1e6:.1f} million multiply-accumulates (MMACC), "
        f"{summary['params']:,} parameters"
    )


def published_box(model: str, dataset: str, settings: Mapping[str, Any]) -> str | None:
    """Returns the box source that a paper trains with, where its schedule is asked for."""
    published = settings.get("schedule") == "published"
    return PUBLISHED_BOXES.get(model, {}).get(dataset) if published else None


def next_steps(arguments: argparse.Namespace, result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the commands that a user may want now, each as its words."""
    out, model = arguments.out, str(arguments.out / "model.keras")
    data = arguments.data or out / "faces"
    known = sets.get(arguments.dataset)
    if (out / HELD_OUT).is_file():
        split = known.holdout_among.rstrip("/") or ("train" if known.files else "")
        faces = [*(["--split", split] if split else []), "--faces", str(out / HELD_OUT)]
    else:
        faces = ["--split", arguments.test_split or "test"]
    if arguments.reader:
        faces += ["--reader", *arguments.reader]
    if arguments.skip_bad:
        faces.append("--skip-bad")
    protocol = arguments.protocol
    if known.scheme is None and result.get("protocol") in PROTOCOLS:
        protocol = result["protocol"]  # The customary one of the points, where none was given.
    # Of a published set `evaluate` reads the points as they are, not those of --scheme.
    if protocol and (known.scheme is None or not arguments.scheme):
        faces += ["--protocol", protocol]
    return [
        [
            *("tfalign", "evaluate", "--model", model),
            *("--dataset", arguments.dataset, "--data", str(data), *faces),
            *("--out", str(out / "evaluated")),
        ],
        [
            *("tfalign", "export", model, "--kind", "int8"),
            *("--calibration", str(out / "calibration.npz"), "--out", str(out / "int8")),
        ],
        ["tfalign", "align", "PHOTO.jpg", "--model", model, "--out", str(out / "aligned")],
        ["tensorboard", "--logdir", str(out / "tensorboard")],
    ]


def render(arguments: argparse.Namespace, writes: bool) -> Path:
    """Renders faces into OUT/faces and returns that folder."""
    train, test = arguments.synthetic_faces
    folder: Path = arguments.out / "faces"
    print(f"No --data: rendering {train} + {test} synthetic faces into {folder}", flush=True)
    if writes:
        synthetic.write_wflw(folder, train, test, seed=getattr(arguments, "seed", 0))
    return folder
