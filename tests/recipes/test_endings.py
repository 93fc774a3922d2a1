"""Recipes tell a user's mistake in one line and exit code 2, as the command does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

RECIPES = sorted(
    path.name
    for path in (Path(__file__).resolve().parents[2] / "recipes").glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_ends_through_the_same_door(repository: Path, name: str) -> None:
    """What that door does with an error is tested in tests/cli/test_program.py."""
    tree = ast.parse((repository / "recipes" / name).read_text(encoding="utf-8"))
    ending = ast.unparse(tree.body[-1])
    assert "run_recipe(main)" in ending, ending
