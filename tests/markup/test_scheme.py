"""The scheme itself: what it derives from names, and what it refuses."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from tfalign import markup
from tfalign.markup import LandmarkScheme

GOOD = {
    "name": "tiny",
    "points": ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth"),
    "parts": {"right_eye": (0,), "left_eye": (1,), "nose": (2,), "mouth": (3, 4)},
    "eye_corners": (0, 1),
    "pupils": ((0,), (1,)),
    "edges": ((3, 4),),
}


def test_pairs_come_from_the_names():
    scheme = LandmarkScheme(**GOOD)
    assert scheme.flip_pairs == ((0, 1), (3, 4))
    assert scheme.flip_map == (1, 0, 2, 4, 3)
    assert scheme.num_points == 5
    assert scheme.index("nose") == 2
    assert scheme.local_parts == GOOD["parts"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": ("right_eye", "left_eye", "nose", "nose", "left_mouth")}, "must differ"),
        ({"points": ("right_eye", "left_eye", "nose", "lip", "left_mouth")}, "twin.*left_mouth"),
        ({"points": ()}, "at least one point"),
        ({"parts": {**GOOD["parts"], "mouth": (3, 4, 4)}}, "one part only"),
        ({"parts": {**GOOD["parts"], "lip": (3,)}}, "one part only"),
        ({"parts": {**GOOD["parts"], "mouth": (3, 7)}}, "parts.*from 0 to 4"),
        ({"parts": {"eyes": (0,), "mouth": (3, 4)}}, "mirror image of part 'eyes'"),
        ({"flip_pairs": ((0, 1), (1, 3))}, "each point in one pair"),
        ({"flip_pairs": ((2, 2),)}, "pairs of different points"),
        ({"flip_pairs": ((0, 5),)}, "flip_pairs.*from 0 to 4"),
        ({"normalizer": "box"}, "side.*Received: normalizer='box'"),
        ({"normalizer": ((0, 1), (1, 0))}, "two different groups"),
        ({"normalizer": ((0,), ())}, "two different groups"),
        ({"normalizer": ((0,), (9,))}, "normalizer.*from 0 to 4"),
        (
            {"parts": {"right_eye": (0, 3), "left_eye": (1,), "nose": (2,), "mouth": (4,)}},
            "mirror image",
        ),
        ({"eye_corners": (0, 2)}, "eye_corners.*mirror each other"),
        ({"eye_corners": (0, 9)}, "eye_corners.*from 0 to 4"),
        ({"pupils": ((0, 2), (1,))}, "pupils.*mirror each other"),
        ({"pupils": ((), ())}, "pupils.*from 0 to 4"),
        ({"edges": ((0, 5),)}, "two indices from 0 to 4"),
    ],
)
def test_refuses_what_is_not_a_scheme(change, message):
    with pytest.raises(ValueError, match=message):
        LandmarkScheme(**{**GOOD, **change})


def test_unknown_point():
    with pytest.raises(ValueError, match="Received: point='ear'"):
        markup.IBUG68.index("ear")


@pytest.mark.parametrize("scheme", markup.SCHEMES.values(), ids=lambda s: s.name)
def test_survives_pickling_and_serves_as_a_key(scheme):
    copy = pickle.loads(pickle.dumps(scheme))
    assert copy == scheme
    assert {scheme: 1}[copy] == 1


HAND = LandmarkScheme(
    name="hand",
    points=("wrist", *(f"{f}_{i}" for f in ("thumb", "index", "middle", "ring", "little")
                       for i in range(4))),
    parts={"thumb": (1, 2, 3, 4)},
    edges=((0, 1), (1, 2)),
    flip_pairs=(),
    normalizer=((0,), (9,)),
)  # fmt: skip


def test_anything_with_points_is_a_scheme():
    assert HAND.flip_map == tuple(range(21)), "a mirrored hand is a hand, finger by finger"
    assert HAND.local_parts == {}
    lips = LandmarkScheme("lips", ("left_corner", "top", "right_corner", "bottom"))
    assert lips.flip_map == (2, 1, 0, 3)
    assert (lips.pupils, lips.eye_corners, lips.normalizer) == (None, None, None)
    # One eye has no mirror image among its own points: names alone cannot say so.
    with pytest.raises(ValueError, match="left_lid.*|flip_pairs, or None"):
        LandmarkScheme("eye", ("left_lid", "pupil"))
    assert LandmarkScheme("eye", ("left_lid", "pupil"), flip_pairs=None).flip_map is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("LeftEye", "RightEye", "Nose"), (1, 0, 2)),
        (("eye left", "nose", "eye right"), (2, 1, 0)),
        (("mouth.right", "mouth.left"), (1, 0)),
        (("LEFT_EAR", "RIGHT_EAR", "MOUTH"), (1, 0, 2)),
        (("0", "1", "2"), None),
        (("leye", "reye"), None),
    ],
)
def test_names_that_tools_write_tell_the_mirror_pairs_or_nothing(names, expected):
    assert LandmarkScheme("tool", names).flip_map == expected


def test_given_pairs_win_over_names():
    points = ("a", "b", "c", "d")
    scheme = LandmarkScheme("own", points, parts={"x": (0,), "y": (2,)}, flip_pairs=((2, 0),))
    assert scheme.flip_pairs == ((0, 2),)
    assert scheme.flip_map == (2, 1, 0, 3)


def test_unnamed_points_have_no_mirror_image():
    scheme = LandmarkScheme.unnamed(106)
    assert (scheme.num_points, scheme.flip_map, scheme.parts) == (106, None, {})


@pytest.mark.parametrize(
    "scheme",
    [*markup.SCHEMES.values(), HAND, LandmarkScheme.unnamed(3),
     LandmarkScheme(**{**GOOD, "normalizer": "diagonal"})],
    ids=lambda s: s.name,
)  # fmt: skip
def test_travels_as_plain_data(scheme, tmp_path):
    config = json.loads(json.dumps(scheme.to_config()))
    copy = LandmarkScheme.from_config(config)
    assert copy == scheme
    assert hash(copy) == hash(scheme)
    assert copy.flip_map == scheme.flip_map
    scheme.to_json(tmp_path / "s.json")
    assert markup.get(str(tmp_path / "s.json")) == scheme
    assert markup.get(tmp_path / "s.json") == scheme
    assert markup.get(config) == scheme


def test_a_file_written_by_hand_may_use_names(tmp_path):
    text = {
        "name": "mine",
        "points": ["eye_a", "eye_b", "tip"],
        "flip_pairs": [["eye_a", "eye_b"]],
        "parts": {"eyes": ["eye_a", 1]},
        "normalizer": [["eye_a"], ["eye_b"]],
        "edges": [["tip", 0]],
    }
    (tmp_path / "s.json").write_text(json.dumps(text))
    scheme = markup.get(tmp_path / "s.json")
    assert scheme.flip_map == (1, 0, 2)
    assert (scheme.parts, scheme.normalizer) == ({"eyes": (0, 1)}, ((0,), (1,)))
    assert scheme.edges == ((2, 0),)


def test_coco_categories_are_schemes(tmp_path):
    category = {
        "id": 1,
        "name": "face",
        "keypoints": ["left_eye", "right_eye", "nose"],
        "skeleton": [[1, 3], [2, 3]],
    }
    scheme = LandmarkScheme.from_coco(category)
    assert (scheme.name, scheme.edges, scheme.flip_map) == ("face", ((0, 2), (1, 2)), (1, 0, 2))
    whole = {"images": [], "annotations": [], "categories": [{"name": "car"}, category]}
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    assert markup.get(tmp_path / "coco.json") == scheme
    whole["categories"].append(category)
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="coco.json.*one category"):
        markup.get(tmp_path / "coco.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not hold a landmark scheme"),
        ("[]", "JSON object"),
        ('{"name": "a"}', r"name and points.*keys=\['name'\]"),
        ('{"name": "a", "points": ["x"], "flip_pair": []}', "flip_pair"),
        ('{"name": "a", "points": ["x"], "edges": [["x", "y"]]}', "Received: 'y'"),
        ('{"name": "a", "points": ["x"], "edges": [[0, 0.5]]}', "Received: 0.5"),
        ('{"name": "a", "points": ["x"], "edges": [0]}', "does not hold"),
        ('{"name": "a", "points": ["x", "y"], "pupils": 3}', "does not hold"),
    ],
)
def test_bad_files_say_which_and_why(tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        markup.get(tmp_path / "s.json")
    assert "s.json" in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        markup.get(str(tmp_path / "none.json"))


def test_frozen():
    with pytest.raises(AttributeError):
        markup.WFLW98.name = "other"


def test_lists_and_arrays_make_the_same_scheme(tmp_path):
    """A model of the scheme would else not fit its own file, which gives tuples."""
    tuples = LandmarkScheme(
        "mine",
        ("left_eye", "right_eye", "nose"),
        {"eyes": (0, 1)},
        eye_corners=(1, 0),
        pupils=((1,), (0,)),
        edges=((0, 1),),
        normalizer=((0,), (1,)),
    )
    lists = LandmarkScheme(
        "mine",
        ["left_eye", "right_eye", "nose"],
        {"eyes": range(2)},
        eye_corners=np.array([1, 0]),
        pupils=[[1], [0]],
        edges=[[0, 1]],
        normalizer=[[0], np.array([1])],
    )
    assert lists == tuples
    assert hash(lists) == hash(tuples)
    lists.to_json(tmp_path / "mine.json")
    assert LandmarkScheme.from_json(tmp_path / "mine.json") == lists
