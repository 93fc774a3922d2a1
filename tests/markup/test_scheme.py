"""The scheme itself: what it derives from names, and what it refuses."""

from __future__ import annotations

import pickle

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
        ({"parts": {**GOOD["parts"], "mouth": (3,)}}, "exactly once"),
        ({"parts": {**GOOD["parts"], "mouth": (3, 4, 4)}}, "exactly once"),
        ({"parts": {**GOOD["parts"], "ear": ()}}, "must be among.*ear"),
        ({"parts": {"right_eye": (0,), "left_eye": (1,), "nose": (2, 3, 4)}}, "none for.*mouth"),
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


def test_frozen():
    with pytest.raises(AttributeError):
        markup.WFLW98.name = "other"
