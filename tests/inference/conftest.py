"""Fixtures about the model of ``eyes.py``."""

from __future__ import annotations

import numpy as np
import pytest
from inference.eyes import SIZE, look_for_eyes

from tfalign import geometry
from tfalign.inference import Aligner
from tfalign.inference.backends import CallableBackend


@pytest.fixture
def backend():
    crop = geometry.CropConvention((0.25, 0.25, 0.25, 0.25))
    return CallableBackend(look_for_eyes, SIZE, crop, "ibug68", "eyes")


@pytest.fixture
def aligner(backend):
    """An aligner whose detector is set by the test."""
    return Aligner(backend, detector=lambda image: np.zeros((0, 4), np.float32))
