"""Points that are not annotated: carried everywhere, counted nowhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tfalign import markup
from tfalign.data.augment import AugmentConfig, RandomAugment
from tfalign.data.pipeline import (
    CropCache,
    ShardedCache,
    device_batches,
    training_dataset,
    write_shards,
)
from tfalign.data.readers import Reader, ReadingReport, Record, union

FLIPPED = AugmentConfig(flip=1.0)


@pytest.fixture(scope="module")
def masked(samples, cache):
    """The cache without every third point of the odd faces, with absurd numbers in their place."""
    annotated = np.ones((10, 98), bool)
    annotated[1::2, ::3] = False
    faces = [
        replace(
            sample,
            landmarks=np.where(known[:, None], sample.landmarks, 0).astype(np.float32),
            annotated=known,
        )
        for sample, known in zip(samples, annotated, strict=True)
    ]
    return CropCache.build(faces, crop="300w", image_size=(32, 32))


def test_known_points_are_as_without_a_mask(cache, masked):
    known = masked.annotated
    assert masked.masked
    assert not cache.masked
    for name in ("landmarks", "unit_landmarks", "image_landmarks"):
        np.testing.assert_array_equal(getattr(masked, name)[known], getattr(cache, name)[known])
        np.testing.assert_array_equal(getattr(masked, name)[~known], 0)


def test_mean_shape_is_that_of_the_faces_that_have_the_point(cache, masked):
    rows = np.where(masked.annotated[..., None], masked.unit_landmarks, np.nan)
    np.testing.assert_allclose(masked.mean_shape, np.nanmean(rows, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(cache.mean_shape, cache.unit_landmarks.mean(axis=0))
    with pytest.raises(ValueError, match=r"at least one face.*right_contour_0, right_contour_3"):
        _ = masked.take([1, 3]).mean_shape


def test_masks_survive_disk_shards_and_conversion(masked, tmp_path):
    pytest.importorskip("tensorflow")
    masked.save(tmp_path / "faces")
    np.testing.assert_array_equal(CropCache.load(tmp_path / "faces").annotated, masked.annotated)
    shards = write_shards(masked, tmp_path / "shards", 3)
    assert shards.masked
    assert ShardedCache(tmp_path / "shards").masked
    np.testing.assert_array_equal(shards.load().annotated, masked.annotated)
    fewer = masked.convert("ibug68")
    sources = [used for (used,) in markup.conversion("wflw98", "ibug68").sources]
    np.testing.assert_array_equal(fewer.annotated, masked.annotated[:, sources])
    more = fewer.convert("wflw98", undefined="mask")
    assert more.annotated[0].sum() == 68
    np.testing.assert_array_equal(more.landmarks[0, sources], fewer.landmarks[0])
    with pytest.raises(ValueError, match="has no points for"):
        fewer.convert("wflw98")


@pytest.mark.parametrize("make", ["dataset", "shards", "device"])
def test_batches_bring_weights_that_move_with_the_points(masked, cache, tmp_path, make):
    pytest.importorskip("tensorflow")
    if make == "device":
        batches = list(device_batches(masked, 10, FLIPPED, shuffle=False))
        plain = list(device_batches(cache, 10, FLIPPED, shuffle=False))
    else:
        source = write_shards(masked, tmp_path / "s", 1) if make == "shards" else masked
        batches = list(training_dataset(source, 10, FLIPPED, shuffle=False))
        plain = list(training_dataset(cache, 10, FLIPPED, shuffle=False))
    ((images, landmarks, weights),) = [[np.asarray(part) for part in batch] for batch in batches]
    ((other_images, other),) = [[np.asarray(part) for part in batch] for batch in plain]
    np.testing.assert_array_equal(images, other_images)
    expected = masked.annotated[:, list(markup.WFLW98.flip_map)]
    np.testing.assert_array_equal(weights, expected.astype(np.float32))
    np.testing.assert_allclose(landmarks[expected], other[expected], atol=1e-6)
    np.testing.assert_array_equal(landmarks[~expected], 0)


def test_the_layer_keeps_masks_apart(masked):
    layer = RandomAugment(FLIPPED, "wflw98", (32, 32))
    inputs = {
        "image": masked.images,
        "landmarks": masked.landmarks,
        "crop": masked.output_from_source,
        "visible": masked.visible,
        "annotated": masked.annotated,
    }
    flip = list(markup.WFLW98.flip_map)
    result = {key: np.asarray(value) for key, value in layer(inputs).items()}
    np.testing.assert_array_equal(result["annotated"], masked.annotated[:, flip])
    np.testing.assert_array_equal(result["visible"], masked.visible[:, flip])
    still = layer(inputs, training=False)
    np.testing.assert_array_equal(np.asarray(still["annotated"]), masked.annotated)


# A square and its centre; the second scheme has three of these points and one of its own.
WHOLE = markup.LandmarkScheme("whole", ("left_a", "right_a", "left_b", "right_b", "middle"))
PART = markup.LandmarkScheme("part", ("middle", "left_a", "right_b", "ear"), flip_pairs=None)
SQUARE = np.array([[10, 10], [30, 10], [10, 30], [30, 30], [20, 20]], np.float32)


def reader(scheme, shapes, dataset="set"):
    records = [
        Record(
            name=f"{i}.png", image=None, landmarks=np.asarray(shape, np.float32),
            visible=np.ones(len(shape), bool), box=np.array([0, 0, 99, 99], np.float32),
            box_source="file", where="f",
        )
        for i, shape in enumerate(shapes)
    ]  # fmt: skip
    return Reader(dataset, scheme, records, ReadingReport("raise"))


def test_union_gives_each_face_its_own_points_and_a_whole_face_s_box():
    few = np.array([[50, 50], [30, 30], [70, 70], [5, 5]])  # middle, left_a, right_b, ear
    joined = union(reader(WHOLE, [SQUARE, SQUARE + 5]), reader(PART, [few]), scheme=WHOLE)
    assert joined.scheme is WHOLE
    assert [r.name for r in joined.records] == ["set/0.png", "set/1.png", "set-2/0.png"]
    last = joined.records[-1]
    assert last.annotated.tolist() == [True, False, False, True, True]
    np.testing.assert_array_equal(last.landmarks, [[30, 30], [0, 0], [0, 0], [70, 70], [50, 50]])
    # The square of twice the size that the known points lie on.
    np.testing.assert_allclose(last.box, [30, 30, 70, 70], atol=1e-4)
    assert last.box_source == "landmarks"
    np.testing.assert_array_equal(joined.records[0].box, [0, 0, 99, 99])


def test_union_needs_a_whole_face_and_common_points():
    few = reader(PART, [[[50, 50], [30, 30], [70, 70], [5, 5]]])
    with pytest.raises(ValueError, match="At least one face must have all points"):
        union(few, scheme=WHOLE)
    other = markup.LandmarkScheme("other", ("x", "y"))
    with pytest.raises(ValueError, match="points of equal names"):
        union(reader(WHOLE, [SQUARE]), reader(other, [SQUARE[:2]]), scheme=WHOLE)


def test_a_set_with_crossed_names_is_refused():
    # left_a, which is right_b's opposite, under the other's name.
    crossed = markup.LandmarkScheme(
        "crossed", ("middle", "right_a", "left_b", "right_b"), flip_pairs=None
    )
    square = reader(crossed, [SQUARE[[4, 3, 0, 1]]])
    with pytest.raises(ValueError, match="are names, left and right, or the order wrong"):
        union(reader(WHOLE, [SQUARE]), square, scheme=WHOLE)


@pytest.mark.parametrize("faces", [1, 4])
def test_a_whole_set_with_swapped_sides_is_refused(faces):
    swapped = reader(WHOLE, [SQUARE[list(WHOLE.flip_map)]] * faces)
    with pytest.raises(ValueError, match="Received: points of set-2 that are off"):
        union(reader(WHOLE, [SQUARE, SQUARE + 5]), swapped, scheme=WHOLE)
    assert len(union(reader(WHOLE, [SQUARE]), reader(WHOLE, [SQUARE * 2]), scheme=WHOLE)) == 2


def test_faces_that_keep_too_few_points_are_noted():
    one = markup.LandmarkScheme("one", ("middle", "x"))
    joined = union(reader(WHOLE, [SQUARE]), reader(one, [[[5, 5], [6, 6]]]), scheme=WHOLE)
    assert len(joined) == 1
    assert [problem.kind for problem in joined.report.noted] == ["not-annotated"]
