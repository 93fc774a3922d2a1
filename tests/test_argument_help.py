"""The form of --help."""

from __future__ import annotations

import argparse

from tfalign.argument_help import HelpFormatter


def test_defaults_are_told_where_there_is_one_to_tell() -> None:
    parser = argparse.ArgumentParser(
        description="First line.\n    indented", formatter_class=HelpFormatter
    )
    parser.add_argument("place", nargs="?", default="here", help="a place")
    parser.add_argument("--faces", type=int, default=3, help="how many")
    parser.add_argument("--share", type=float, default=0.5, help="of all (default: half)")
    parser.add_argument("--quiet", action="store_true", help="no bar")
    parser.add_argument("--name", help="its name")
    parser.add_argument("--rate", type=float, default=0.0, help="of learning")
    lines = [" ".join(line.split()) for line in parser.format_help().splitlines()]
    assert "    indented" in parser.format_help()
    assert "--faces FACES how many (default: 3)" in lines
    assert "--share SHARE of all (default: half)" in lines
    assert "--quiet no bar" in lines
    assert "--name NAME its name" in lines
    assert "--rate RATE of learning (default: 0.0)" in lines
    assert "place a place" in lines
