"""Damaged and foreign files, the graph that is read from good ones, and running them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfalign.tflite import Graph, Metadata, Runner, pack
from tfalign.tflite.graph import ALIGNMENT

if importlib.util.find_spec("ai_edge_litert") is None:
    pytest.skip("not installed: ai_edge_litert", allow_module_level=True)


@pytest.fixture(scope="module", params=["float16", "int8"])
def export(request, repository: Path) -> Path:
    return repository / "android_demo_assets/300w" / request.param


@pytest.fixture(scope="module")
def golden(export: Path) -> dict[str, np.ndarray]:
    with np.load(export / "golden.npz") as arrays:
        return dict(arrays)


def test_graph_agrees_with_the_interpreter(export: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = Graph.read(export / "model.tflite")
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=graph.content, experimental_op_resolver_type=plain, num_threads=1
    )
    expected = [op["op_name"] for op in interpreter._get_ops_details()]
    assert [op.kind for op in graph.operators] == expected
    assert sum(graph.histogram().values()) == len(expected)
    details = interpreter.get_tensor_details()
    assert len(details) >= len(graph.tensors) > 100
    for detail in details[: len(graph.tensors)]:
        tensor = graph.tensors[detail["index"]]
        assert tensor.name == detail["name"]
        assert tensor.shape == tuple(detail["shape"])
    assert Graph.read(graph) is graph


def test_running_gives_the_golden_landmarks(export: Path, golden) -> None:
    runner = Runner(export / "model.tflite")
    assert runner.input_shape == (112, 112, 3)
    assert runner.image_size == (112, 112)
    np.testing.assert_allclose(runner(golden["images"]), golden["landmarks"], atol=1e-3)
    other = Runner(runner.graph)
    assert other.graph is runner.graph
    np.testing.assert_array_equal(other(golden["images"]), runner(golden["images"]))


def test_packing_keeps_the_model_and_aligns_its_weights(export: Path, golden) -> None:
    graph = Graph.read(export / "model.tflite")
    content = pack(graph.tree)
    np.testing.assert_array_equal(
        Runner(content)(golden["images"]), Runner(graph)(golden["images"])
    )
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    offsets = [buffer.offset for buffer in tree.buffers if buffer.size]
    assert len(offsets) > 10
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    assert pack(graph.tree) == content  # the tree is as it was


def test_foreign_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tflite"):
        Runner(tmp_path / "absent.tflite")
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(ValueError, match="identifier 'TFL3'"):
        Runner(foreign)


@pytest.mark.parametrize("keep", [9, 64, 0.3, 0.7, 0.99])
def test_file_cut_short(export: Path, keep: float) -> None:
    content = (export / "model.tflite").read_bytes()
    length = int(keep if keep > 1 else keep * len(content))
    with pytest.raises(ValueError, match="damaged|cut short|cannot load"):
        Runner(content[:length])


def test_model_of_another_task_is_refused() -> None:
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("conversion needs the TensorFlow back end")
    image = keras.Input((8, 8, 3), batch_size=1)
    model = keras.Model(image, keras.layers.Flatten()(image))
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    with pytest.raises(ValueError, match=r"one output, a shape \(1, n, 2\).*\(1, 192\)"):
        Runner(content)


def test_picture_of_another_size_is_refused(export: Path) -> None:
    with pytest.raises(ValueError, match=r"must be \(112, 112, 3\)"):
        Runner(export / "model.tflite").set_image(np.zeros((112, 111, 3), np.uint8))


def test_metadata_tells_crop_and_scheme_and_survives_writing(export: Path, tmp_path: Path) -> None:
    about = Metadata.read(export)
    assert about == Metadata.read(export / "model.tflite") == Metadata.beside(export)
    assert (about.crop.padding, about.crop.square) == ((0.1, 0.1, 0.1, 0.1), True)
    assert about.scheme.name == "ibug68"
    assert about.input_shape == Runner(export / "model.tflite").input_shape
    about = about.replace(box="landmarks")
    about.write(tmp_path)
    assert Metadata.read(tmp_path) == about
    assert Metadata.beside(tmp_path / "none" / "model.tflite") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "the file must be JSON"),
        ("[]", "must hold a JSON object"),
        ('{"format_version": 7}', "`format_version` must be"),
        ('{"format_version": 2, "kind": "int8"}', "lacks a value"),
    ],
)
def test_damaged_metadata_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metadata.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"metadata.json.*{message}"):
        Metadata.read(tmp_path)


@pytest.mark.slow
def test_the_room_imports_without_the_optional_package(repository: Path) -> None:
    code = (
        "import sys; sys.modules['ai_edge_litert'] = None\n"
        "from tfalign.tflite import Graph\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "try: Graph.read('android_demo_assets/300w/int8/model.tflite')\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert "pip install -e '.[mobile]'" in done.stdout, done.stderr


def test_metadata_of_version_1_still_opens(tmp_path: Path) -> None:
    old = {
        "format_version": 1,
        "kind": "int8",
        "model": {"class": "GRegLRef", "name": "greglref", "num_landmarks": 68, "params": 876520},
        "scheme": {"name": "ibug68", "num_points": 68},
        "input": {"name": "image", "dtype": "uint8", "shape": [1, 112, 96, 3]},
        "output": {"name": "landmarks", "dtype": "float32", "shape": [1, 68, 2]},
        "image_size": [96, 112],
        "crop": {"padding": [0.1, 0.1, 0.1, 0.1], "square": True},
        "recipe": [],
        "sha256": {},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(old), encoding="utf-8")
    about = Metadata.read(tmp_path)
    assert about.input_shape == (112, 96, 3)
    assert (about.scheme.name, about.box, about.quality) == ("ibug68", None, None)
    assert about.to_dict()["format_version"] == 2
    old["scheme"] = {"name": None, "num_points": 68}
    (tmp_path / "metadata.json").write_text(json.dumps(old), encoding="utf-8")
    assert Metadata.read(tmp_path).scheme is None
