"""The form of --help."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tfalign.argument_help import ArgumentParser, did_you_mean


def test_defaults_are_told_where_there_is_one_to_tell() -> None:
    parser = ArgumentParser(description="First line.\n    indented")
    parser.add_argument("place", nargs="?", default="here", help="a place")
    parser.add_argument("--faces", type=int, default=3, help="how many")
    parser.add_argument("--share", type=float, default=0.5, help="of all (default: half)")
    parser.add_argument("--quiet", action="store_true", help="no bar")
    parser.add_argument("--name", help="its name")
    parser.add_argument("--more", nargs="+", default=[], help="what else")
    parser.add_argument("--rate", type=float, default=0.0, help="of learning")
    lines = [" ".join(line.split()) for line in parser.format_help().splitlines()]
    assert "    indented" in parser.format_help()
    assert "--faces FACES how many (default: 3)" in lines
    assert "--share SHARE of all (default: half)" in lines
    assert "--quiet no bar" in lines
    assert "--name NAME its name" in lines
    assert "--rate RATE of learning (default: 0.0)" in lines
    assert "what else" in lines
    assert "place a place" in lines


def test_usage_shows_what_must_be_given() -> None:
    parser = ArgumentParser(prog="work")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--more")
    parser.add_argument("set", metavar="SET")
    assert parser.format_help().splitlines()[0] == "usage: work --out DIR SET [options]"
    assert "--more MORE" in parser.format_help()


def test_options_are_taken_by_their_whole_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    parser.add_argument("--steps", type=int)
    parser.add_argument("--scales", type=float, nargs="*")
    parser.add_argument("--note")
    parser.add_argument("rest", nargs="*")
    with pytest.raises(SystemExit):
        parser.parse_args(["--step", "5"])
    assert "--step" in capsys.readouterr().err
    # What argparse takes for values is no option.
    given = parser.parse_args(["--scales", "-0.2", "-3", "--note", "-a b", "-", "--", "--step"])
    assert given.scales == [-0.2, -3.0]
    assert (given.note, given.rest) == ("-a b", ["-", "--step"])
    assert parser.parse_args(["--steps=7"]).steps == 7


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--schemes", "; did you mean --scheme?"),
        ("-shceme", "; did you mean --scheme?"),
        ("--quantize", ""),  # three letters of --rate, and the dashes
    ],
)
def test_a_suggestion_is_a_word_that_is_alike(word: str, said: str) -> None:
    assert did_you_mean(word, ["--rate", "--scheme", "--kind"]) == said


ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = sorted(
    path
    for folder in ("tfalign/cli", "tfalign/macc", "mobile_export", "recipes")
    for path in (ROOT / folder).glob("*.py")
    if "add_argument" in path.read_text()
)


def words_of(node: ast.expr) -> str:
    """The literal words of a string, an f-string or such strings side by side."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in parts)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_option_has_a_sentence_for_its_help(path: Path) -> None:
    for call in ast.walk(ast.parse(path.read_text())):
        if not isinstance(call, ast.Call) or ast.unparse(call.func)[-12:] != "add_argument":
            continue
        told = [words_of(word.value) for word in call.keywords if word.arg == "help"]
        assert told, f"line {call.lineno}: no help"
        assert told[0][0].isupper(), f"line {call.lineno}: {told[0]!r} must begin as a sentence"
        assert told[0].endswith((".", "…", "X")), f"line {call.lineno}: {told[0]!r} must end as one"


@pytest.mark.parametrize(
    "path",
    [path for path in PROGRAMS if path.parent.name in ("mobile_export", "recipes")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_program_shows_an_example_of_itself(path: Path) -> None:
    """The help of these programs is their docstring, or what stands in it."""
    module = "mobile_export" if path.stem == "__main__" else f"mobile_export.{path.stem}"
    call = (
        f"python recipes/{path.name} " if path.parent.name == "recipes" else f"python -m {module} "
    )
    lines = path.read_text().splitlines()
    assert any(line.strip(' "').startswith(call) for line in lines)
