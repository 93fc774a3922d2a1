"""The frame of all commands: help, exit codes, JSON, one-line errors, and a light start."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

import tfalign_command
from tfalign.cli import program, stored_help
from tfalign.models import ARCHITECTURES
from tfalign.version import __version__
from tfalign_command import COMMANDS, Command, main


def python(repository: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the commands by one, `work`, that does what the test says."""

    def install(run: Any) -> None:
        module = types.ModuleType("tfalign.cli.fake_work")
        module.options = lambda prog: argparse.ArgumentParser(prog=prog)
        module.run = run
        monkeypatch.setitem(sys.modules, "tfalign.cli.fake_work", module)
        commands = {"work": Command("fake_work", "works")}
        monkeypatch.setattr(tfalign_command, "COMMANDS", commands)

    return install


def raising(error: BaseException) -> Any:
    def run(arguments: argparse.Namespace) -> dict[str, Any]:
        raise error

    return run


def test_warnings_are_a_line_without_the_place_in_the_code(tfalign, command) -> None:
    usual = warnings.formatwarning

    def run(arguments: argparse.Namespace) -> dict[str, Any]:
        print(warnings.formatwarning("few faces", UserWarning, __file__, 7), file=sys.stderr)
        return {}

    command(run)
    outcome = tfalign("work")
    assert outcome.err.strip() == "warning: few faces"
    assert warnings.formatwarning is usual


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_overview_names_every_command(tfalign, words):
    outcome = tfalign(*words)
    assert outcome.code == 0
    for name, known in COMMANDS.items():
        assert name in outcome.out
        assert known.summary in outcome.out
    assert "tfalign demo --out" in outcome.out


def test_version(tfalign):
    assert tfalign("--version").out.strip() == f"tfalign {__version__}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_shows_examples_of_itself(tfalign, name):
    outcome = tfalign(*name.split(), "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: tfalign {name} ")
    assert outcome.out.count(f"    tfalign {name} ") >= 2
    assert "--json" in outcome.out
    assert "python recipes" not in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_stored_help_is_what_the_parser_tells(tfalign, name):
    """Words alone are compared: Python's versions break lines differently."""
    told = stored_help.help_text(name)
    assert tfalign(name, "--help").out.split() == told.split(), (
        "the stored texts are old: python -m tfalign.cli.stored_help"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_stored_help_names_every_option(name):
    """A word that is not in it is refused before the parser is there."""
    module = importlib.import_module(f"tfalign.cli.{COMMANDS[name].module}")
    options = program.parser_of(name, module)._option_string_actions
    text = (stored_help.FOLDER / f"{name}.txt").read_text()
    assert set(options) <= set(tfalign_command._OPTION.findall(text))


def test_mistyped_option_is_told_before_keras_is_loaded(repository):
    code = (
        "import sys, tfalign_command\n"
        "code = tfalign_command.main(['train', 'wflw', '--out', 'x', '--step', '5'])\n"
        "print(code, {'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    assert python(repository, "-c", code).strip() == "2 set()"


def test_help_knows_the_architectures_of_an_imported_module(tfalign, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    outcome = tfalign("train", "--import", "own_architecture", "--help")
    assert outcome.code == 0
    (name,) = set(ARCHITECTURES) - set(tfalign("train", "--help").out.replace(",", " ").split())
    assert f"{name}," in outcome.out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["train", "wflw", "--out", "x", "--step", "5"], "--steps"),
        (["train", "wflw", "--out", "x", "--step=5"], "--steps"),
        (["evaluate", "--modle", "300w"], "--model"),
        (["align", "-recursive", "album"], "--recursive"),
        (["inspect", "cocoo", "--data", "x", "--out", "y"], "coco"),
        (["export", "300w", "--kind", "int-8"], "int8"),
        (["trian", "wflw"], "train"),
        (["evalute"], "evaluate"),
    ],
)
def test_a_mistyped_word_is_told_what_was_meant(tfalign, words, meant):
    outcome = tfalign(*words)
    assert outcome.code == 2
    assert f"; did you mean {meant}?" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_word_like_no_other_is_told_without_a_guess(tfalign):
    for words in (["train", "wflw", "--out", "x", "--qqqq"], ["zzzz"]):
        outcome = tfalign(*words)
        assert outcome.code == 2
        assert "did you mean" not in outcome.err
        assert "Received: " in outcome.err


def test_what_is_no_command(tfalign):
    outcome = tfalign("train", "cofx", "--out", "x")
    assert (outcome.code, outcome.out) == (2, "")
    assert "invalid choice: 'cofx'" in outcome.err
    assert outcome.err.count("\n") == 1
    assert "Received: 'aling'" in tfalign("aling", "a.jpg").err


def test_import_of_what_is_not_there(tfalign):
    outcome = tfalign("macc", "GRegLRef", "--import", "no_such_module")
    assert outcome.code == 2
    assert outcome.err.startswith("error: --import must name a module")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["align"],
        ["train", "wflw"],
        ["train", "300w", "--out", "x"],
        ["evaluate", "--dataset", "none"],
        ["robustness", "--model", "a"],
        ["macc"],
        ["export", "a.keras", "--kind", "int3"],
        ["benchmark"],
        ["render"],
        ["demo", "--steps", "many"],
    ],
)
def test_wrong_options_are_one_line(tfalign, words):
    outcome = tfalign(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert "--help tells more" in outcome.err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("first\n  second"), "first second"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x"),
        (FileNotFoundError("There is none."), "There is none."),
        (ImportError("needs 'tfalign[mobile]'"), "needs 'tfalign[mobile]'"),
        (FloatingPointError(), "FloatingPointError"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(command, capsys, error, told):
    command(raising(error))
    assert main(["work"]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"
    with pytest.raises(type(error)):
        main(["work", "--traceback"])


def test_faults_of_ours_keep_their_traceback(command):
    command(raising(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["work"])


def test_interrupt(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert main(["work"]) == 130
    assert "kept" in capsys.readouterr().err


def test_interrupt_that_compiled_code_has_turned_into_another_error(command, capsys):
    def run(arguments):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise AttributeError("no attribute '_type_spec'") from None

    # pytest may itself have been started with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command(run)
        assert main(["work"]) == 130
        assert capsys.readouterr().err.strip() == "interrupted: what was finished is kept"
        with pytest.raises(AttributeError):
            main(["work", "--traceback"])
        # An interrupt of an earlier command excuses nothing in a later one.
        command(raising(AttributeError("a bug")))
        with pytest.raises(AttributeError):
            main(["work"])
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("result", "code"),
    [({}, 0), ({"passed": True}, 0), ({"passed": False}, 1), ({"errors": ["a: bad", "b"]}, 2)],
)
def test_results_decide_the_exit_code(command, tfalign, result, code):
    command(lambda arguments: result)
    outcome = tfalign("work")
    assert outcome.code == code
    assert outcome.err == "".join(f"error: {e}\n" for e in result.get("errors", []))


def test_recipes_end_as_commands_do(capsys):
    def ends(error=None, **result):
        def recipe():
            if error is not None:
                raise error
            return result

        return program.run_recipe(recipe)

    assert [ends(), ends(passed=False), ends(errors=["a: bad"])] == [0, 1, 2]
    assert capsys.readouterr().err == "error: a: bad\n"
    assert ends(PermissionError(13, "Permission denied", "/x")) == 2
    assert capsys.readouterr().err == "error: Permission denied: /x\n"
    assert ends(KeyboardInterrupt()) == 130
    assert "kept" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a bug"):
        ends(RuntimeError("a bug"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train_wflw", "train_300w"])
def test_recipes_tell_mistakes_in_one_line(repository, tmp_path, name):
    """A file where the output folder must be made."""
    (tmp_path / "text").write_text("")
    words = ["--data", tmp_path, "--out", tmp_path / "text" / "below"]
    done = subprocess.run(
        [sys.executable, repository / "recipes" / f"{name}.py", *words],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")


def test_json_stands_alone_on_standard_output(command, tfalign):
    def run(arguments: argparse.Namespace) -> dict[str, Any]:
        print("working")
        return {"nme": 0.25, "name": "Größe"}

    command(run)
    outcome = tfalign("work", "--json")
    assert outcome.json == {"nme": 0.25, "name": "Größe"}
    assert outcome.err == "working\n"
    assert tfalign("work").out == "working\n"


def test_start_is_light(repository):
    code = (
        "import sys\n"
        "from tfalign_command import main\n"
        "assert main(['--help']) == main(['--version']) == 0\n"
        "from tfalign_command import COMMANDS\n"
        "assert main(['aling']) == 2\n"
        "assert not any(main([name, '--help']) for name in COMMANDS)\n"
        "heavy = {'tfalign', 'keras', 'tensorflow', 'numpy', 'cv2', 'pandas', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    python(repository, "-c", code)


@pytest.mark.slow
def test_module_is_the_command(repository):
    assert python(repository, "-m", "tfalign", "--version") == f"tfalign {__version__}\n"


KNOWN = "keras.saving.get_registered_object('tfalign>GRegLRef') is not None"


@pytest.mark.slow
@pytest.mark.parametrize(
    "start", ["import sys", "import sys; sys.argv = []", "import sys; sys.argv = ['tfalign']"]
)
def test_every_program_knows_the_classes_of_saved_models(repository, start):
    code = f"{start}\nimport tfalign, keras\nprint({KNOWN})\n"
    assert python(repository, "-c", code) == "True\n"


@pytest.mark.slow
def test_an_application_run_as_a_module_knows_them(repository, tmp_path):
    """While Python looks for the module of ``-m``, the package above it is imported already."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("import tfalign\n")
    (tmp_path / "app" / "train.py").write_text(f"import keras\nprint({KNOWN})\n")
    done = subprocess.run(
        [sys.executable, "-m", "app.train"], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert done.stdout == "True\n"


@pytest.mark.slow
def test_tensorflows_notes_do_not_precede_a_commands_error(repository):
    done = subprocess.run(
        [sys.executable, "-m", "tfalign_command", "macc", "nothing.keras"],
        cwd=repository, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_what_an_import_prints_is_not_lost(capfd):
    with tfalign_command._without_notes():
        os.write(2, b"I0000 00:00:1795734937.3 1 stub.cc:31] a note\nsomething broke\n")
    assert capfd.readouterr().err == "something broke\n"


def test_script_is_installed(repository):
    assert 'tfalign = "tfalign_command:main"' in (repository / "pyproject.toml").read_text()
