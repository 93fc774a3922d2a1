"""The plan of an epoch is a function of (seed, epoch)."""

import numpy as np
import pytest

from tfalign.data.pipeline import epoch_plan, steps_per_epoch
from tfalign.data.pipeline.order import rows_of_epoch

ROWS = np.arange(1000)


def test_a_plan_is_a_permutation_that_repeats():
    plan = epoch_plan(ROWS, 5, 3)
    np.testing.assert_array_equal(np.sort(plan.rows), ROWS)
    again = epoch_plan(ROWS, 5, 3)
    np.testing.assert_array_equal(plan.rows, again.rows)
    np.testing.assert_array_equal(plan.keys, again.keys)
    for other in (epoch_plan(ROWS, 5, 4), epoch_plan(ROWS, 6, 3)):
        assert np.mean(other.rows == plan.rows) < 0.02
        assert not set(map(tuple, other.keys)) & set(map(tuple, plan.keys))


def test_places_are_uniform_over_epochs():
    # Where one face of 20 comes, in 2,000 epochs: each place within five standard deviations.
    places = [np.flatnonzero(epoch_plan(np.arange(20), 0, e).rows == 7)[0] for e in range(2000)]
    counts = np.bincount(places, minlength=20)
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 0.95)


def test_a_face_keeps_its_key_shuffled_or_not():
    shuffled, ordered = epoch_plan(ROWS, 1, 2), epoch_plan(ROWS, 1, 2, shuffle=False)
    np.testing.assert_array_equal(ordered.rows, ROWS)
    np.testing.assert_array_equal(shuffled.keys, ordered.keys[shuffled.rows])


def test_workers_share_an_epoch():
    whole = epoch_plan(ROWS, 1, 2)
    parts = [epoch_plan(ROWS, 1, 2, shard=(worker, 3)) for worker in range(3)]
    assert {len(part.rows) for part in parts} == {333}
    woven = np.stack([part.rows for part in parts], axis=1).ravel()
    np.testing.assert_array_equal(woven, whole.rows[:999])


def test_repeated_rows_get_their_own_keys():
    plan = epoch_plan(np.array([4, 4, 4, 9]), 0, 0)
    assert sorted(plan.rows) == [4, 4, 4, 9]
    assert len({tuple(key) for key in plan.keys}) == 4


def test_steps_per_epoch():
    assert steps_per_epoch(1000, 128) == 7
    assert steps_per_epoch(1000, 128, drop_remainder=False) == 8
    assert steps_per_epoch(1000, 128, workers=2) == 3
    with pytest.raises(ValueError, match="at least one batch"):
        steps_per_epoch(100, 128)
    with pytest.raises(ValueError, match="`batch_size` must be positive"):
        steps_per_epoch(100, 0)


def test_wrong_arguments_are_refused():
    for shard in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="`shard` must be"):
            epoch_plan(ROWS, 0, 0, shard=shard)
    np.testing.assert_array_equal(rows_of_epoch(3, None), [0, 1, 2])
    for indices, message in (
        ([0.5], "integer"),
        ([], "non-empty"),
        ([0, 3], "0 to 2"),
        ([-1], "0"),
    ):
        with pytest.raises(ValueError, match=message):
            rows_of_epoch(3, indices)
