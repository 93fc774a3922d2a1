"""What an export says of itself is true: bad calibrations and other losses are told or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mobile_export
from mobile_export import calibration
from mobile_export.check import check
from mobile_export.parity import LIMITS, QUANTIZED, Limit, limit_of, strange_landmarks
from mobile_export.pictures import rendered_faces
from tfalign.markup import LandmarkScheme

SIZE = (112, 112)
FACES = 16


def pictures_of(what: str) -> np.ndarray:
    """Calibration pictures (N, 112, 112, 3), good ones and such as users have given."""
    from tfalign.geometry import crop_convention

    if what == "black":
        return np.zeros((FACES, 112, 112, 3), np.uint8)
    if what == "grey":
        return np.full((FACES, 112, 112, 3), 128, np.uint8)
    if what == "noise":
        shape = (FACES, 112, 112, 3)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    faces = rendered_faces(FACES, SIZE, crop_convention("300w"), seed=2020)
    return {"good": faces, "BGR": faces[..., ::-1], "one": faces[:1]}[what]


@pytest.fixture(scope="module")
def preset() -> Any:
    from tfalign.models import load

    return load("300w")


@pytest.fixture(scope="module")
def content(preset: Any) -> bytes:
    from mobile_export.converter import convert

    alike = rendered_faces(mobile_export.exporter.RENDERED, SIZE, preset.crop)
    return convert(preset, equalize_on=alike)


@pytest.fixture
def converted(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every export starts from one conversion, which takes most of its time."""
    monkeypatch.setattr(mobile_export.exporter.converter, "convert", lambda *_: content)


# Measured on the 16 rendered faces: mean and 95 % of the distance to the Keras model, in pixels.
BAD = {
    "black": ("16 of 16 calibration pictures are black", 0.962, 2.100),
    "grey": ("16 of 16 calibration pictures are of one grey, 128", 1.190, 2.497),
    "noise": ("16 of 16 calibration pictures look like noise", 0.756, 1.632),
}
DOUBTFUL = {
    "BGR": ("they must be RGB, not BGR", 0.130, 0.268),
    "one": ("there are 1 calibration pictures", 0.224, 0.465),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
def test_calibration_that_ruins_the_file_is_refused(
    what: str, preset: Any, converted: None, tmp_path: Path
) -> None:
    words, mean, p95 = BAD[what]
    pictures = pictures_of(what)
    with (
        pytest.warns(UserWarning, match=words),
        pytest.raises(ValueError, match=f"mean .* on rendered faces.*{words}.*allow_loss") as error,
    ):
        mobile_export.export(preset, "int8", pictures, tmp_path / "out")
    found = [float(word) for word in str(error.value).split() if word.replace(".", "", 1).isdigit()]
    assert found[0] == pytest.approx(mean, rel=0.2)
    assert not (tmp_path / "out").exists()

    with pytest.warns(UserWarning, match=words):
        result = mobile_export.export(preset, "int8", pictures, tmp_path / "out", allow_loss=True)
    assert result.rendered.mean_px == pytest.approx(mean, rel=0.2)
    assert result.rendered.p95_px == pytest.approx(p95, rel=0.2)
    assert words in result.table()
    replay = check(tmp_path / "out")
    assert replay.passed
    assert replay.keras.mean_px > QUANTIZED.mean_px
    assert "any loss was allowed" in str(replay)


@pytest.mark.slow
@pytest.mark.parametrize("what", DOUBTFUL)
def test_doubtful_calibration_is_told_with_the_measured_loss(
    what: str, preset: Any, converted: None, tmp_path: Path
) -> None:
    words, mean, p95 = DOUBTFUL[what]
    with pytest.warns(UserWarning, match=words):
        result = mobile_export.export(preset, "int8", pictures_of(what), tmp_path / "out")
    assert result.rendered.mean_px == pytest.approx(mean, rel=0.25)
    assert result.rendered.p95_px == pytest.approx(p95, rel=0.25)
    assert any(words in note for note in result.metadata.notes)
    assert any(words in doubt for doubt in result.report["calibration"]["doubts"])


@pytest.mark.slow
def test_good_calibration_passes_and_check_compares_with_the_keras_points(
    preset: Any, converted: None, tmp_path: Path, recwarn: Any
) -> None:
    result = mobile_export.export(preset, "int8", pictures_of("good"), tmp_path / "out")
    assert not [w for w in recwarn if "Calibration" in str(w.message)]
    assert result.rendered.mean_px == pytest.approx(0.129, rel=0.25)
    assert result.metadata.quality["mean_px"] == result.rendered.mean_px
    assert check(tmp_path / "out").passed

    # A file that agrees with itself, and not with its Keras model, is no longer passed.
    shutil.copytree(tmp_path / "out", tmp_path / "other")
    with np.load(tmp_path / "out/golden.npz") as stored:
        arrays = dict(stored)
    arrays["keras_landmarks"] = arrays["keras_landmarks"] + np.float32(2 / 112)
    np.savez(tmp_path / "other/golden.npz", **arrays)
    from tfalign.files import sha256

    about = result.metadata
    digests = {**about.sha256, "golden.npz": sha256(tmp_path / "other/golden.npz")}
    about.replace(sha256=digests).write(tmp_path / "other")
    replay = check(tmp_path / "other")
    assert replay.max_px <= replay.tolerance_px
    assert not replay.passed
    assert "FAILED" in str(replay)


@pytest.mark.slow
def test_loss_on_annotated_pictures_is_refused_too(
    preset: Any, converted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures_of("noise")[:4]  # nothing that the ranges were fitted to
    given = {
        "images": images,
        "truth": np.asarray(preset(images.astype(np.float32))),
        "protocol": "300w_inter_ocular",
    }
    good = pictures_of("good")
    loose = mobile_export.export(preset, "int8", good, tmp_path / "a", allow_loss=True, **given)
    limit = (loose.rendered.p95_px + loose.parity.p95_px) / 2
    assert limit > loose.rendered.p95_px
    monkeypatch.setattr(mobile_export.exporter, "limit_of", lambda *_: Limit(10.0, limit))
    with pytest.raises(ValueError, match="on the annotated pictures"):
        mobile_export.export(preset, "int8", good, tmp_path / "b", **given)


def test_faults_of_calibration_pictures_in_words() -> None:
    assert calibration.faults(pictures_of("good")) == []
    # Grey photographs have no order of colours to be wrong.
    grey = np.repeat(pictures_of("good").mean(-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    assert calibration.faults(grey) == []
    few = calibration.faults(pictures_of("good")[:3])
    assert few == ["there are 3 calibration pictures; take 16 or more, better 100"]
    same = np.repeat(pictures_of("one"), 20, axis=0)
    assert calibration.faults(same) == ["all 20 calibration pictures are the same"]


@pytest.mark.slow
def test_calibration_from_a_generator_and_from_rendered_faces() -> None:
    faces = pictures_of("good")
    found = calibration.load((face for face in faces), SIZE)
    np.testing.assert_array_equal(found.images, faces)
    rendered = calibration.load("rendered", (40, 48))
    assert rendered.images.shape == (calibration.RENDERED_COUNT, 40, 48, 3)
    assert calibration.faults(rendered.images) == []
    golden = rendered_faces(4, (40, 48))
    assert not any((face == golden).all(axis=(1, 2, 3)).any() for face in rendered.images)


def test_limits_grow_with_the_input() -> None:
    assert limit_of("float32", (96, 64)) == LIMITS["float32"]
    assert limit_of("int8_qat", (448, 224)) == Limit(1.0, 2.0)


def test_points_in_other_units_or_without_motion_are_told() -> None:
    from tfalign.data.synthetic import render
    from tfalign.geometry import CROP_PRESETS, transform_points

    for name, crop in CROP_PRESETS.items():
        samples = [render(5, index, 128) for index in range(4)]
        maps = [np.asarray(crop.crop_from_image(one.box, SIZE)) for one in samples]
        points = [transform_points(m, s.landmarks) for m, s in zip(maps, samples, strict=True)]
        unit = np.stack(points) / 112
        assert strange_landmarks(unit, SIZE) == [], name
        for other in (112 * unit, 2 * unit - 1, 100 * unit):
            (told,) = strange_landmarks(other, SIZE)
            assert "outside the crop" in told, name
    still = unit[:1] + 0.001 * (unit - unit[:1])
    (told,) = strange_landmarks(still, SIZE)
    assert "nearly the same points" in told


def test_an_export_tells_what_landmarks_and_folder_have_of_others(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = layers.Dense(10, activation="sigmoid")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Rescaling(8.0)(layers.Reshape((5, 2))(x)))
    model.trainable = False
    own = tmp_path / "scheme.json"
    own.write_text("a user's own", encoding="utf-8")

    def export(scheme: LandmarkScheme | None = None) -> Any:
        arguments: dict[str, Any] = {"crop": "300w", "pixels": (0, 255), "scheme": scheme}
        with pytest.warns(UserWarning, match=r"outside the crop .*Rescaling to \[0, 1\]"):
            return mobile_export.export(
                model, "float32", out=tmp_path, allow_loss=True, **arguments
            )

    result = export()
    assert any("outside the crop" in note for note in result.metadata.notes)
    assert own.read_text(encoding="utf-8") == "a user's own"
    export(LandmarkScheme("five", tuple("abcde")))
    assert "five" in own.read_text(encoding="utf-8")
    export()
    assert not own.exists()
    assert result.metadata.model["params"] == 8 * 8 * 3 * 10 + 10


def test_rendered_faces_are_cut_as_a_model_of_own_boxes_sees_them() -> None:
    from tfalign.data.synthetic import render
    from tfalign.geometry import CropConvention
    from tfalign.inference.crops import cut_crops

    crop = CropConvention((0.05, 0.1, 0.05, 0.0), square=False)
    padding = {"face": [-0.2, -0.3, -0.2, -0.15], "points": [0.25, 0.1, 0.25, 0.4]}
    samples = [render(11, index) for index in range(3)]
    boxes = []
    for sample in samples:
        x0, y0 = sample.landmarks.min(axis=0)
        x1, y1 = sample.landmarks.max(axis=0)
        for left, top, right, bottom in (padding["face"], padding["points"]):
            w, h = x1 - x0, y1 - y0
            x0, y0, x1, y1 = x0 - left * w, y0 - top * h, x1 + right * w, y1 + bottom * h
        boxes.append((x0, y0, x1, y1))
    # `Predictor` cuts so, with OpenCV; there positions are rounded to a 32th of a pixel.
    expected, _ = cut_crops([one.image for one in samples], boxes, crop, (96, 80))
    found = rendered_faces(3, (96, 80), crop, 11, padding)
    assert np.abs(found.astype(int) - expected).mean() < 1.0
    without = rendered_faces(3, (96, 80), crop, 11, {**padding, "face": None})
    assert np.abs(without.astype(int) - expected).mean() > 10.0


def test_a_golden_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    from mobile_export import golden

    points = np.zeros((1, 5, 2))
    golden.write(tmp_path / "golden.npz", np.zeros((1, 8, 8, 3)), points, points)
    content = (tmp_path / "golden.npz").read_bytes()
    (tmp_path / "golden.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"golden\.npz"):
        golden.read(tmp_path / "golden.npz")


def test_a_file_with_the_name_of_a_preset_is_refused() -> None:
    from mobile_export import assets

    with pytest.raises(ValueError, match=r"licence and box.* 'runs/300w\.keras'"):
        assets._models(["runs/300w.keras"])
