"""The sentence that says how a missing package is installed, and where it is said."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from tfalign.extras import EXTRAS, how_to_install
from tfalign.version import __version__


def test_every_package_is_brought_by_the_extra_that_is_named(repository):
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    brought_by = importlib.metadata.packages_distributions()
    for package, extra in EXTRAS.items():
        wanted = {Requirement(line).name.lower() for line in extras[extra]}
        found = {name.lower().replace("_", "-") for name in brought_by.get(package, [])}
        if found:
            assert found & wanted, f"{package} comes from {found}, {extra} brings {wanted}"


def test_the_wheel_that_is_named_is_one_that_pip_takes(repository):
    told = how_to_install("media")
    (wheel,) = re.findall(r"'(\S+\.whl)\[media\]'", told)
    name, version, _, _ = parse_wheel_filename(wheel)
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert (name, str(version)) == (project["name"], __version__)
    assert "python -m pip install -e '.[media]'" in told


def test_nothing_says_that_tfalign_is_on_an_index(repository):
    """Neither code nor documentation names an install that would look for it there."""
    files = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.rst", "*.html", "*.yml"],
        cwd=repository, capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    if not files:
        pytest.skip("not a clone")
    where = [file for file in files if file != "tests/test_extras.py"]
    wrong = [
        f"{file}: {line.strip()}"
        for file in where
        for line in (repository / file).read_text().splitlines()
        if re.search(r"pip install (-U )?['\"]?tfalign(?!-\S*\.whl)", line)
    ]
    assert not wrong
    guide = (repository / "docs" / "getting_started.md").read_text()
    assert set(re.findall(r"tfalign-([\d.]+)-py3-none-any\.whl", guide)) == {__version__}
