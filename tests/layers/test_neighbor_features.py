"""NeighborFeatures against neighbours found one by one, for three markups."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.spatial import cKDTree

from contract import run_contract
from tfalign.layers import NeighborFeatures
from tfalign.layers.neighbor_features import nearest_neighbors


@pytest.mark.parametrize("n", [68, 29, 194])
@pytest.mark.parametrize("k", [1, 5, 9])
def test_table_agrees_with_a_kd_tree(rng, n: int, k: int) -> None:
    # Random shapes have no two equal distances, so the answer is unique.
    shape = rng.uniform(0, 200, (n, 2))
    found = nearest_neighbors(shape, k)
    _, expected = cKDTree(shape).query(shape, k=k)
    np.testing.assert_array_equal(found, np.asarray(expected).reshape(n, k))


@pytest.mark.real
def test_neighbours_on_the_mean_face(real_data) -> None:
    shapes = np.load(real_data / "300w_train_shapes.npz")
    key = next(k for k in shapes.files if shapes[k].ndim == 3 and shapes[k].shape[1:] == (68, 2))
    faces = shapes[key].astype(np.float64)
    faces = faces - faces.mean(axis=1, keepdims=True)
    faces /= np.linalg.norm(faces, axis=(1, 2), keepdims=True)
    table = nearest_neighbors(faces.mean(axis=0), 5)
    np.testing.assert_array_equal(table[:, 0], np.arange(68))
    # The two nearest landmarks of a point of an eye or of the lips are of the same part.
    for part in (range(36, 42), range(42, 48), range(48, 68)):
        assert set(table[list(part), :3].ravel()) <= set(part)


def test_ties_go_to_the_lower_index_and_doubles_to_themselves() -> None:
    shape = np.array([[0, 0], [1, 0], [2, 0], [1, 0]], float)
    np.testing.assert_array_equal(
        nearest_neighbors(shape, 3), [[0, 1, 3], [1, 3, 0], [2, 1, 3], [3, 1, 0]]
    )


def test_features_are_joined_in_the_tables_order(rng) -> None:
    features = rng.normal(size=(2, 7, 3)).astype("float32")
    layer = NeighborFeatures(4)
    layer.build(features.shape)
    layer.set_mean_shape(rng.uniform(size=(7, 2)))
    table = ops.convert_to_numpy(layer.table)
    found = ops.convert_to_numpy(layer(features))
    for b, n in np.ndindex(2, 7):
        np.testing.assert_array_equal(found[b, n], np.concatenate(features[b, table[n]]))


def test_the_table_is_saved_and_never_trained(rng, tmp_path) -> None:
    inputs = keras.Input((7, 3))
    model = keras.Model(inputs, NeighborFeatures(3, name="neighbors")(inputs))
    assert model.trainable_variables == []
    model.get_layer("neighbors").set_mean_shape(rng.uniform(size=(7, 2)))
    table = ops.convert_to_numpy(model.get_layer("neighbors").table)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_layer("neighbors").table, table)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    features = rng.normal(size=(2, 7, 3)).astype("float32")
    run_contract(NeighborFeatures, features, {"neighbors": 3}, tmp_path, expected_shape=(2, 7, 9))


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"`neighbors` must be positive\. Received"):
        NeighborFeatures(0)
    with pytest.raises(ValueError, match="n at least neighbors=5"):
        NeighborFeatures(5)(np.zeros((1, 4, 3), "float32"))
    with pytest.raises(ValueError, match=r"`count` must be from 1 to 4\. Received: count=5"):
        nearest_neighbors(np.zeros((4, 2)), 5)
    with pytest.raises(ValueError, match=r"must be a finite \(n, 2\)"):
        nearest_neighbors(np.full((4, 2), np.nan), 2)
