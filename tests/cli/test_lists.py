"""`tfalign data`, `tfalign models` and `tfalign schedule`: what they print can be read and used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfalign.data import sets
from tfalign.models import shipped_presets
from tfalign.training import Schedule


def test_data(tfalign) -> None:
    listed = tfalign("data")
    for name, known in sets.SETS.items():
        assert name in listed.out
        assert known.summary in listed.out
    one = tfalign("data", "300w")
    assert "helen/testset" in one.out
    assert "licence" in one.out
    wrong = tfalign("data", "301w")
    assert wrong.code == 2
    assert "300w" in wrong.err


def test_schedule_can_be_edited_and_trained_by(tfalign, tmp_path: Path) -> None:
    printed = tfalign("schedule", "gregnet", "--steps", 100)
    assert printed.code == 0
    file = tmp_path / "mine.json"
    file.write_text(printed.out)
    schedule = Schedule.from_file(file)
    assert [phase.steps for phase in schedule.phases] == [100]
    again = tfalign("schedule", "gregnet", "--steps", 100, "--json")
    assert json.loads(printed.out) == again.json
    (tmp_path / "run.json").write_text(json.dumps({"schedule": schedule.get_config()}))
    assert tfalign("schedule", tmp_path).out == printed.out
    scaled = tfalign("schedule", tmp_path, "--steps", 7)
    assert scaled.code == 2
    assert "steps=7" in scaled.err


@pytest.mark.parametrize("words", [["gregnot"], ["gregnet", "--schedule", "local"], ["two_stage"]])
def test_schedules_that_are_not_there(tfalign, words) -> None:
    outcome = tfalign("schedule", *words)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_models_lists_the_shipped_weights_and_tells_about_one(tfalign) -> None:
    known = shipped_presets()
    listed = tfalign("models", "--json")
    assert listed.code == 0
    assert set(json.loads(listed.out)["presets"]) == set(known)
    sidecar = known["300w"]
    told = tfalign("models", "300w").out
    for part in (sidecar["provenance"], sidecar["licence"], f"{sidecar['macc'] / 1e6:.1f} MMACC"):
        assert part in told
    wrong = tfalign("models", "nothing")
    assert wrong.code == 2
    assert "300w" in wrong.err
