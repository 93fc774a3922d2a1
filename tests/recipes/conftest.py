"""Recipes as modules: one finds its neighbours, as where it is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def import_recipe(repository: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a file of ``recipes/`` by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository / "recipes")
        yield importlib.import_module
