"""The count of a ``.tflite`` file against the count of the model it was converted from."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfalign import macc, models

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("conversion needs the TensorFlow back end", allow_module_level=True)

KINDS = ("float32", "float16", "dynamic", "int8")


def converted(model: keras.Model, kind: str, batch: int | None = 1) -> bytes:
    """Converts with the plain converter, independently of ``mobile_export``."""
    specs = [tf.TensorSpec((batch, *x.shape[1:]), "float32") for x in model.inputs]

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
        examples = [
            [rng.uniform(0, 255, (1, *x.shape[1:])).astype("float32") for x in model.inputs]
            for _ in range(2)
        ]
        converter.representative_dataset = lambda: iter(examples)
    return converter.convert()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        return path

    return write


@pytest.fixture(scope="module")
def architectures() -> dict[str, keras.Model]:
    built = {
        "gregnet": models.GRegNet(
            num_landmarks=29, input_shape=(64, 64, 3), width=0.125, scheme="cofw29"
        ),
        "greglref": models.GRegLRef(
            num_landmarks=98, input_shape=(64, 64, 3), width=0.125, scheme="wflw98"
        ),
        "mobile": models.GRegLRef(
            num_landmarks=68, input_shape=(64, 64, 3), width=0.25, trunk="mobile", scheme="ibug68"
        ),
        "compact": models.GRegLRef(
            num_landmarks=68, input_shape=(64, 64, 3), width=0.25, trunk="compact", scheme="ibug68"
        ),
    }
    for model in built.values():
        for weight in model.trainable_weights:
            if weight.path.endswith("/bias"):  # A bias of zeros would be optimised away.
                weight.assign(np.linspace(-0.1, 0.1, weight.numpy().size).reshape(weight.shape))
    return built


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "batch"), [*((kind, 1) for kind in KINDS), ("float32", None), ("int8", None)]
)
@pytest.mark.parametrize("name", ["gregnet", "greglref", "mobile", "compact"])
def test_file_and_model_agree(
    name: str, kind: str, batch: int | None, architectures, save: Callable[[bytes], Path]
) -> None:
    model = architectures[name]
    report = macc.count_tflite(save(converted(model, kind, batch)))
    assert report.macc == macc.count(model).macc


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "expected"),
    [(models.GRegNet, 1_743_038_976), (models.GRegLRef, 1_744_447_040)],
    ids=["gregnet", "greglref"],
)
def test_full_size(build, expected: int, save: Callable[[bytes], Path]) -> None:
    assert macc.count_tflite(save(converted(build(num_landmarks=98), "float32"))).macc == expected


def _rows_of_a_patch_network() -> keras.Model:
    inputs = keras.Input((5, 8, 8, 1))
    patches = ops.reshape(inputs, (-1, 8, 8, 1))
    features = layers.Flatten()(layers.Conv2D(4, 3, use_bias=False)(patches))
    features = layers.Dense(6, activation="tanh")(features)
    return keras.Model(inputs, layers.Dense(2)(ops.reshape(features, (-1, 5 * 6))))


def _image_layers() -> keras.Model:
    x = inputs = keras.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, 2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.SeparableConv2D(6, 3, padding="same", activation="relu6")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.LeakyReLU()(x))
    x = layers.Conv2DTranspose(5, 3, 2)(x)
    x = layers.Conv2D(10, 3, groups=5)(layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x)))
    x = layers.concatenate([x, layers.ZeroPadding2D(1)(layers.Cropping2D(1)(x))])
    x = layers.AveragePooling2D(2)(x)
    weights = layers.Softmax()(layers.Dense(20)(layers.GlobalAveragePooling2D()(x)))
    x = layers.Multiply()([layers.GlobalMaxPooling2D()(x), weights])
    return keras.Model(inputs, layers.EinsumDense("bk,kf->bf", output_shape=3)(x))


def _two_inputs() -> keras.Model:
    left, right = keras.Input((3, 4)), keras.Input((3, 4))
    product = ops.matmul(left, ops.transpose(right, (0, 2, 1)))
    return keras.Model([left, right], ops.einsum("bij,bjk->bik", product, right))


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("build", [_rows_of_a_patch_network, _image_layers, _two_inputs])
def test_other_layers_agree(
    build: Callable[[], keras.Model], batch: int | None, save: Callable[[bytes], Path]
) -> None:
    model = build()
    report = macc.count_tflite(save(converted(model, "float32", batch)))
    assert report.macc == macc.count(model).macc > 0


@pytest.mark.parametrize(("kind", "weight_size"), [("float32", 4), ("float16", 2), ("dynamic", 1)])
def test_report_describes_the_file(kind: str, weight_size: int, save) -> None:
    model = keras.Sequential(
        [keras.Input((256,)), layers.Dense(64, activation="relu"), layers.Dense(32)]
    )
    for layer in model.layers:
        layer.bias.assign(np.ones(layer.bias.shape))
    data = converted(model, kind)
    report = macc.count_tflite(save(data))
    assert report.operators["FULLY_CONNECTED"] == 2
    assert report.operators.get("DEQUANTIZE", 0) == (4 if kind == "float16" else 0)
    assert report.params == macc.count(model).params
    kernels = 256 * 64 + 64 * 32
    assert 0 <= report.weight_bytes - kernels * weight_size <= 4 * (64 + 32)
    assert report.file_bytes == len(data)
    expected_type = {"float32": "FLOAT32", "float16": "FLOAT16", "dynamic": "INT8"}[kind]
    assert report.tensor_types[expected_type] >= 2
    total = report.total
    assert (total.bias_norm, total.activation, total.elementwise) == (64 + 32, 64, 0)
    assert "2 FULLY_CONNECTED" in report.table()
    assert report.to_dict()["operators"] == report.operators


def test_a_bias_that_stays_an_addition_is_a_parameter(save) -> None:
    model = models.GRegLRef(
        num_landmarks=19, input_shape=(32, 32, 3), width=0.125, refinements=1, scheme="aflw19"
    )
    with_bias = macc.count_tflite(save(converted(model, "float32"))).params
    bias = model.get_layer("local_1").bias
    bias.assign(np.ones(bias.shape))
    assert macc.count_tflite(save(converted(model, "float32"))).params == with_bias + 19 * 4


def test_operator_without_a_rule_is_named(save) -> None:
    inputs = keras.Input((4, 4))
    model = keras.Model(inputs, ops.cumsum(inputs, axis=1))
    data = converted(model, "float32")
    assert macc.count_tflite(save(data)).operators == {"CUMSUM": 1}
    # The number of CUMSUM in the operator table becomes that of a call of another subgraph.
    from ai_edge_litert import schema_py_generated as schema

    code = schema.Model.GetRootAsModel(data, 0).OperatorCodes(0)
    place = code._tab.Pos + code._tab.Offset(10)
    damaged = bytearray(data)
    assert int.from_bytes(data[place : place + 4], "little") == schema.BuiltinOperator.CUMSUM
    damaged[place : place + 4] = schema.BuiltinOperator.CALL_ONCE.to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"operator='CALL_ONCE'.*model\.tflite"):
        macc.count_tflite(save(bytes(damaged)))


def test_missing_and_foreign_files(tmp_path: Path, save) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tflite"):
        macc.count_tflite(tmp_path / "absent.tflite")
    for data in (b"", b"TFL3", b"PK\x03\x04 a zip archive, say a .keras", bytes(1000)):
        with pytest.raises(ValueError, match=r"identifier 'TFL3'.*model\.tflite"):
            macc.count_tflite(save(data))


def _corruptions(data: bytes, times: int):
    rng = np.random.default_rng(7)
    for _ in range(times):
        damaged = bytearray(data)
        kind = rng.integers(4)
        if kind == 0:
            damaged = damaged[: rng.integers(8, len(data))]
        elif kind == 1:
            for place in rng.integers(8, len(data), rng.integers(1, 40)):
                damaged[place] = rng.integers(256)
        elif kind == 2:
            place, length = rng.integers(8, len(data)), rng.integers(1, 64)
            damaged[place : place + length] = bytes([rng.choice([0, 127, 255])]) * int(length)
        else:  # Offsets and lengths are 32-bit numbers.
            place = 4 * rng.integers(2, len(data) // 4)
            damaged[place : place + 4] = int(rng.integers(2**32)).to_bytes(4, "little")
        yield bytes(damaged)


def test_damaged_files_raise_value_error_or_count(save) -> None:
    data = converted(_rows_of_a_patch_network(), "float32", None)
    messages = []
    for damaged in _corruptions(data, times=400):
        try:
            macc.count_tflite(save(damaged))
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all("model.tflite" in message for message in messages)


def test_every_truncation_is_refused(save) -> None:
    data = converted(_two_inputs(), "float32")
    root = int.from_bytes(data[:4], "little")
    for length in range(0, root, 37):
        with pytest.raises(ValueError, match=r"model\.tflite"):
            macc.count_tflite(save(data[:length]))


@pytest.mark.slow
@pytest.mark.jax
def test_a_file_is_counted_without_tensorflow(save) -> None:
    path = save(converted(_image_layers(), "float32"))
    code = (
        "import sys; from tfalign import macc; report = macc.count_tflite(sys.argv[1]);"
        "assert 'tensorflow' not in sys.modules; print(report.macc)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == macc.count(_image_layers()).macc


def test_missing_packages_name_the_extra(save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(converted(_two_inputs(), "float32"))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ai_edge_litert" else found(name)
    )
    with pytest.raises(ImportError, match=r"pip install -e '\.\[mobile\]'"):
        macc.count_tflite(path)
