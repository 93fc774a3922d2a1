"""What a training can be told: published settings, refusals, and the options made of them."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_model import TinyModel

from tfalign import markup, models, training
from tfalign.cli import train as command
from tfalign.data.augment import presets
from tfalign.data.pipeline import CropCache
from tfalign.data.sample import Sample
from tfalign.models import ARCHITECTURES
from tfalign.training import Settings
from tfalign.training.schedules import published_settings
from tfalign.training.train import augmentation, make_schedule


def one_face() -> CropCache:
    sample = Sample(
        name="one",
        image=np.zeros((80, 80, 3), np.uint8),
        box=np.array([10.0, 10.0, 70.0, 70.0], np.float32),
        landmarks=np.random.default_rng(0).uniform(20, 60, (68, 2)).astype(np.float32),
        visible=np.ones(68, bool),
        scheme=markup.IBUG68,
    )
    return CropCache.build([sample], "300w", (32, 32))


def made(model: str, *words: str) -> Settings:
    parser = argparse.ArgumentParser()
    command.add_settings(parser)
    given = command.given_settings(parser.parse_args(words))
    return Settings.made(models.architecture(model), given)


@pytest.mark.parametrize(
    ("model", "words", "expected"),
    [
        ("greglref", (), "greglref"),
        ("ccnn", (), "greglref"),
        ("ccnn", ("--schedule", "published"), "ccnn"),
        ("ccnn", ("--schedule", "published", "--augment", "light"), "light"),
        ("two_stage", ("--schedule", "published"), "tsr_published"),
        ("deepreg", ("--augment", "deepreg"), "deepreg"),
    ],
)
def test_published_schedules_bring_their_papers_augmentation(model, words, expected) -> None:
    assert made(model, *words).augment == expected


def test_every_models_augmentation_is_a_preset() -> None:
    found = {published_settings(e).get("augment", "none") for e in ARCHITECTURES.values()}
    assert found <= set(presets.PRESETS)


def test_every_setting_is_an_option_with_a_sentence() -> None:
    parser = argparse.ArgumentParser()
    command.add_settings(parser)
    text = " ".join(parser.format_help().split())
    for field in dataclasses.fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in text
        help_text = field.metadata["help"]
        assert help_text[0].isupper(), field.name
        assert help_text.endswith("."), field.name
        assert " ".join(help_text.split()) in text


def test_options_change_only_what_is_given() -> None:
    assert made("greglref") == Settings()
    changed = made("greglref", "--steps", "7", "--balance", "--validation", "12")
    assert changed == Settings(steps=7, balance=True, validation=12)
    assert made("greglref", "--validation", "0.25").validation == 0.25


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": 2, "steps": 3}, "not in both"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"steps": -1}, "steps=-1"),
        ({"validation": 1.5}, "validation=1.5"),
        ({"validation": -1}, "validation=-1"),
        ({"learning_rate": 1e-3}, "learning_rate"),
    ],
)
def test_refusals(changes, told) -> None:
    with pytest.raises(ValueError, match=told):
        Settings.made(None, changes)


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


def test_augmentation_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"flip": 0.25, "rotation": [-5, 5]}))
    config = augmentation(file)
    assert (config.flip, tuple(config.rotation)) == (0.25, (-5, 5))
    for text in ("no json", "[1]", '{"flop": 1}', '{"flip": 2}', '{"flip": "often"}'):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"mine.json"):
            augmentation(str(file))
    with pytest.raises(FileNotFoundError):
        augmentation(tmp_path / "none.json")
    with pytest.raises(ValueError, match="'imgaug'"):
        augmentation("imgaug")


SCHEDULE = {
    "name": "mine",
    "phases": [
        {
            "name": "only",
            "losses": {"stages": {"loss": "l2"}},
            "learning_rate": {"base": 0.001},
            "epochs": 2,
        }
    ],
}


def edited(path: tuple, value: object) -> dict:
    config = json.loads(json.dumps(SCHEDULE))
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("phases",), 3, "phases"),
        (("phases", 0), 3, "phase 1 must be an object"),
        (("phases", 0, "learning_rate"), {}, "'base'"),
        (("phases", 0, "learning_rate", "base"), "fast", "base='fast'"),
        (("phases", 0, "epochs"), "2", "epochs='2'"),
        (("phases", 0, "epochs"), True, "epochs=True"),
        (("phases", 0, "momentum"), 0.9, "momentum"),
        (("phases", 0, "losses"), [1], "losses"),
        (("phases", 0, "losses", "stages", "weight"), None, "weight=None"),
        (("phases", 0, "optimizer"), {"kind": "rmsprop"}, "rmsprop"),
        (("phases", 0, "callbacks"), [3], "callbacks must be an object"),
        (("phase",), [], "unknown"),
    ],
)
def test_faulty_schedule_files(path, value, told, tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps(edited(path, value)))
    with pytest.raises(ValueError, match=r"schedule.json") as error:
        training.Schedule.from_file(file)
    assert told in str(error.value)


def test_schedule_files(tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps(SCHEDULE))
    schedule = training.Schedule.from_file(file)
    assert (schedule.phases[0].epochs, schedule.phases[0].learning_rate.base) == (2, 0.001)
    file.write_text("{")
    with pytest.raises(ValueError, match=r"schedule.json"):
        training.Schedule.from_file(file)
    with pytest.raises(FileNotFoundError, match=r"none.json"):
        training.Schedule.from_file(tmp_path / "none.json")


def test_a_schedule_of_ones_own_takes_no_lengths_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps(SCHEDULE))
    schedule = training.Schedule.from_file(file)
    for mine in (schedule, file, str(file)):
        assert make_schedule(Settings(schedule=mine), None, 10) == schedule
        for given in ({"steps": 5}, {"epochs": 5}, {"rate": 0.1}, {"dropout": 0.3}):
            (told,) = (f"{name}={value}" for name, value in given.items())
            with pytest.raises(ValueError, match=rf"of your own.*{told}"):
                make_schedule(Settings(schedule=mine, **given), None, 10)


@pytest.mark.parametrize(
    ("model", "schedule", "told"),
    [
        (models.DeepReg, "sequential", {"rate": 0.1}),
        (models.DeepReg, "cpu", {"dropout": 0.2}),
        (models.DeepReg, "published", {"dropout": 0.7}),
    ],
)
def test_a_setting_that_changes_nothing_is_refused(model, schedule: str, told: dict) -> None:
    made = model(68, input_shape=(64, 64, 3), local_layers=1)
    ((name, value),) = told.items()
    assert make_schedule(Settings(schedule=schedule), made, 10).phases
    with pytest.raises(ValueError, match=f"`{name}` has nothing to set.*'{schedule}'.*{value}"):
        make_schedule(Settings(schedule=schedule, **told), made, 10)


def test_a_loss_that_replaces_none_is_refused_also_without_watched_faces(tmp_path: Path) -> None:
    config = edited(("phases", 0, "patience"), 3)
    config["phases"][0]["losses"]["stages"] = {"loss": "tfalign>HeatmapLoss"}
    schedule = training.Schedule.from_config(config)
    for watched in (True, False):
        with pytest.raises(ValueError, match="losses of its own kind"):
            make_schedule(Settings(schedule=schedule, loss="wing"), None, 10, watched)


def test_without_watched_faces_nothing_waits_for_their_error() -> None:
    """Neither a learning rate nor the end of a phase; and no weights are the best on them."""
    model = models.DeepReg(68, input_shape=(64, 64, 3))
    settings = Settings(schedule="published")
    watched, alone = (make_schedule(settings, model, 10, seen) for seen in (True, False))
    waits = [p.patience is not None or p.learning_rate.kind == "plateau" for p in watched.phases]
    assert any(waits)
    for phase in alone.phases:
        assert phase.patience is None
        assert phase.learning_rate.kind != "plateau" or phase.learning_rate.monitor == "loss"
    model = models.GRegNet(68, (32, 32, 3), width=0.1, trunk="mobile", scheme="ibug68")
    with pytest.raises(ValueError, match="keep='best' needs faces to watch"):
        training.train(model, one_face(), validation=0, keep="best", steps=1)


@pytest.mark.parametrize("box", [None, "landmarks"])
def test_a_model_that_was_trained_before_goes_on_from_its_weights(box: str | None, capsys) -> None:
    """The mean shape would take the place of what its output layer has learned."""
    model, faces = TinyModel(), one_face()
    own = np.random.default_rng(1).uniform(0.3, 0.7, (68, 2))
    model.set_mean_shape(own)
    model.box = box
    training.train(model, faces, validation=0, steps=1, batch_size=1, rate=1e-12, augment="none")
    bias = np.asarray(model.get_layer("fc").bias).reshape(68, 2)
    np.testing.assert_allclose(bias, own if box else faces.mean_shape, atol=1e-5)
    assert ("goes on from its weights" in capsys.readouterr().out) == (box is not None)


def test_phases_that_compute_anew_what_was_taken_over_are_told(capsys) -> None:
    """A closed form takes no notice of the weights that ``--init-weights`` brought."""

    class Started(TinyModel):
        def solve(self, feed: object) -> None:
            del feed

    config = edited(("phases", 0, "start"), "solve")
    config["phases"][0]["epochs"] = 0
    schedule = training.Schedule.from_config(config)
    for box in (None, "landmarks"):
        model = Started()
        model.box = box
        training.train(model, one_face(), validation=0, schedule=schedule, batch_size=1)
        told = "in place of those taken over: only (solve)" in capsys.readouterr().out
        assert told == (box is not None)
