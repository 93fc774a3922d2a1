"""The command ``tfalign``, as far as it goes without the package of that name.

``import tfalign`` brings Keras along, and Keras its back end, so that saved models can be loaded.
That takes seconds, which the overview, the version, a misspelt command and every ``--help`` need
not wait for: the texts of the latter lie in ``tfalign/cli/help``, see ``tfalign.cli.stored_help``.
What must be settled before the back end is loaded is settled here, too.
"""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HELP = """\
usage: tfalign COMMAND [options]        tfalign COMMAND --help for its options and examples

Facial landmarks, from photographs to phones.

{commands}

examples:
  tfalign demo --out runs/demo                      everything once, on rendered faces
  tfalign align photo.jpg --out aligned             landmarks and an overlay of a photograph
  tfalign align clip.mp4 --out aligned              the same for a clip, tracked and filtered
  tfalign train 300w --data 300W --out runs/300w    train, measure and report
  tfalign export runs/300w/model.keras --kind int8 --calibration runs/300w/calibration.npz

--json prints a command's result as JSON on standard output and everything else on standard error;
--import MODULE imports a module of yours first, whose architectures every command then takes;
--traceback shows where an error comes from. Exit codes: 0 done, 1 a check found a difference,
2 an error, told in one line, 130 interrupted (finished parts are kept).
"""


@dataclass(frozen=True)
class Command:
    """A subcommand: the module of ``tfalign.cli`` that has its ``options`` and ``run``, and what it
    does."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "align": Command("align", "landmarks of photographs, folders and clips, with overlays"),
    "train": Command("train", "train a model on a data set, or on rendered faces"),
    "data": Command("data", "list the data sets and tell about one"),
    "models": Command("models", "list the weights that ship with the package"),
    "inspect": Command("inspect", "look at a data set: counts, faults, points, mirror pairs"),
    "schedule": Command("schedule", "print a training schedule as JSON, to edit"),
    "evaluate": Command("evaluate", "measure a model on a data set by a named protocol"),
    "robustness": Command("robustness", "measure how errors grow where face boxes are wrong"),
    "paper": Command("paper", "make the tables and figures of the five papers"),
    "macc": Command("macc", "count multiply-accumulates and parameters"),
    "export": Command("export", "write a .tflite for phones, checked against the model"),
    "benchmark": Command("benchmark", "time exported files on this machine"),
    "render": Command("render", "render a synthetic WFLW data set"),
    "demo": Command("demo", "render, train, quantize, export, check and report, in minutes"),
}

_PACKAGE = Path(__file__).with_name("tfalign")

_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")

# What TensorFlow's libraries print while they are loaded, past every setting of theirs.
_NOTE = re.compile(r"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:\d\d")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``tfalign``.

    Args:
        argv: The arguments after the program's name; None takes the process's own.

    Returns:
        The exit code, see ``tfalign --help``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0
    if words[0] == "--version":
        print(f"tfalign {_run_file('version.py')['__version__']}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        meant = _run_file("argument_help.py")["did_you_mean"](name, COMMANDS)
        known = ", ".join(COMMANDS)
        print(
            f"error: The command must be one of: {known}{meant or '.'} Received: {name!r}",
            file=sys.stderr,
        )
        return 2
    stored = _PACKAGE / "cli" / "help" / f"{name}.txt"
    if stored.is_file() and not any(word.startswith("--import") for word in rest):
        text = stored.read_text(encoding="utf-8")
        if {"-h", "--help"} & set(rest):
            print(text, end="")
            return 0
        told = _run_file("argument_help.py")["wrong_option"](rest, _OPTION.findall(text))
        if told:
            print(f"error: {told} (tfalign {name} --help tells more)", file=sys.stderr)
            return 2
    # TensorFlow's notes on processors and drivers help nobody here. A user's value wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if {"-h", "--help"} & set(rest) and "keras" not in sys.modules:
        # Of a module of the user's (--import), too. Keras's smallest back end is enough to read the
        # options.
        os.environ.setdefault("KERAS_BACKEND", "numpy")
    try:
        with _without_notes():
            from tfalign.cli import program
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    return program.run_command(name, COMMANDS[name].module, rest)


def _run_file(name: str) -> dict[str, Any]:
    """Returns what a file of the package defines, without importing the package."""
    return runpy.run_path(str(_PACKAGE / name))


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = (f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return _HELP.format(commands="\n".join(lines))


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Keeps TensorFlow's notes off the process's standard error; all else is printed afterwards."""
    sys.stderr.flush()
    ours = os.dup(2)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(ours, 2)
            os.close(ours)
            held.seek(0)
            sys.stderr.writelines(line for line in held if not _NOTE.match(line))


if __name__ == "__main__":
    sys.exit(main())
