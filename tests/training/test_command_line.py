"""The options that training recipes share."""

from __future__ import annotations

import pytest

from tfalign.data.augment import presets
from tfalign.training import command_line
from tfalign.training.schedules import MODELS


def parsed(*words: str):
    return command_line.parser("Trains.", "greglref", 32).parse_args(["--out", "runs/x", *words])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "greglref"),
        (("--model", "ccnn"), "greglref"),
        (("--model", "ccnn", "--schedule", "published"), "ccnn"),
        (("--model", "ccnn", "--schedule", "published", "--augment", "light"), "light"),
        (("--model", "two_stage", "--schedule", "published"), "tsr"),
        (("--model", "deepreg", "--augment", "deepreg"), "deepreg"),
    ],
)
def test_published_schedules_bring_their_papers_augmentation(words, expected) -> None:
    assert command_line.augmentation(parsed(*words)) == expected


def test_every_models_augmentation_is_a_preset() -> None:
    assert {entry.augment for entry in MODELS.values()} <= set(presets.PRESETS)


def test_ccnns_augmentation_is_the_papers_four_kinds() -> None:
    """Section 4: "color changes, small angles rotation, scaling, and translations"."""
    config = presets.get("ccnn")
    none = presets.NONE.get_config()
    changed = {name for name, value in config.get_config().items() if value != none[name]}
    geometry = {"rotation", "scale", "translation"}
    assert geometry < changed
    colours = ("hue", "contrast", "brightness")
    assert all(name.startswith(colours) for name in changed - geometry)
    assert config.flip == 0


def test_unknown_preset_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        parsed("--augment", "imgaug")
    assert "'light'" in capsys.readouterr().err
