"""The counter-based generator: known answers, statistics, and independence of the batch."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from tfalign.data.augment import random_bits


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        # Known-answer vectors of threefry2x32 with 20 rounds, distributed with Random123.
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("tensors", [False, True], ids=["numpy", "tensors"])
def test_threefry_gives_the_published_answers(key, counter, expected, tensors):
    words = [np.array([value], np.uint32) for value in (*key, *counter)]
    if tensors:
        words = [ops.convert_to_tensor(word) for word in words]
    result = random_bits.threefry((words[0], words[1]), (words[2], words[3]))
    assert tuple(int(np.asarray(word)[0]) for word in result) == expected


def test_uniform_numbers_are_uniform_and_independent():
    keys = random_bits.sample_keys(7, 3, np.arange(4000))
    values = ops.convert_to_numpy(random_bits.uniform(keys, 8))
    assert values.shape == (4000, 8)
    assert values.min() >= 0.0
    assert values.max() < 1.0
    for column in values.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    correlation = np.corrcoef(values.T) - np.eye(8)
    assert np.abs(correlation).max() < 0.06  # 3.8 standard errors of 4,000 pairs


def test_normal_numbers_are_normal_in_every_image():
    keys = random_bits.sample_keys(1, 0, np.arange(4))
    values = ops.convert_to_numpy(random_bits.normal(keys, 20_001))
    assert values.shape == (4, 20_001)
    for row in values:
        assert stats.kstest(row, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(values) - np.eye(4)).max() < 0.03


def test_numbers_depend_on_key_and_stream_but_not_on_the_batch():
    keys = random_bits.sample_keys(0, 0, np.arange(6))
    together = ops.convert_to_numpy(random_bits.uniform(keys, 5))
    alone = ops.convert_to_numpy(random_bits.uniform(keys[4:5], 5))
    np.testing.assert_array_equal(together[4:5], alone)
    other = ops.convert_to_numpy(random_bits.uniform(keys, 5, stream=random_bits.NOISE))
    assert not np.any(together == other)


def test_keys_differ_between_seeds_epochs_and_slots():
    keys = [
        random_bits.sample_keys(seed, epoch, np.arange(200))
        for seed in (0, 1, 2**32, 2**40 + 5)
        for epoch in (0, 1, 999)
    ]
    assert len({tuple(key) for block in keys for key in block.tolist()}) == 4 * 3 * 200


def test_batch_keys_differ_within_and_between_batches():
    first = ops.convert_to_numpy(random_bits.batch_keys(np.array([1, 2]), 50))
    second = ops.convert_to_numpy(random_bits.batch_keys(np.array([1, 3]), 50))
    assert len({tuple(key) for key in np.concatenate([first, second]).tolist()}) == 100


@pytest.mark.parametrize(("seed", "epoch"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**32)])
def test_seeds_and_epochs_out_of_range_are_refused(seed, epoch):
    with pytest.raises(ValueError, match=r"must be in \[0, 2\*\*"):
        random_bits.sample_keys(seed, epoch, np.arange(2))
