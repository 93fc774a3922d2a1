"""training_dataset and device_batches: what they yield, and that they repeat exactly."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from tfalign.data.pipeline import (
    device_batches,
    evaluation_arrays,
    training_dataset,
    write_shards,
)

needs_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="tf.data augments with the TensorFlow back end"
)


def arrays(batches):
    """All batches joined: images, landmarks."""
    pairs = [[ops.convert_to_numpy(value) for value in batch] for batch in batches]
    return tuple(np.concatenate(values) for values in zip(*pairs, strict=True))


def assert_same(first, second):
    """Compares two epochs; a grey level may fall on the other side of a half."""
    assert first[0].dtype == second[0].dtype == np.uint8
    assert np.abs(first[0].astype(int) - second[0]).max() <= 1
    assert np.mean(first[0] != second[0]) < 1e-3
    np.testing.assert_allclose(first[1], second[1], atol=1e-5)


@needs_tensorflow
def test_without_augmentation_the_inputs_are_those_of_evaluation(cache):
    received = arrays(training_dataset(cache, 5, None, shuffle=False))
    assert_same(received, evaluation_arrays(cache))


@pytest.mark.slow
@needs_tensorflow
def test_a_resumed_run_sees_the_same_faces(cache):
    whole = list(training_dataset(cache, 3, seed=4, epochs=3).as_numpy_iterator())
    assert len(whole) == 9
    resumed = list(training_dataset(cache, 3, seed=4, epoch=2).as_numpy_iterator())
    for first, second in zip(whole[6:], resumed, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(whole[0][1], whole[3][1])
    endless = training_dataset(cache, 3, seed=4, epochs=None)
    assert int(endless.cardinality()) == -1
    for first, second in zip(whole, endless.take(9).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.slow
@needs_tensorflow
def test_batch_size_and_workers_do_not_change_a_face(cache):
    whole = arrays(training_dataset(cache, 10, seed=1))
    small = arrays(training_dataset(cache, 4, seed=1, drop_remainder=False))
    assert_same(whole, small)
    parts = [arrays(training_dataset(cache, 5, seed=1, shard=(w, 2))) for w in range(2)]
    woven = tuple(np.stack(pair, axis=1).reshape(10, *pair[0].shape[1:]) for pair in zip(*parts))  # noqa: B905 (two tuples of two)
    assert_same(whole, woven)


@needs_tensorflow
def test_shapes_types_and_cardinality_are_known(cache):
    dataset = training_dataset(cache, 4, image_dtype="float32", epochs=2)
    images, landmarks = dataset.element_spec
    assert images.shape.as_list() == [4, 32, 32, 3]
    assert images.dtype == "float32"
    assert landmarks.shape.as_list() == [4, 98, 2]
    assert int(dataset.cardinality()) == 4
    assert len(list(dataset)) == 4


@needs_tensorflow
def test_repeated_indices_are_augmented_differently(cache):
    images, landmarks = arrays(training_dataset(cache, 3, indices=[7, 7, 7], seed=2))
    assert not np.array_equal(images[0], images[1])
    assert len({row.tobytes() for row in landmarks}) == 3


@pytest.mark.slow
@needs_tensorflow
def test_streamed_shards_visit_every_face_and_repeat(cache, tmp_path):
    shards = write_shards(cache, tmp_path / "shards", 3)
    streamed = [
        list(training_dataset(shards.directory, 5, seed=6, epochs=2).as_numpy_iterator())
        for _ in range(2)
    ]
    for first, second in zip(*streamed, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
    # The same faces with the same keys as from memory, in another order.
    memory = arrays(training_dataset(cache, 10, seed=6, epoch=1))
    received = arrays(streamed[0][2:])
    order = [int(np.argmin(np.abs(memory[1] - row).sum(axis=(1, 2)))) for row in received[1]]
    assert sorted(order) == list(range(10))
    assert order != list(range(10))
    assert_same(received, (memory[0][order], memory[1][order]))
    parts = [training_dataset(shards, 2, shard=(w, 3), drop_remainder=False) for w in range(3)]
    assert sum(len(arrays(part)[0]) for part in parts) == 10


@needs_tensorflow
def test_streamed_shards_keep_the_order_where_they_are_not_shuffled(cache, tmp_path):
    shards = write_shards(cache, tmp_path / "shards", 3)
    expected = arrays(training_dataset(cache, 5, None, shuffle=False))
    assert_same(arrays(training_dataset(shards, 5, None, shuffle=False)), expected)


@needs_tensorflow
def test_streamed_shards_hold_a_batch_for_every_worker_or_are_refused(cache, tmp_path):
    """Without end, an epoch of no batch would be waited for without end."""
    shards = write_shards(cache, tmp_path / "shards", 3)  # of 3, 3 and 4 faces
    assert shards.counts == [3, 3, 4]
    assert len(training_dataset(shards, 4, epochs=3)) == 6
    assert len(training_dataset(shards, 4, shard=(2, 3))) == 1
    for epochs in (1, None):
        with pytest.raises(ValueError, match="at least one batch.*10 faces, batch_size=11"):
            training_dataset(shards, 11, epochs=epochs)
        with pytest.raises(ValueError, match="at least one batch.*3 faces, batch_size=4"):
            training_dataset(shards, 4, shard=(1, 3), epochs=epochs)


@needs_tensorflow
def test_damaged_shards_stop_the_stream(cache, tmp_path):
    import tensorflow as tf

    shards = write_shards(cache, tmp_path / "shards", 2)
    content = bytearray(shards.files[0].read_bytes())
    content[4000] ^= 0xFF
    shards.files[0].write_bytes(bytes(content))
    with pytest.raises(tf.errors.DataLossError):
        list(training_dataset(shards, 2))


@pytest.mark.slow
def test_device_batches_repeat_and_resume(cache):
    whole = list(device_batches(cache, 5, seed=3, epochs=2))
    assert len(whole) == 4
    resumed = arrays(device_batches(cache, 5, seed=3, epoch=1))
    np.testing.assert_array_equal(arrays(whole[2:])[0], resumed[0])
    ragged = arrays(device_batches(cache, 4, seed=3, drop_remainder=False))
    assert len(ragged[0]) == 10


@pytest.mark.slow
@needs_tensorflow
def test_device_batches_are_those_of_tf_data(cache):
    assert_same(
        arrays(device_batches(cache, 5, "occlusion", seed=3, epoch=2)),
        arrays(training_dataset(cache, 5, "occlusion", seed=3, epoch=2)),
    )


_JAX_SCRIPT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'")
sys.meta_path.insert(0, Blocked())
import numpy as np
from tfalign.data.pipeline import CropCache, device_batches, evaluation_arrays, training_dataset
cache = CropCache.load(sys.argv[1], mmap=True)
images, landmarks = zip(*device_batches(cache, 5, seed=3, epoch=2))
inputs, _ = evaluation_arrays(cache)
try:
    training_dataset(cache, 5)
except ValueError as error:
    assert "device_batches" in str(error)
else:
    raise SystemExit("training_dataset must refuse another back end")
assert "tensorflow" not in sys.modules
result = {"images": np.concatenate(images), "landmarks": np.concatenate(landmarks)}
np.savez(sys.argv[2], inputs=inputs, **result)
"""


@pytest.mark.slow
@pytest.mark.jax
@needs_tensorflow
def test_jax_without_tensorflow_trains_on_the_same_faces(cache, tmp_path):
    cache.save(tmp_path / "faces")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    paths = [str(tmp_path / "faces"), str(tmp_path / "result.npz")]
    done = subprocess.run(
        [sys.executable, "-c", _JAX_SCRIPT, *paths], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = np.load(paths[1])
    assert_same(
        (result["images"], result["landmarks"]),
        arrays(training_dataset(cache, 5, seed=3, epoch=2)),
    )
    assert_same((result["inputs"], cache.unit_landmarks), evaluation_arrays(cache))


@needs_tensorflow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 11}, "at least one batch"),
        ({"batch_size": 0}, "`batch_size` must be positive"),
        ({"shard": (3, 2)}, "`shard` must be"),
        ({"seed": -1}, "`seed` must be in"),
        ({"indices": [10]}, "rows of the cache"),
        ({"augment": "unknown"}, "`augment` must be one of"),
    ],
)
@pytest.mark.parametrize("function", [training_dataset, device_batches])
def test_wrong_arguments_are_refused_at_once(cache, function, options, message):
    with pytest.raises(ValueError, match=message):
        function(cache, **{"batch_size": 5, **options})
