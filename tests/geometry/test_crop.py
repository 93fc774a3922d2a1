"""Crop conventions: regions by hand, configuration, presets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfalign import geometry as g

BOX = np.array([10.0, 20.0, 50.0, 100.0])


def test_region_pads_then_squares():
    plain = g.CropConvention((0.1, 0.1, 0.1, 0.1), square=False)
    np.testing.assert_allclose(plain.region(BOX), [6, 12, 54, 108])
    square = g.CropConvention((0.1, 0.1, 0.1, 0.1))
    np.testing.assert_allclose(square.region(BOX), [-18, 12, 78, 108])


def test_crop_maps_the_region():
    convention = g.CROP_PRESETS["wflw"]
    crop = convention.crop_from_image(BOX, (112, 112))
    corners = convention.region(BOX).reshape(2, 2)
    np.testing.assert_allclose(g.transform_points(crop, corners), [[0, 0], [112, 112]], atol=1e-9)


def test_wflw_preset_has_the_papers_numbers():
    region = g.CropConvention(g.CROP_PRESETS["wflw"].padding, square=False).region(
        np.array([0.0, 0.0, 1000.0, 1000.0])
    )
    np.testing.assert_allclose(region, [-100, 123, 1100, 1077])


@pytest.mark.parametrize("name", g.CROP_PRESETS)
def test_configuration_is_plain_data(name):
    convention = g.crop_convention(name)
    config = json.loads(json.dumps(convention.get_config()))
    assert g.crop_convention(config) == convention
    assert g.crop_convention(convention) is convention


@pytest.mark.parametrize(
    "make",
    [lambda: g.crop_convention("mpii"), lambda: g.CropConvention((0.1,)),
     lambda: g.CropConvention((-1, 0, 0, 0))],
)  # fmt: skip
def test_errors_show_the_value(make):
    with pytest.raises(ValueError, match="Received"):
        make()


@pytest.mark.parametrize("name", ["300w", "cofw", "wflw", "aflw"])
def test_the_literal_reading_stretches_the_box(name):
    squared, stretched = g.CROP_PRESETS[name], g.CROP_PRESETS[f"{name}_stretched"]
    assert stretched.padding == squared.padding
    matrix = stretched.crop_from_image(BOX, (112, 112))
    region = g.pad_box(BOX, squared.padding)
    corners = g.transform_points(matrix, np.reshape(region, (2, 2)))
    np.testing.assert_allclose(corners, [[0, 0], [112, 112]], atol=1e-3)
    assert matrix[0, 0] != pytest.approx(matrix[1, 1])
    assert squared.crop_from_image(BOX, (112, 112))[0, 0] == pytest.approx(
        squared.crop_from_image(BOX, (112, 112))[1, 1]
    )
