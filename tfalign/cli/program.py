"""From a command line to an exit code, for every subcommand alike."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from tfalign.version import __version__

DONE, DIFFERS, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; done, but a check found a difference; a user's mistake; Ctrl-C."""

# What a user can mend. Anything else is a fault of ours and keeps its traceback.
_MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)

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
--traceback shows where an error comes from. Exit codes: 0 done, 1 a check found a difference,
2 an error, told in one line, 130 interrupted (finished parts are kept).
"""


@dataclass(frozen=True)
class Command:
    """A subcommand: the module that has its ``options`` and ``run``, and what it does."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "align": Command("align", "landmarks of photographs, folders and clips, with overlays"),
    "train wflw": Command("train_wflw", "train on WFLW (98 points), or on rendered faces"),
    "train 300w": Command("train_300w", "train on 300-W (68 points)"),
    "evaluate": Command("evaluate", "measure a model on a data set by a named protocol"),
    "robustness": Command("robustness", "measure how models bear wrong face boxes"),
    "macc": Command("macc", "count multiply-accumulates and parameters"),
    "export": Command("export", "write a .tflite for phones, checked against the model"),
    "benchmark": Command("benchmark", "time exported files on this machine"),
    "render": Command("render", "render a synthetic WFLW data set"),
    "demo": Command("demo", "render, train, quantize, export, check and report, in minutes"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``tfalign``.

    Args:
        argv: The arguments after the program's name; None takes the process's own.

    Returns:
        The exit code, see ``tfalign --help``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(COMMANDS), end="")
        return DONE
    if words[0] == "--version":
        print(f"tfalign {__version__}")
        return DONE
    # TensorFlow's notes on processors and drivers help nobody here. A user's value wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return _guarded(lambda: _command(words), show_traceback="--traceback" in words)


def run_recipe(recipe: Callable[[], Mapping[str, Any]]) -> int:
    """Runs a recipe's ``main`` as ``main`` here runs a command.

    Args:
        recipe: Does the work and returns its result as plain data, see ``tfalign.cli``.

    Returns:
        The exit code, see ``tfalign --help``.
    """
    return _guarded(lambda: _exit_code(recipe()), show_traceback=False)


def _guarded(work: Callable[[], int], show_traceback: bool) -> int:
    """Returns the work's exit code, or the one of the mistake or Ctrl-C that ended it."""
    with _noticed_interrupts() as interrupts:
        try:
            return work()
        except KeyboardInterrupt:
            pass
        except Exception as error:
            # TensorFlow's compiled code may turn Ctrl-C into any other error, for instance that an
            # attribute is missing which Python was about to look up.
            if show_traceback or not (interrupts or isinstance(error, _MISTAKES)):
                raise
            if not interrupts:
                print(f"error: {one_line(error)}", file=sys.stderr)
                return WRONG
    print("\ninterrupted: what was finished is kept", file=sys.stderr)
    return INTERRUPTED


@contextlib.contextmanager
def _noticed_interrupts() -> Iterator[list[int]]:
    """Lists the signals of Ctrl-C that come while the block runs; they still interrupt it."""
    noticed: list[int] = []
    usual = signal.getsignal(signal.SIGINT)

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.append(number)
        signal.default_int_handler(number, frame)

    # Another handler, or that the signal is ignored, is somebody's choice; threads may not choose.
    ours = usual is signal.default_int_handler and (
        threading.current_thread() is threading.main_thread()
    )
    if ours:
        signal.signal(signal.SIGINT, notice)
    try:
        yield noticed
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)


def one_line(error: BaseException) -> str:
    """Returns an error's message without line breaks; its type's name where it has none."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__


def _command_name(words: Sequence[str]) -> str | None:
    """Returns the subcommand that the first words name; None for the help of a group of them.

    Raises:
        ValueError: If they name none.
    """
    for count in (1, 2):
        if " ".join(words[:count]) in COMMANDS:
            return " ".join(words[:count])
    grouped = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if grouped and set(words[1:]) <= {"-h", "--help"}:
        return None
    known = ", ".join(grouped or COMMANDS)
    received = " ".join(words[:2] if grouped else words[:1])
    raise ValueError(f"The command must be one of: {known}. Received: {received!r}")


def _command(words: Sequence[str]) -> int:
    """Runs the subcommand that the words name."""
    name = _command_name(words)
    if name is None:
        group = {key: value for key, value in COMMANDS.items() if key.startswith(words[0])}
        print(_overview(group), end="")
        return DONE
    return _run(name, words[len(name.split()) :])


def _run(name: str, words: Sequence[str]) -> int:
    if {"-h", "--help"} & set(words) and "keras" not in sys.modules:
        # The options come from rooms that import Keras. Its smallest back end is enough to read
        # them, and TensorFlow alone would take longer than all the rest.
        os.environ.setdefault("KERAS_BACKEND", "numpy")
    module = importlib.import_module(f"tfalign.cli.{COMMANDS[name].module}")
    parser: argparse.ArgumentParser = module.options(f"tfalign {name}")
    group = parser.add_argument_group("every command")
    group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument("--traceback", action="store_true", help="show where an error comes from")
    parser.error = _one_line_usage(parser.prog)  # type: ignore[method-assign]
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    if not arguments.json:
        result = module.run(arguments)
    else:
        with contextlib.redirect_stdout(sys.stderr):
            result = module.run(arguments)
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    return _exit_code(result)


def _exit_code(result: Mapping[str, Any]) -> int:
    """Tells the errors of a result and returns its exit code."""
    for message in result.get("errors", ()):
        print(f"error: {message}", file=sys.stderr)
    if result.get("errors"):
        return WRONG
    return DONE if result.get("passed", True) else DIFFERS


def _one_line_usage(prog: str) -> Any:
    def error(message: str) -> NoReturn:
        raise ValueError(f"{message} ({prog} --help tells more)")

    return error


def _overview(commands: Mapping[str, Command]) -> str:
    width = max(map(len, commands))
    lines = (f"  {name:<{width}}  {command.summary}" for name, command in commands.items())
    return _HELP.format(commands="\n".join(lines))
