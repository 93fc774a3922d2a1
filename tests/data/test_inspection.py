"""Inspection: a wrong mirror map is revealed, faults are told, pictures show where points are."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
from PIL import Image

from tfalign import markup
from tfalign.data import inspection, sets
from tfalign.data.readers.conversion import mean_of_shapes
from tfalign.markup import LandmarkScheme
from tfalign_command import main

# Right eye in the picture's left half: the subject's sides.
FACE = {
    "right_eye": (30, 40),
    "left_eye": (70, 40),
    "nose": (50, 62),
    "right_mouth": (36, 80),
    "left_mouth": (64, 80),
    "right_ear": (8, 50),
    "left_ear": (92, 50),
}
MINE = LandmarkScheme("mine", tuple(FACE))
MEAN = np.array(list(FACE.values()), float)


def test_a_right_map_passes_also_on_a_mean_that_is_a_little_turned(rng):
    turn = np.array([[np.cos(0.05), -np.sin(0.05)], [np.sin(0.05), np.cos(0.05)]])
    found = inspection.check_mirror(MEAN @ turn + rng.normal(0, 0.5, MEAN.shape), MINE)
    assert found.passed
    assert found.error < 0.02
    assert found.sides is True


def test_crossed_pairs_are_named():
    wrong = replace(MINE, flip_pairs=((0, 1), (3, 6), (4, 5)))  # mouth against ears
    found = inspection.check_mirror(MEAN, wrong)
    assert not found.passed
    assert {names[0] for names in found.wrong} == {
        "right_mouth", "left_mouth", "right_ear", "left_ear",
    }  # fmt: skip
    assert ("left_mouth", "right_ear", "right_mouth") in found.wrong


def test_a_map_that_is_wrong_everywhere_is_named():
    order = [3, 4, 0, 1, 5, 6, 2]
    shuffled = LandmarkScheme("other", tuple(np.array(MINE.points)[order]))
    found = inspection.check_mirror(MEAN, shuffled)
    assert len(found.wrong) >= 4


def test_sides_of_the_picture_are_noticed():
    found = inspection.check_mirror(MEAN * (-1, 1), MINE)
    assert found.sides is False
    assert not found.passed


def test_pairs_are_suggested_where_none_are_known():
    found = inspection.check_mirror(MEAN, LandmarkScheme.unnamed(7))
    assert (found.error, found.sides) == (None, None)
    assert found.suggested == (("0", "1"), ("3", "4"), ("5", "6"))
    odd = np.array([[0, 0], [10, 3], [4, 9.0]])
    assert inspection.check_mirror(odd, LandmarkScheme.unnamed(3)).suggested == ()


def test_crossings_of_neighbouring_pairs_of_real_faces_are_noticed(real_data):
    shapes = np.load(real_data / "300w_train_shapes_full.npz")["shapes"] - 0.5
    scheme, mean = markup.IBUG68, mean_of_shapes(shapes)
    assert inspection.check_mirror(mean, scheme).passed
    pairs = scheme.flip_pairs
    noticed = 0
    for place, ((a, b), (c, d)) in enumerate(pairwise(pairs)):
        crossed = (*pairs[:place], (a, d), (c, b), *pairs[place + 2 :])
        wrong = LandmarkScheme("crossed", scheme.points, flip_pairs=crossed)
        noticed += not inspection.check_mirror(mean, wrong).passed
    # Some inner points lie closer to each other than the limit.
    assert noticed >= 0.7 * (len(pairs) - 1)


def test_the_command_tells_counts_faults_and_wrong_pairs(formats, tmp_path, rng, capsys):
    formats["coco"].build(tmp_path, rng)
    content = json.loads((tmp_path / "train.json").read_text())
    content["annotations"][1]["keypoints"] = [1, 2, 3] * 5
    content["annotations"][0]["attributes"] = {"person": "Ann"}
    (tmp_path / "train.json").write_text(json.dumps(content))
    out = tmp_path / "look"
    assert main(["inspect", "coco", "--data", str(tmp_path), "--out", str(out)]) == 1
    told = capsys.readouterr().out
    assert "2 faces on 2 photographs, scheme face of 5 points" in told
    assert "malformed-line 1; see problems.txt" in told
    assert "train.json: annotations[1]: v must be 0, 1 or 2" in (out / "problems.txt").read_text()
    result = json.loads((out / "inspection.json").read_text())
    assert result["faults"] == {"malformed-line": 1}
    assert result["box_sources"] == {"file": 2}
    assert (
        markup.get(out / "scheme.json") == sets.get("coco").read(tmp_path, on_error="skip").scheme
    )
    # What was edited there is not lost by looking again.
    edited = json.loads((out / "scheme.json").read_text())
    edited["name"] = "edited"
    (out / "scheme.json").write_text(json.dumps(edited))
    assert main(["inspect", "coco", "--data", str(tmp_path), "--out", str(out)]) == 1
    assert "it is kept as it is" in capsys.readouterr().out
    assert markup.get(out / "scheme.json").name == "edited"
    assert Image.open(out / "sheet.jpg").size == (1280, 320)
    assert Image.open(out / "points.png").size == (1000, 1000)


def test_points_are_drawn_where_they_are():
    scheme = LandmarkScheme("two", ("a", "b", "c"), flip_pairs=None)
    picture = inspection.draw_points(np.array([[0, 0], [1, 0], [0, 1.0]]), scheme, 200)
    red = np.argwhere((picture == (255, 60, 60)).all(axis=-1))
    assert len(red) >= 3 * 9
    corners = {(round(y / 172), round(x / 172)) for y, x in red - 14}
    assert corners == {(0, 0), (0, 1), (1, 0)}
