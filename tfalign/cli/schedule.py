"""Prints a training schedule as JSON: a start for one of your own.

    tfalign schedule greglref > mine.json
    tfalign schedule deepreg --schedule published
    tfalign schedule runs/300w                       # of a run, as it was trained
    tfalign train 300w --data 300W --schedule mine.json --out runs/mine

MODEL is an architecture, a saved model or the folder of a run. A phase has its losses, learning
rate, optimizer, length, the parts that it trains and the callbacks that it needs; what is left out
has a default. TSR's phases hold the mean shape of their faces, so they are printed for a saved
model or a run only.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tfalign import markup, training
from tfalign.argument_help import ArgumentParser
from tfalign.files import read_json
from tfalign.models import ARCHITECTURES, architecture
from tfalign.models.saved import load_model
from tfalign.training import Schedule, Settings


def options(prog: str = "tfalign schedule") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(
        prog=prog,
        description=str(__doc__).replace("tfalign schedule", prog),
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=f"Architecture ({', '.join(ARCHITECTURES)}), .keras file or run folder.",
    )
    parser.add_argument(
        "--schedule",
        default="cpu",
        metavar="NAME",
        help="Which of the architecture's schedules: cpu, published or another that "
        "'tfalign train --help' names.",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="Length of all phases together, in optimizer steps."
    )
    parser.add_argument("--rate", type=float, help="Learning rate of the first phase.")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Prints the schedule; returns it as plain data."""
    schedule = _schedule(arguments)
    print(schedule.to_json())
    return schedule.get_config()


def _schedule(arguments: argparse.Namespace) -> Schedule:
    path = Path(arguments.model)
    if path.is_dir():
        if arguments.steps is not None or arguments.rate is not None:
            raise ValueError(
                "A run's schedule is printed as it was trained: leave --steps and --rate out. "
                f"Received: steps={arguments.steps}, rate={arguments.rate}, MODEL={path}"
            )
        return Schedule.from_config(read_json(path / "run.json")["schedule"])
    settings = Settings(schedule=arguments.schedule, steps=arguments.steps, rate=arguments.rate)
    if path.suffix == ".keras":
        model: Any = load_model(path)
    else:
        architecture(arguments.model)
        published = arguments.schedule == "published"
        model = training.make_model(arguments.model, markup.IBUG68, published=published)
    return training.make_schedule(settings, model, steps_per_epoch=1)
