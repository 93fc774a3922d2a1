"""Configurations and presets as plain data."""

import json

import pytest

from tfalign.data.augment import (
    GREGLREF,
    OCCLUSION,
    PRESETS,
    AugmentConfig,
    get,
)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_survive_json(name):
    config = PRESETS[name]
    assert AugmentConfig.from_config(json.loads(json.dumps(config.get_config()))) == config
    assert get(name) is config


def test_greglref_has_the_papers_numbers():
    assert GREGLREF.flip == 0.5
    assert GREGLREF.rotation == (-30.0, 30.0)
    assert GREGLREF.scale == (0.75, 1.2)
    assert GREGLREF.translation == 0.10
    named = (
        "blur",
        "sharpen",
        "emboss",
        "noise",
        "brightness",
        "hue_saturation",
        "contrast",
        "grey",
    )
    assert all(getattr(GREGLREF, name) > 0 for name in named)
    assert min(GREGLREF.blur_kinds) > 0
    assert GREGLREF.occlusion == 0.0
    assert OCCLUSION.occlusion > 0.0


def test_get_accepts_every_form():
    assert get(None) == AugmentConfig()
    assert get({"flip": 0.25}) == AugmentConfig(flip=0.25)
    assert get(GREGLREF) is GREGLREF


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flip": 1.5}, "`flip` is a probability"),
        ({"per_channel": -0.1}, "`per_channel` is a probability"),
        ({"rotation": (5, -5)}, "`rotation` must be .low, high."),
        ({"rotation": (1, 2, 3)}, "`rotation` must be .low, high."),
        ({"scale": (0.0, 1.0)}, "`scale` must be above 0"),
        ({"average_size": (0, 3)}, "`average_size` must be above 0"),
        ({"gaussian_sigma": (-1, 1)}, "`gaussian_sigma` must not be negative"),
        ({"translation": -0.1}, "`translation` is a largest distance"),
        ({"blur_kinds": (0, 0, 0)}, "`blur_kinds` must be three weights"),
        ({"blur_kinds": (1, 1)}, "`blur_kinds` must be three weights"),
        ({"border": "wrap"}, "`border` must be"),
        ({"rotation": 30}, "`rotation` must be .low, high.*rotation=30"),
        ({"scale": 0.8}, "`scale` must be .low, high.*scale=0.8"),
        ({"scale": (float("nan"), 1.2)}, "`scale` must be .low, high.*nan"),
        ({"translation": (0.1, 0.2)}, "`translation` must be a number.*0.2"),
        ({"flip": "0.5"}, "`flip` must be a number.*'0.5'"),
        ({"blur_kinds": 1}, "`blur_kinds` must be three weights"),
    ],
)
def test_values_outside_their_domain_are_refused(fields, message):
    with pytest.raises(ValueError, match=message + r".*"):
        AugmentConfig(**fields)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown=\\['shear'\\]"):
        AugmentConfig.from_config({"shear": 1.0})
    with pytest.raises(ValueError, match="augment='heavy'"):
        get("heavy")
