"""dlib's detector behind the interface of the others, with a stand-in for dlib itself."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from tfalign.inference.detectors import DlibDetector


class Rectangle:
    """What dlib returns: the first and the last pixel on each axis."""

    def __init__(self, *sides: int) -> None:
        self.sides = sides

    def left(self) -> int:
        return self.sides[0]

    def top(self) -> int:
        return self.sides[1]

    def right(self) -> int:
        return self.sides[2]

    def bottom(self) -> int:
        return self.sides[3]


@pytest.fixture
def fake(monkeypatch):
    """A module that finds what the test says, and remembers how it was asked."""
    module = types.ModuleType("dlib")
    module.found, module.asked = [], []

    def detect(image, enlargements):
        module.asked.append((image.shape, enlargements))
        return module.found

    module.get_frontal_face_detector = lambda: detect
    monkeypatch.setitem(sys.modules, "dlib", module)
    return module


def test_boxes_reach_past_the_last_pixel(fake, monkeypatch) -> None:
    rule = replace(DlibDetector.rule, padding=(0.1, 0.0, -0.1, 0.5))
    monkeypatch.setattr(DlibDetector, "rule", rule)
    fake.found = [Rectangle(10, 20, 29, 59), Rectangle(-4, 0, 5, 9)]
    boxes = DlibDetector(enlargements=2)(np.zeros((80, 100, 3), np.uint8))
    # 20 by 40 pixels, then 10 by 10; the sides move by shares of these.
    np.testing.assert_allclose(boxes, [[8, 20, 28, 80], [-5, 0, 5, 15]])
    assert fake.asked == [((80, 100, 3), 2)]


def test_no_face(fake) -> None:
    assert DlibDetector()(np.zeros((80, 100, 3), np.uint8)).shape == (0, 4)


def test_refuses(fake, monkeypatch) -> None:
    with pytest.raises(ValueError, match="enlargements=-1"):
        DlibDetector(-1)
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ImportError, match="needs the package dlib"):
        DlibDetector()
