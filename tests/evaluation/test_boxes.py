import types
from dataclasses import replace

import numpy as np
import pytest

from tfalign import geometry
from tfalign.cli.measuring import check_boxes
from tfalign.data import sets, synthetic
from tfalign.data.readers import w300, wflw
from tfalign.evaluation import Perturbation, tsr_table_2
from tfalign.evaluation.boxes import (
    HaarDetector,
    choose_boxes,
    fit_box_padding,
    overlap,
    trained_box,
    usual_box,
)


@pytest.fixture
def sample(oracle_faces):
    return oracle_faces(count=1).samples[0]


def tight(sample):
    return np.asarray(geometry.box_from_landmarks(sample.landmarks))


def test_landmarks_and_file(sample):
    np.testing.assert_array_equal(choose_boxes([sample], "landmarks").boxes[0], tight(sample))
    np.testing.assert_array_equal(choose_boxes([sample], "file").boxes[0], sample.box)
    with pytest.raises(ValueError, match=r"gives no box for 'helen/testset/0\.png'"):
        choose_boxes([replace(sample, box_source="landmarks")], "file")
    with pytest.raises(ValueError, match="must be one of landmarks, file, detector"):
        choose_boxes([sample], "official")


def test_a_face_without_box_among_others_is_cut_as_in_training(sample):
    without = replace(sample, box=sample.box + 1, box_source="landmarks")
    found = choose_boxes([sample, without], "file", partly=True)
    np.testing.assert_array_equal(found.boxes, [sample.box, sample.box + 1])


def test_points_that_are_not_annotated_widen_no_box(sample):
    annotated = np.arange(len(sample.landmarks)) % 3 > 0
    known = sample.landmarks[annotated]
    assert known.min() > 1  # (0, 0), where the others are stored, is outside the face
    masked = replace(
        sample,
        landmarks=np.where(annotated[:, None], sample.landmarks, 0).astype(np.float32),
        annotated=annotated,
    )
    expected = [*known.min(axis=0), *known.max(axis=0)]
    np.testing.assert_array_equal(choose_boxes([masked], "landmarks").boxes[0], expected)
    # A set that was joined brings the box of the whole shape, which training crops by.
    joined = replace(masked, box=tight(sample).astype(np.float32), box_source="landmarks")
    np.testing.assert_array_equal(choose_boxes([joined], "landmarks").boxes[0], joined.box)


def test_detector_takes_the_detection_of_this_face(sample):
    box = tight(sample)
    other = box + 45.0
    near = box + 3.0
    found = choose_boxes([sample], "detector", lambda image: np.stack([other, near]))
    np.testing.assert_array_equal(found.boxes[0], near.astype(np.float32))
    assert not found.missed.any()


def test_a_face_that_is_found_is_fitted_to_points_that_do_not_fill_it(sample):
    """Five points in the middle third of a face, trained on a tool's box about them."""
    face = np.array([30.0, 20.0, 120.0, 140.0])
    inner = geometry.pad_box(face, (-0.3, -0.3, -0.3, -0.2))
    padding = {"points": [0.5, 0.4, 0.5, 0.6], "face": [-0.3, -0.3, -0.3, -0.2]}
    part = replace(sample, box=np.asarray(inner, np.float32), box_source="landmarks")
    detect = lambda image: face[None].astype(np.float32)  # noqa: E731
    # As it is, the face's box has too little in common with theirs to count as found.
    assert choose_boxes([part], "detector", detect).missed.tolist() == [True]
    found = choose_boxes([part], "detector", detect, padding)
    assert found.missed.tolist() == [False]
    expected = geometry.pad_box(inner, padding["points"])
    np.testing.assert_allclose(found.boxes[0], expected, atol=1e-3)
    # Points of the whole face, and places that are not known, take a detector's box as it is.
    for none in (None, {**padding, "face": None}, {**padding, "face": [0.0] * 4}):
        same = choose_boxes([sample], "detector", lambda image: tight(sample)[None], none)
        np.testing.assert_allclose(same.boxes[0], tight(sample), atol=1e-5)


@pytest.mark.parametrize("detections", [np.zeros((0, 4)), np.array([[0.0, 0.0, 9.0, 9.0]])])
def test_missed_faces_fall_back_and_are_counted(sample, detections):
    found = choose_boxes([sample], "detector", lambda image: detections.astype(np.float32))
    assert found.missed.tolist() == [True]
    np.testing.assert_array_equal(found.boxes[0], sample.box)
    without = replace(sample, box=tight(sample).astype(np.float32), box_source="landmarks")
    found = choose_boxes([without], "detector", lambda image: detections.astype(np.float32))
    np.testing.assert_array_equal(found.boxes[0], tight(sample))


def test_overlap_by_counting_cells():
    boxes = np.array([[0, 0, 4, 4], [2, 1, 6, 5], [9, 9, 10, 10]])
    box = np.array([1, 1, 5, 4])

    def cells(b):
        return {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}

    expected = [len(cells(b) & cells(box)) / len(cells(b) | cells(box)) for b in boxes]
    np.testing.assert_allclose(overlap(boxes, box), expected)


def test_haar_arguments():
    with pytest.raises(ValueError, match="smallest=0"):
        HaarDetector(smallest=0)
    assert HaarDetector()(np.zeros((80, 80, 3), np.uint8)).shape == (0, 4)


@pytest.mark.slow
def test_haar_boxes_of_real_faces_lie_on_the_landmarks(real_data):
    # Held-out names, which PADDING was not fitted on.
    samples = list(w300.read(real_data / "300w_subset", ["helen/trainset"])[-16:])
    found = choose_boxes(samples, "detector")
    assert found.missed.mean() <= 0.25
    ratios = [
        overlap(box[None], tight(sample))[0]
        for box, sample, missed in zip(found.boxes, samples, found.missed, strict=True)
        if not missed
    ]
    assert np.median(ratios) > 0.7


BOXES = np.array([[10.0, 20.0, 50.0, 100.0], [0.0, 0.0, 10.0, 10.0]])
DIRECTIONS = np.array([0.0, 1.5 * np.pi])


def test_none_changes_nothing():
    boxes, angles = Perturbation("none").apply(BOXES, DIRECTIONS)
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_array_equal(angles, 0)


def test_scale_keeps_the_centre():
    boxes, angles = Perturbation("scale", 0.5).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(boxes, [[0, 0, 60, 120], [-2.5, -2.5, 12.5, 12.5]])
    smaller, _ = Perturbation("scale", -0.2).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(smaller[1], [1, 1, 9, 9], atol=1e-6)
    np.testing.assert_array_equal(angles, 0)


def test_extension_takes_the_place_of_the_usual_one():
    usual, _ = Perturbation("extension", 0.1).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(usual, BOXES, atol=1e-5)
    wide, _ = Perturbation("extension", 0.5).apply(BOXES, DIRECTIONS)
    # What the usual padding of a fifth makes of this box is twice the tight one.
    np.testing.assert_allclose(1.2 * (wide[:, 2:] - wide[:, :2]), 2 * (BOXES[:, 2:] - BOXES[:, :2]))


def test_translation_moves_by_a_share_of_the_box_along_the_direction():
    boxes, _ = Perturbation("translation", 0.25).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(boxes[0], [20, 20, 60, 100], atol=1e-5)  # + 0.25 · 40 in x
    np.testing.assert_allclose(boxes[1], [0, -2.5, 10, 7.5], atol=1e-5)  # − 0.25 · 10 in y


def test_rotation_has_a_sign_per_face():
    boxes, angles = Perturbation("rotation", 30).apply(BOXES, DIRECTIONS)
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_allclose(angles, [np.pi / 6, -np.pi / 6])


def test_table_2():
    table = tsr_table_2()
    assert table[0] == Perturbation("none")
    assert [p.amount for p in table if p.kind == "extension"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [p.amount for p in table if p.kind == "translation"] == [0.05, 0.1, 0.15, 0.2, 0.25]
    assert [p.amount for p in table if p.kind == "rotation"] == [5, 10, 15, 20, 25]


@pytest.mark.parametrize(
    ("kind", "amount"), [("shear", 0.1), ("scale", -1.0), ("extension", -0.5), ("rotation", np.nan)]
)
def test_bad_values(kind, amount):
    with pytest.raises(ValueError, match="Received"):
        Perturbation(kind, amount)


def test_a_model_decides_which_box_it_is_measured_with(tmp_path):
    from tfalign.models import GRegNet
    from tfalign.models.saved import load_model

    def faces(dataset, *sources):
        records = [types.SimpleNamespace(box_source=source) for source in sources]
        return types.SimpleNamespace(dataset=dataset, records=records)

    own, tight = faces("wflw", "file", "file"), faces("w300", "file")
    model = GRegNet(19, (32, 32, 3), width=0.125, trunk="mobile", crop="300w")
    assert model.box is None
    assert "box" not in model.get_config()
    assert usual_box(model, own) == "file"
    assert usual_box(model, faces("wflw", "file", "landmarks")) == "landmarks"
    # A line of WFLW whose box misses its face, or one box that was forgotten, is no other set.
    mostly = faces("wflw", "file", "file", "landmarks")
    assert usual_box(model, mostly) == "file"
    assert trained_box([mostly]) == "file"
    assert usual_box(model, tight) == "landmarks"  # 300-W is trained on the landmarks' boxes
    assert usual_box(model, iter(())) == "landmarks"
    model.box = "landmarks"
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.box == "landmarks"
    assert usual_box(loaded, own) == "landmarks"
    loaded.box = "retina"
    with pytest.raises(ValueError, match="the detector 'retina'"):
        usual_box(loaded, own)
    assert trained_box([own, own]) == "file"
    assert trained_box([own, faces("300w", "landmarks")]) is None
    assert trained_box([own, object()]) is None


def test_one_wrong_box_in_a_list_leaves_the_others_those_of_the_file(tmp_path):
    """The model was stored as one of the landmarks' boxes, by which it was then evaluated."""
    synthetic.write_wflw(tmp_path, 6, 1, seed=0, size=64, workers=1)
    (listed,) = tmp_path.rglob("list_98pt_rect_attr_train.txt")
    lines = listed.read_text().splitlines()
    fields = lines[3].split()
    fields[196:200] = ["0", "0", "1", "1"]
    lines[3] = " ".join(fields)
    whole = wflw.read(tmp_path, ["train"])
    listed.write_text("\n".join(lines) + "\n")
    reader = wflw.read(tmp_path, ["train"])
    assert [r.box_source for r in reader.records].count("landmarks") == 1
    assert trained_box([whole]) == trained_box([reader]) == "file"
    padding = [fit_box_padding([one], one.scheme) for one in (whole, reader)]
    np.testing.assert_allclose(padding[1]["points"], padding[0]["points"], atol=0.02)
    # A model of the file's boxes is measured on such a face, too, as it was trained on it.
    assert usual_box(types.SimpleNamespace(box=None), reader) == "file"
    samples = list(reader)
    boxes = choose_boxes(samples, "file", partly=True).boxes
    for record, box in zip(reader.records, boxes, strict=True):
        np.testing.assert_array_equal(box, record.box)
    check_boxes(reader, ["file"])
    unboxed = sets.tight_boxes(reader)
    with pytest.raises(ValueError, match=r"6 of 6 faces have none"):
        check_boxes(unboxed, ["file"])
    # Where every box is wrong, no other is left.
    lone = reader.subset([r for r in reader.records if r.box_source == "landmarks"])
    assert trained_box([lone]) == "landmarks"
