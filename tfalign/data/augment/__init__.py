"""Augmentation: one affine map and a chain of pixel changes for each face.

``RandomAugment`` is the layer; ``AugmentConfig`` says what it does; the presets hold published
settings. The functions behind it are in ``geometric``, ``filters``, ``colour``, ``occlusion`` and
``noise``; ``random_bits`` makes the random numbers.
"""

from tfalign.data.augment.config import AugmentConfig
from tfalign.data.augment.presets import (
    CCNN,
    DEEPREG,
    FLIP,
    GEOMETRY_ONLY,
    GREGLREF,
    NONE,
    OCCLUSION,
    PRESETS,
    get,
)
from tfalign.data.augment.random_augment import RandomAugment
from tfalign.data.augment.random_bits import sample_keys

__all__ = [
    "CCNN",
    "DEEPREG",
    "FLIP",
    "GEOMETRY_ONLY",
    "GREGLREF",
    "NONE",
    "OCCLUSION",
    "PRESETS",
    "AugmentConfig",
    "RandomAugment",
    "get",
    "sample_keys",
]
