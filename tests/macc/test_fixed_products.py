"""Products with a matrix that a layer's definition fixes: resampling in both counts."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfalign import macc, models
from tfalign.layers.fixed_map import fixed_linear_map

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("conversion needs the TensorFlow back end", allow_module_level=True)


def converted(model: keras.Model, path: Path, kind: str = "float32") -> Path:
    """Converts with the plain converter, independently of ``mobile_export``."""
    specs = [tf.TensorSpec((1, *x.shape[1:]), "float32") for x in model.inputs]

    def call(*inputs):
        return model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    function = tf.function(call, input_signature=specs).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        rng = np.random.default_rng(0)
        shapes = [(1, *x.shape[1:]) for x in model.inputs]
        examples = [[rng.uniform(0, 255, s).astype("float32") for s in shapes] for _ in range(2)]
        converter.representative_dataset = lambda: iter(examples)
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def deepreg() -> keras.Model:
    model = models.DeepReg(5, (72, 64, 3), local_layers=2, patches=(16, 8))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:  # Zeros would be optimised away.
        weight.assign(rng.normal(scale=0.01, size=weight.shape))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
def test_descriptors_stand_in_the_same_column(kind: str, deepreg, tmp_path: Path) -> None:
    report = macc.count(deepreg)
    file = macc.count_tflite(converted(deepreg, tmp_path / "model.tflite", kind))
    assert file.macc == report.macc == 10 * (1764 + 2 * 5 * 128)
    # The matrices of HOG and of the integral images. The blends of box histograms are elementwise
    # operators in a file, which does not know what they are for.
    matrices = {row.name: row.resampling for row in report.layers if row.name in ("hog", "maps")}
    assert file.total.resampling == sum(matrices.values()) > 0


def test_matrices_are_no_parameters(deepreg, tmp_path: Path) -> None:
    file = macc.count_tflite(converted(deepreg, tmp_path / "model.tflite"))
    dense = {"FULLY_CONNECTED", "BATCH_MATMUL"}
    assert sum(row.params for row in file.layers if row.type in dense) == deepreg.count_params()


class Products(layers.Layer):
    """Three products: with a fixed matrix, with a learned one, of two computed tensors."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(6, 5), initializer="ones")

    def call(self, inputs):
        matrix = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
        with fixed_linear_map():
            mapped = ops.matmul(inputs, matrix)
            squares = ops.matmul(mapped, ops.transpose(mapped, (0, 2, 1)))
        return ops.matmul(mapped, self.kernel), squares


def test_the_mark_holds_for_stored_matrices_alone(tmp_path: Path) -> None:
    image = keras.Input((4, 8))
    file = macc.count_tflite(
        converted(keras.Model(image, Products()(image)), tmp_path / "model.tflite")
    )
    costs = [(row.macc, row.resampling) for row in file.layers if row.macc or row.resampling]
    assert sorted(costs) == [(0, 4 * 8 * 6), (4 * 6 * 4, 0), (4 * 6 * 5, 0)]


def test_the_same_matrix_without_the_mark_is_a_product(tmp_path: Path) -> None:
    image = keras.Input((4, 8))
    matrix = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    model = keras.Model(image, ops.matmul(image, matrix))
    file = macc.count_tflite(converted(model, tmp_path / "model.tflite"))
    assert (file.macc, file.total.resampling) == (4 * 8 * 6, 0)
