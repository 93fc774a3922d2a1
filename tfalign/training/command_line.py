"""The command-line options that every training recipe shares, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfalign.argument_help import HelpFormatter
from tfalign.data.augment.presets import PRESETS
from tfalign.files import sha256
from tfalign.geometry import CROP_PRESETS
from tfalign.training.compiling import Execution
from tfalign.training.distribution import Distribution, connect
from tfalign.training.phase import Schedule
from tfalign.training.schedules import MODELS, Budget

_PRECISIONS = {"none": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
_JIT: dict[str, Any] = {"auto": "auto", "on": True, "off": False}


def parser(description: str | None, model: str, batch_size: int) -> argparse.ArgumentParser:
    """Returns a parser with the shared options.

    Args:
        description: The recipe's docstring, shown by ``--help``.
        model: Default of ``--model``.
        batch_size: Default of ``--batch-size``.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=HelpFormatter)
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="output folder; the same command continues a run that was killed",
    )
    made.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")

    group = made.add_argument_group("model")
    group.add_argument("--model", choices=sorted(MODELS), default=model, help="architecture")
    group.add_argument(
        "--width", type=float, default=1.0, help="multiplier on channels; 1 is the paper's"
    )
    group.add_argument(
        "--trunk",
        choices=("resnet18", "mobile", "compact"),
        default="mobile",
        help="greglref, gregnet: resnet18 is the paper's, compact and mobile ours for phones and "
        "CPUs, of which compact is the faster; ccnn: resnet18 stands for the published networks; "
        "two_stage: resnet18 replaces the paper's VGG-S; the others have one trunk",
    )
    group.add_argument(
        "--image-size", type=int, default=112, metavar="PIXELS", help="side of the square input"
    )
    group.add_argument(
        "--crop",
        choices=sorted(CROP_PRESETS),
        help="box convention, tfalign.geometry.CROP_PRESETS; the data set's own by default",
    )
    group.add_argument(
        "--init-weights",
        type=Path,
        metavar="FILE",
        help="warm start from a .keras "
        "file: every variable whose layer name and shape agree is copied",
    )

    group = made.add_argument_group("schedule")
    group.add_argument(
        "--schedule",
        default="cpu",
        metavar="NAME|FILE.json",
        help="published: the paper's numbers; cpu: ours for a CPU; deepreg also: sequential; "
        "two_stage also: reinit, regression, local, unsupervised; or any schedule as JSON",
    )
    length = group.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help="length of all phases together, in epochs")
    length.add_argument("--steps", type=int, help="the same in optimizer steps")
    group.add_argument(
        "--rate",
        type=float,
        help="learning rate of the first phase; later phases keep their proportion",
    )
    group.add_argument(
        "--dropout",
        type=float,
        default=0.2,
        help="greglref: inside the global regression while the refinement trains; TSR: on the "
        "dense layers of VGG-S in the cpu schedule",
    )
    group.add_argument("--batch-size", type=int, default=batch_size, help="over all devices")
    group.add_argument(
        "--augment",
        choices=sorted(PRESETS),
        help="preset of tfalign.data.augment; by default the paper's own for the published "
        "schedule, otherwise greglref",
    )
    group.add_argument(
        "--balance",
        action="store_true",
        help="show faces of rare poses more often (PDB), as GRegLRef's paper does on 300-W",
    )
    group.add_argument(
        "--keep",
        choices=("last", "best"),
        default="last",
        help="which weights are "
        "the result; 'best' chooses by the validation faces, whose error is then "
        "no longer an honest one",
    )

    group = made.add_argument_group("speed")
    group.add_argument(
        "--mixed-precision",
        choices=sorted(_PRECISIONS),
        default="none",
        help="type of the sums; float16 and bfloat16 for GPUs",
    )
    group.add_argument(
        "--steps-per-execution",
        type=int,
        default=1,
        help="optimizer steps in one call of the compiled program",
    )
    group.add_argument("--jit", choices=sorted(_JIT), default="auto", help="XLA compilation")
    group.add_argument(
        "--checkpoint-every",
        type=int,
        default=1,
        metavar="EPOCHS",
        help="how often the state is saved, from which a killed run continues",
    )

    group = made.add_argument_group("several devices")
    group.add_argument(
        "--strategy",
        choices=("none", "mirrored", "data_parallel"),
        default="none",
        help="mirrored: devices of this host (TensorFlow); data_parallel: devices "
        "of all processes (JAX: KERAS_BACKEND=jax)",
    )
    group.add_argument("--devices", nargs="+", help="for mirrored, e.g. GPU:0 GPU:1")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0")
    group.add_argument("--processes", type=int, default=1, help="how many take part")
    group.add_argument("--process-id", type=int, default=0, help="which of them this is, from 0")
    return made


def comparison_parser(
    description: str | None, batch_size: int, validation: int | None = None
) -> argparse.ArgumentParser:
    """Returns a parser with what programs share that compare several trainings on 300-W.

    Args:
        description: The program's docstring, shown by ``--help``.
        batch_size: Default of ``--batch-size``.
        validation: Default of ``--validation``; None leaves that option out.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=HelpFormatter)
    made.add_argument("--data", type=Path, required=True, metavar="DIR", help="300-W's folder")
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="a new folder, or that of a killed run",
    )
    made.add_argument(
        "--holdout",
        type=int,
        default=120,
        metavar="FACES",
        help="test faces: the last names of helen/trainset",
    )
    if validation is not None:
        made.add_argument(
            "--validation",
            type=int,
            default=validation,
            metavar="FACES",
            help="training faces split out to watch",
        )
    made.add_argument("--batch-size", type=int, default=batch_size, help="faces in a step")
    made.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")
    return made


def prepare(arguments: argparse.Namespace) -> Distribution:
    """Sets seed and precision and connects the devices; call it before a model is made.

    Returns:
        The distribution.

    Raises:
        ValueError: If the strategy is not one of the back end.
    """
    distribution = connect(
        arguments.strategy,
        arguments.devices,
        arguments.coordinator,
        arguments.processes,
        arguments.process_id,
    )
    keras.utils.set_random_seed(arguments.seed)
    keras.config.set_dtype_policy(_PRECISIONS[arguments.mixed_precision])
    return distribution


def make_model(arguments: argparse.Namespace, num_landmarks: int, crop: str) -> Any:
    """Makes the model that the options describe.

    Args:
        arguments: Parsed options.
        num_landmarks: Points of the data set.
        crop: Box convention of the data set, see `tfalign.geometry.CROP_PRESETS`; ``--crop``
            replaces it.
    """
    side = arguments.image_size
    return MODELS[arguments.model].make(
        num_landmarks=num_landmarks,
        input_shape=(side, side, 3),
        width=arguments.width,
        trunk=arguments.trunk,
        dropout=arguments.dropout,
        crop=arguments.crop or crop,
    )


def make_schedule(arguments: argparse.Namespace, model: Any, steps_per_epoch: int) -> Schedule:
    """Makes the schedule that the options describe.

    Args:
        arguments: Parsed options.
        model: The model, whose scheme and stages the schedule needs.
        steps_per_epoch: Batches in an epoch.

    Raises:
        FileNotFoundError: If ``--schedule`` names a file that is not there.
        ValueError: If it names no schedule of the model, or the file is none.
    """
    kind = arguments.schedule
    if kind.endswith(".json"):
        return Schedule.from_json(Path(kind).read_text())
    known = MODELS[arguments.model].schedules
    if kind not in known:
        raise ValueError(
            f"`schedule` must be one of {sorted(known)} or a .json file. Received: "
            f"schedule={kind!r}"
        )
    steps = arguments.steps
    if arguments.epochs is not None:
        steps = arguments.epochs * steps_per_epoch
    return known[kind](model, Budget(steps, steps_per_epoch, arguments.rate, arguments.dropout))


def augmentation(arguments: argparse.Namespace) -> str:
    """Returns the name of the augmentation that the options describe."""
    own = MODELS[arguments.model].augment if arguments.schedule == "published" else "greglref"
    return arguments.augment or own


def execution(arguments: argparse.Namespace) -> Execution:
    """Returns the choices of speed that the options describe."""
    return Execution(
        steps_per_execution=arguments.steps_per_execution,
        jit_compile=_JIT[arguments.jit],
        checkpoint_every=arguments.checkpoint_every,
    )


def identity(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what decides a run's result and is in neither schedule, model nor data."""
    weights = arguments.init_weights
    digest = sha256(weights) if weights else None
    return {"seed": arguments.seed, "init_weights": digest}


def parse(made: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses; a folder or file that must exist and does not ends the program with a message."""
    arguments = made.parse_args(argv)
    try:
        check_paths(arguments)
    except FileNotFoundError as error:
        made.error(str(error))
    return arguments


def check_paths(arguments: argparse.Namespace) -> None:
    """Checks the folders and files that must exist.

    Raises:
        FileNotFoundError: If one does not; the message names the option.
    """
    for name in ("data", "init_weights", "extra_ytf"):
        path = getattr(arguments, name, None)
        if path is not None and not path.exists():
            raise FileNotFoundError(f"--{name.replace('_', '-')}: no such file or folder: {path}")
