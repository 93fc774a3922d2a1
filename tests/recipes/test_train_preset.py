"""The recipe of the shipped presets: the views that it draws, and a whole run in small."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from tfalign.data import sets
from tfalign.models import GRegNet, load


@pytest.fixture(scope="module")
def preset(import_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return import_recipe("train_preset")


@pytest.fixture(scope="module")
def faces(import_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return import_recipe("preset_faces")


@pytest.fixture(scope="module")
def views(import_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return import_recipe("preset_views")


@pytest.mark.exhaustive
def test_preset(preset, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = "--steps 4 --fine-steps 2 --rendered 4 --holdout 4 --validation 5 --batch-size 4"
    command = ["300w", "--data", str(folder), "--out", str(out), *options.split()]
    result = preset.main(command)
    assert 12 <= result["photographs"] <= 15
    assert 5 <= result["validation_faces"] <= 6
    assert result["presentations"] == 4 * 6
    model = keras.saving.load_model(out / "refinement.keras", compile=False)
    weights = {v.path: v.shape for v in model.weights if "seed" not in v.path}
    with np.load(out / "weights.npz") as file:
        assert {key: file[key].shape for key in file.files} == weights
    before = keras.saving.load_model(out / "global.keras", compile=False)
    np.testing.assert_array_equal(
        model.get_layer("stem_conv").get_weights()[0],
        before.get_layer("stem_conv").get_weights()[0],
    )
    assert preset.main(command) == result


@pytest.mark.exhaustive
def test_preset_behind_a_network_that_finds_the_face(
    preset, folder: Path, real_data: Path, tmp_path: Path
) -> None:
    """The exact network is the mean of the shipped one and of what it was tuned to."""
    out = tmp_path / "out"
    options = "--steps 4 --rendered 4 --holdout 4 --validation 5 --batch-size 4 --tune-steps 2"
    command = ["300w_phone", "--data", str(folder), "--out", str(out), *options.split()]
    further = tmp_path / "further"
    further.mkdir()
    for annotation in sorted((real_data / "300w_subset/afw").glob("*.pts"))[:6]:
        for file in (annotation, annotation.with_suffix(".jpg")):
            shutil.copy(file, further)
    command += ["--unlabelled", f"pts={further}"]
    result = preset.main(command)
    assert result["presentations"] == 4 * (4 + 2)
    assert list(result["validation_nme"]) == ["tuned", "locator"]
    model, shipped = load(out / "model.keras"), load("300w")
    assert (model.shares, model.upright, model.image_size) == ([0.0, 1.0], False, (112, 112))
    tuned = load(out / "tuned.keras")
    for layer in ("stem_conv", "fc"):
        for mine, before, after in zip(
            *(m.get_layer(layer).get_weights() for m in (model.members[1], shipped, tuned)),
            strict=True,
        ):
            np.testing.assert_allclose(mine, (before + after) / 2, atol=1e-6)
            assert np.abs(after - before).max() > 0
    assert preset.main(command) == result


@pytest.mark.exhaustive
def test_presentations_are_those_of_the_epochs_that_ran(preset, folder: Path, tmp_path) -> None:
    """TSR's four phases of 8 steps in all are rounded up to whole epochs of 5: 5, 5, 5 and 5."""
    command = ["300w_tsr", "--data", str(folder), "--out", str(tmp_path / "out"), "--steps", "8"]
    command += ["--rendered", "4", "--holdout", "4", "--validation", "5", "--batch-size", "4"]
    small = dataclasses.replace(
        preset.PRESETS["300w_tsr"], arguments={"width": 0.05}, size=40, epoch=5
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(preset.PRESETS, "300w_tsr", small)
        assert preset.main(command)["presentations"] == 4 * (5 + 5 + 5 + 5)


@pytest.mark.parametrize(
    ("name", "option", "match"),
    [
        ("300w", ["--unlabelled", "pts=SCUT"], "--unlabelled are for presets that are tuned"),
        ("300w_tsr", ["--tune-steps", "5"], "Received: 300w_tsr"),
        ("300w_phone", ["--fine-steps", "5"], "--fine-steps is for presets with a refinement"),
    ],
)
def test_refuses_what_a_preset_does_not_have(preset, tmp_path, name, option, match) -> None:
    with pytest.raises(ValueError, match=match):
        preset.main([name, "--data", str(tmp_path), "--out", str(tmp_path / "out"), *option])


def test_further_faces_get_the_points_of_the_teacher_that_is_sure(
    faces, folder: Path, monkeypatch
) -> None:
    """It looks at the box of the points that are there, then at that of what it found."""
    known = sets.get("pts").read(folder / "lfpw", "train")
    shown = []

    class Teacher:
        def twice(self, images, boxes):
            shown.append(np.array(boxes))
            corners = boxes.reshape(-1, 2, 2)
            shapes = np.linspace(corners[:, 0], corners[:, 1] + 2, 68, axis=1)[:, None]
            return shapes, np.where(np.arange(len(boxes)) == 3, 0.021, 0.019)

    monkeypatch.setattr(faces, "load_predictor", lambda _: Teacher())
    found = faces.taught(known)
    assert len(known) == 12
    assert [r.name for r in found.records] == [
        r.name for i, r in enumerate(known.records) if i != 3
    ]
    tight = np.stack([[*r.landmarks.min(axis=0), *r.landmarks.max(axis=0)] for r in known.records])
    np.testing.assert_allclose(shown[0], tight, atol=1e-4)
    np.testing.assert_allclose(shown[1], tight + [0, 0, 2, 2], atol=1e-4)
    np.testing.assert_allclose(found.records[0].landmarks[-1], tight[0, 2:] + 4, atol=1e-4)
    assert found.scheme.name == "ibug68"


def test_further_faces_are_drawn_about_as_often_as_photographs(views, faces) -> None:
    def some(count: int, value: int):
        image = np.full((count, 8, 8, 3), value, np.uint8)
        return views.FaceCrops(image, np.zeros((count, 5, 2)), np.ones((count, 5), bool), "x")

    both = faces.with_further(some(4, 1), [some(5, 2), some(4, 3)])
    assert np.bincount(both.images[:, 0, 0, 0]).tolist() == [0, 8, 5, 4]
    assert faces.with_further(some(4, 1), []).images.shape == (4, 8, 8, 3)
    assert len(faces.with_further(some(4, 1), [some(1, 2)]).images) == 5


def test_further_faces_in_photographs_kept_apart_are_refused(
    preset, faces, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    """The last names of helen/trainset are held out, whatever set they are said to be of."""
    monkeypatch.setattr(faces, "taught", lambda reader: reader)
    options = ["--holdout", "4", "--validation", "5", "--data", str(folder), "--out", "none"]
    copy = tmp_path / "copy"
    shutil.copytree(folder / "helen/trainset", copy)
    arguments = preset.options().parse_args(["300w_phone", *options, "--unlabelled", f"pts={copy}"])
    with pytest.raises(ValueError, match="held out or measured on"):
        faces.further_crops(arguments, 64)


def test_preset_views_keep_points_on_the_face(views, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    points = np.array([[70.0, 80.0], [150.0, 80.0], [112.0, 112.0], [90.0, 150.0], [134.0, 150.0]])
    image = np.zeros((224, 224, 3), np.uint8)
    for x, y in points.astype(int):
        image[y - 2 : y + 2, x - 2 : x + 2] = 255
    known = np.array([True, True, True, True, False])
    whole = views.FaceCrops(image[None], points[None], np.ones((1, 5), bool), "dots")
    masked = whole._replace(annotated=known[None])
    feed = views.PresetFeed(masked, whole, 112, 4, [1, 0, 2, 4, 3], lambda _: 0.5, 0.25, 4, 0)
    for _ in range(20):
        view = views.box_map(points, 112, 0.25, rng)
        moved = points @ view[:, :2].T + view[:, 2]
        assert np.abs(moved.mean(axis=0) - 56).max() < 45
    monkeypatch.setattr(views, "occlude", lambda *_: None)
    monkeypatch.setattr(views, "recolour", lambda picture, _: picture)
    for _ in range(20):
        picture, moved, weights = feed._view(image, points, known, rng)
        # The last point is the mirror image of the one before it.
        assert sorted(np.flatnonzero(weights == 0)) in ([3], [4])
        assert not moved[weights == 0].any()
        for x, y in moved[weights > 0] * 112:
            if 4 < x < 108 and 4 < y < 108:
                part = picture[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4, 0].astype(float)
                rows, columns = np.mgrid[:7, :7] + 0.5
                centre = np.array([(part * columns).sum(), (part * rows).sum()]) / part.sum()
                assert np.abs(centre - [x % 1 + 3, y % 1 + 3]).max() < 0.6


def test_preset_begins_with_rendered_faces_and_ends_with_photographs(views) -> None:
    share = views.rendered_share
    assert [share(p) for p in (0.0, 0.1, 0.5, 0.9, 1.0)] == [0.75, 0.75, 0.12, 0.03, 0.03]


def test_unannotated_points_have_no_weight_in_a_batch(views) -> None:
    image = np.zeros((1, 224, 224, 3), np.uint8)
    points = np.array([[[70.0, 80.0], [150.0, 80.0], [112.0, 150.0]]])
    whole = views.FaceCrops(image, points, np.ones((1, 3), bool), "")
    masked = whole._replace(annotated=np.array([[True, True, False]]))
    feed = views.PresetFeed(masked, whole, 64, 4, [1, 0, 2], lambda _: 0.5, 0.25, 16, 0)
    images, landmarks, weights = next(feed.stream(0, 1))
    assert images.shape == (16, 64, 64, 3)
    assert 0 < (weights[:, 2] == 0).sum() < 16
    assert weights[:, :2].all()
    assert not landmarks[weights == 0].any()
    feed = views.PresetFeed(whole, whole, 64, 4, [1, 0, 2], lambda _: 0.5, 0.25, 16, 0)
    assert len(next(feed.stream(0, 1))) == 2


@pytest.mark.slow
def test_worker_processes_make_the_same_batches_in_order(views, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    points = rng.uniform(16, 48, (3, 5, 2))
    faces = views.FaceCrops(images, points, np.ones((3, 5), bool), "noise")
    alone, helped = (
        views.PresetFeed(
            faces,
            faces,
            32,
            8,
            [1, 0, 2, 4, 3],
            lambda _: 0.5,
            0.25,
            4,
            0,
            epoch=4,
            workers=workers,
        )
        for workers in (0, 2)
    )
    assert alone.describe() == helped.describe()
    for one, other in zip(alone.stream(1, 1), helped.stream(1, 1), strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


def test_new_points_begin_where_the_known_ones_say(preset, rng: np.random.Generator) -> None:
    keras.utils.set_random_seed(0)
    model = GRegNet(4, (32, 32, 3), width=0.25, trunk="compact")
    model.set_mean_shape(rng.uniform(0.3, 0.7, (4, 2)))
    shapes = rng.uniform(0.2, 0.8, (200, 4, 2))
    shapes[:, 3] = 0.25 * shapes[:, 0] + 0.75 * shapes[:, 2]
    preset.start_new_points(model, np.array([True, True, True, False]), shapes)
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(found[:, 3], 0.25 * found[:, 0] + 0.75 * found[:, 2], atol=2e-3)
    assert np.abs(found[:, 0] - found[:, 2]).min() > 0.01
