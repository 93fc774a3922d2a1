"""From a command line to an exit code, for every subcommand alike."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType, ModuleType
from typing import Any, NoReturn

from tfalign.extras import EXTRAS, how_to_install

DONE, DIFFERS, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; done, but a check found a difference; a user's mistake; Ctrl-C."""

# What a user can mend. Anything else is a fault of ours and keeps its traceback.
_MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)


def run_command(name: str, module: str, words: Sequence[str]) -> int:
    """Runs a subcommand.

    Args:
        name: How it is called, e.g. ``"train"``.
        module: Its file in ``tfalign.cli``.
        words: The arguments after its name.

    Returns:
        The exit code, see ``tfalign --help``.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show must not end a program.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return _guarded(lambda: _run(name, module, words), show_traceback="--traceback" in words)


def run_recipe(recipe: Callable[[], Mapping[str, Any]]) -> int:
    """Runs a recipe's ``main`` as ``run_command`` runs a command.

    Args:
        recipe: Does the work and returns its result as plain data, see ``tfalign.cli``.

    Returns:
        The exit code, see ``tfalign --help``.
    """
    return _guarded(lambda: _exit_code(recipe()), show_traceback=False)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows warnings as a line each, without the place in the code that they come from."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _guarded(work: Callable[[], int], show_traceback: bool) -> int:
    """Returns the work's exit code, or the one of the mistake or Ctrl-C that ended it."""
    with _noticed_interrupts() as interrupts, _plain_warnings():
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
    missing = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and missing in EXTRAS:
        return f"The package {missing} is not installed. {how_to_install(EXTRAS[missing])}"
    return " ".join(str(error).split()) or type(error).__name__


def _import_modules(words: Sequence[str]) -> None:
    """Imports what ``--import`` names, from the current folder or wherever Python looks.

    Raises:
        ValueError: If one cannot be imported.
    """
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument(
        "--import", action="append", default=[], dest="modules", help="Modules to import."
    )
    asked.error = _one_line_usage("tfalign")  # type: ignore[method-assign]
    modules = asked.parse_known_args(words)[0].modules
    if modules and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"--import must name a module that Python finds: {error}. Received: {name!r}"
            ) from error


def parser_of(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """Returns the parser of a command's options.

    Args:
        name: How it is called, e.g. ``"train"``.
        module: Its module, from ``tfalign.cli``.
    """
    parser: argparse.ArgumentParser = module.options(f"tfalign {name}")
    group = parser.add_argument_group("every command")
    group.add_argument(
        "--import",
        action="append",
        metavar="MODULE",
        help="Import a module of yours first, for the architectures that it registers.",
    )
    group.add_argument("--json", action="store_true", help="Print the result as JSON.")
    group.add_argument("--traceback", action="store_true", help="Show where an error comes from.")
    parser.error = _one_line_usage(parser.prog)  # type: ignore[method-assign]
    return parser


def _run(name: str, module_name: str, words: Sequence[str]) -> int:
    _import_modules(words)
    module = importlib.import_module(f"tfalign.cli.{module_name}")
    parser = parser_of(name, module)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    if not arguments.json:
        result = module.run(arguments)
        if result and _exit_code(result, told=True) == DONE and hasattr(module, "next_steps"):
            print("next:", *map(shlex.join, module.next_steps(arguments, result)), sep="\n  ")
    else:
        with contextlib.redirect_stdout(sys.stderr):
            result = module.run(arguments)
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    return _exit_code(result)


def _exit_code(result: Mapping[str, Any], told: bool = False) -> int:
    """Returns a result's exit code, and tells its errors unless they are ``told``."""
    for message in () if told else result.get("errors", ()):
        print(f"error: {message}", file=sys.stderr)
    if result.get("errors"):
        return WRONG
    return DONE if result.get("passed", True) else DIFFERS


def _one_line_usage(prog: str) -> Any:
    def error(message: str) -> NoReturn:
        raise ValueError(f"{message} ({prog} --help tells more)")

    return error
