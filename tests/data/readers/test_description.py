"""Every reader describes its set."""

from __future__ import annotations

import pytest

from tfalign import markup
from tfalign.data import readers

MODULES = [
    getattr(readers, name)
    for name in readers.__all__
    if hasattr(getattr(readers, name), "describe")
]


def test_there_are_seven():
    assert len(MODULES) == 7


@pytest.mark.parametrize("module", MODULES)
def test_describe(module):
    description = module.describe()
    assert module.__name__.endswith(f".{description.name}")
    assert markup.get(description.scheme).num_points == module.NUM_POINTS
    assert all(count > 0 for count in description.counts.values())
    for members in description.aliases.values():
        assert set(members) <= set(description.counts)
    table = description.table()
    for fact in (description.licence, description.source, description.citation):
        assert fact in table
