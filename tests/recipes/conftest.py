"""Recipes as modules: one finds its neighbours, as where it is run."""

from __future__ import annotations

import importlib
import shutil
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


@pytest.fixture
def folder(real_data: Path, tmp_path: Path) -> Path:
    """A part of 300-W in its layout."""
    folder = tmp_path / "300w"
    for name, count in (("lfpw/trainset", 12), ("helen/trainset", 12)):
        (folder / name).mkdir(parents=True)
        for annotation in sorted((real_data / "300w_subset" / name).glob("*.pts"))[:count]:
            for file in (annotation, annotation.with_suffix(".jpg")):
                shutil.copy(file, folder / name)
    return folder
