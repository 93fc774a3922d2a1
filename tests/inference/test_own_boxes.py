"""Models whose boxes are not a whole face's: `Aligner` gives them such as they were trained on."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data.readers import Reader, ReadingReport, Record
from tfalign.evaluation.boxes import fit_box_padding
from tfalign.inference import Aligner, CallableBackend, KerasBackend
from tfalign.inference.detectors import HaarDetector
from tfalign.models import GRegNet

FIVE = markup.LandmarkScheme(
    "five", ("right_eye", "left_eye", "nose", "right_corner", "left_corner"),
    normalizer=((0,), (1,)),
)  # fmt: skip
PLACES = np.array([[0.3, 0.45], [0.7, 0.45], [0.5, 0.6], [0.35, 0.75], [0.65, 0.75]])
"""Of the points in a person's box as an annotation tool has drawn it, hair and chin included."""
TOOL, FACE = np.array([40.0, 20, 140, 160]), np.array([45.0, 60, 135, 155])
"""That box, and the face's, which a detector finds, in the same picture."""


class Picture:
    """A picture that no detector of this test looks at."""

    def load(self) -> np.ndarray:
        return np.full((200, 200, 3), 128, np.uint8)


def reader(source: str) -> Reader:
    """Twenty faces in other places and of other sizes, alike in all else."""
    records = []
    for index in range(20):
        zoom, shift = 1 + index / 20, np.tile([index, 2 * index], 2)
        box = zoom * TOOL + shift
        points = box[:2] + PLACES * (box[2:] - box[:2])
        if source == "landmarks":
            box = np.asarray(geometry.box_from_landmarks(points))
        records.append(
            Record(
                f"{index}.png", Picture(), points.astype(np.float32), np.ones(5, bool),
                box.astype(np.float32), source, f"{index}",
            )
        )  # fmt: skip
    return Reader("own", FIVE, records, ReadingReport("raise"))


def faces_of(zooms: Any) -> Any:
    """A detector of whole faces: the answers of its calls, one after the other."""
    answers = iter(zooms)

    def detect(image: np.ndarray) -> np.ndarray:
        index = next(answers)
        return np.float32([(1 + index / 20) * FACE + np.tile([index, 2 * index], 2)])

    return detect


@pytest.mark.parametrize("source", ["file", "landmarks"])
def test_aligner_looks_where_training_looked(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    padding = fit_box_padding([reader(source)], FIVE, faces_of(range(20)))
    assert padding is not None
    crop = geometry.crop_convention("300w")
    # A network that has learned one thing: where the points lie in a crop of its training.
    trained = reader(source).records[0]
    to_crop = crop.crop_from_image(trained.box, (64, 64))
    unit = np.asarray(geometry.transform_points(to_crop, trained.landmarks)) / 64

    def answer(crops: np.ndarray) -> np.ndarray:
        return np.tile(unit.astype(np.float32), (len(crops), 1, 1))

    backend = CallableBackend(answer, (64, 64), crop, FIVE, "mean shape")
    backend.scheme = None  # The second look is turned, not mirrored: the shape lies in all crops.
    backend.box_padding = padding
    picture = np.zeros((400, 400, 3), np.uint8)
    for passes in (1, 2, 3):
        detector = "haar" if passes == 1 else HaarDetector()
        aligner = Aligner(backend, detector, passes, min_quality=0.0)
        # The answer of one of the library's detectors, which find whole faces.
        found = faces_of([7])
        monkeypatch.setattr(HaarDetector, "__call__", lambda _, image, found=found: found(image))
        image_boxes = aligner.detect(picture)
        shapes = aligner.predictor.once([picture], image_boxes)[0, -1]
        truth = reader(source).records[7].landmarks
        assert np.linalg.norm(shapes - truth, axis=1).max() < 0.1
        for _ in range(passes):
            again = np.asarray(geometry.box_from_landmarks(shapes))[None]
            shapes = aligner.predictor.once([picture], again)[0, -1]
        assert np.linalg.norm(shapes - truth, axis=1).max() < 0.1

    # Boxes of a detector of the user's own are the landmarks' as they say.
    own = Aligner(backend, faces_of([7]), min_quality=0.0)
    np.testing.assert_array_equal(own.detect(picture), faces_of([7])(picture))


def test_whole_faces_need_no_rule() -> None:
    scheme = markup.get("ibug68")
    records = [
        Record(
            "a.png", Picture(), np.random.default_rng(1).uniform(20, 90, (68, 2)).astype("float32"),
            np.ones(68, bool), np.float32([20, 20, 90, 90]), "landmarks", "a",
        )
    ]  # fmt: skip
    assert fit_box_padding([Reader("x", scheme, records, ReadingReport("raise"))], scheme) is None
    assert fit_box_padding([object()], FIVE) is None


@pytest.mark.parametrize("source", ["file", "landmarks"])
def test_faces_none_of_which_has_all_points_tell_their_boxes_too(source: str) -> None:
    """Each lacks another point: most boxes of the others are as wide or as high as the whole's."""
    part = reader(source)
    records = []
    for index, record in enumerate(part.records):
        known = np.arange(5) != index % 5
        landmarks = np.where(known[:, None], record.landmarks, 0).astype(np.float32)
        box = record.box
        if source == "landmarks":
            box = np.asarray(geometry.box_from_landmarks(landmarks[known]), np.float32)
        records.append(replace(record, landmarks=landmarks, annotated=known, box=box))
    padding = fit_box_padding([part.subset(records)], FIVE, faces_of(range(20)))
    whole = fit_box_padding([part], FIVE, faces_of(range(20)))
    assert padding is not None
    assert whole is not None
    for name in ("points", "face"):
        np.testing.assert_allclose(padding[name], whole[name], atol=0.02)
    # Some whole faces are enough, and the others then change nothing.
    mixed = part.subset([*records[:12], *part.records[12:]])
    some = part.subset(part.records[12:])
    assert fit_box_padding([mixed], FIVE, faces_of(range(12, 20))) == fit_box_padding(
        [some], FIVE, faces_of(range(12, 20))
    )


def test_pictures_that_cannot_be_read_are_left_to_the_cropping() -> None:
    class Broken:
        def load(self) -> np.ndarray:
            raise ValueError("a.png: truncated")

    part = reader("file")
    broken = [replace(record, image=Broken()) for record in part.records[:8]]
    damaged = part.subset([*broken, *part.records[8:]])
    padding = fit_box_padding([damaged], FIVE, faces_of(range(8, 20)))
    assert padding == fit_box_padding([part], FIVE, faces_of(range(20)))


def test_no_face_found_leaves_the_second_pass_right() -> None:
    padding = fit_box_padding([reader("file")], FIVE, lambda image: np.zeros((0, 4), np.float32))
    assert padding is not None
    assert padding["face"] is None
    backend = CallableBackend(lambda crops: crops, (64, 64), "300w", FIVE, "own")
    backend.box_padding = padding
    picture = np.zeros((400, 400, 3), np.uint8)
    with pytest.warns(UserWarning, match="give boxes, or a detector of your own"):
        Aligner(backend, "haar").detect(picture)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Aligner(backend, faces_of([7])).detect(picture)
    tight = PLACES.max(axis=0) - PLACES.min(axis=0)
    expected = [0.3 / tight[0], 0.45 / tight[1], 0.3 / tight[0], 0.25 / tight[1]]
    np.testing.assert_allclose(padding["points"], expected, atol=1e-3)


def test_the_rule_travels_with_the_model(tmp_path: Any) -> None:
    import keras

    model = GRegNet(5, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme=FIVE)
    model.box, model.box_padding = "file", {"points": [0.1, 0.2, 0.1, 0.3], "face": [0, -0.1, 0, 0]}
    model.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    assert loaded.box_padding == model.box_padding
    assert KerasBackend(loaded).box_padding == model.box_padding
    assert Aligner(tmp_path / "own.keras", None).predictor.box_padding == (0.1, 0.2, 0.1, 0.3)
