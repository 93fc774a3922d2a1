"""Every kind of export against the Keras model, and what lies beside the file."""

from __future__ import annotations

import hashlib
import json
import os
import types
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import mobile_export
from mobile_export import golden
from mobile_export.check import check
from tfalign import geometry, macc
from tfalign.cli.measuring import training_notes
from tfalign.inference.detectors import box_rules
from tfalign.tflite import Metadata

MEAN_PX = {"float32": 1e-3, "float16": 0.05, "dynamic": 0.5, "int8": 0.5}
"""The project's limits on the mean distance to the Keras model, in input pixels."""


@pytest.fixture(scope="module")
def exports(model: Any, pictures: np.ndarray, tmp_path_factory: Any) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("exports")
    return {
        kind: mobile_export.export(
            model,
            kind,
            calibration=pictures[:16] if kind == "int8" else None,
            out=folder / kind,
            images=pictures,
            allow_loss=True,  # the model was never fitted to faces
        )
        for kind in MEAN_PX
    }


@pytest.mark.parametrize("kind", MEAN_PX)
def test_landmarks_equal_the_keras_model(
    exports: Any, model: Any, pictures: Any, kind: str
) -> None:
    # Replayed here through LiteRT directly, not through the exporter's own comparison.
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(exports[kind].path))
    run = interpreter.get_signature_runner()
    found = np.concatenate([run(image=picture[None])["landmarks"] for picture in pictures])
    expected = np.asarray(model(pictures.astype(np.float32), training=False))
    distance = np.linalg.norm((found - expected) * 48, axis=-1)
    assert distance.mean() <= MEAN_PX[kind]
    np.testing.assert_allclose(exports[kind].parity.mean_px, distance.mean(), atol=1e-4)
    np.testing.assert_allclose(exports[kind].parity.max_px, distance.max(), atol=1e-3)


def test_what_check_would_refuse_is_not_written(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one face's points lie 3 px off: 3 % of all, but an eighth of the golden ones."""
    from mobile_export import exporter
    from mobile_export.parity import Limit

    exact = exporter.keras_landmarks

    def shifted(keras_model: Any, pictures: np.ndarray) -> np.ndarray:
        points = np.array(exact(keras_model, pictures))
        points[1, : points.shape[1] // 2] += 3 / 48
        return points

    monkeypatch.setattr(exporter, "keras_landmarks", shifted)
    for module in (exporter, golden):
        monkeypatch.setattr(module, "limit_of", lambda kind, size: Limit(1.5, 1.0))
    with pytest.raises(ValueError, match="px on the golden faces, where"):
        mobile_export.export(model, "float32", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = mobile_export.export(model, "float32", out=tmp_path / "out", allow_loss=True)
    assert result.rendered.p95_px <= 1.0
    assert check(tmp_path / "out").passed


@pytest.mark.parametrize("kind", MEAN_PX)
def test_arithmetic_is_counted_from_the_file(exports: Any, model: Any, kind: str) -> None:
    assert exports[kind].macc == macc.count(model).macc


def test_signature_takes_camera_pixels(exports: Any) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(exports["int8"].path))
    assert interpreter.get_input_details()[0]["dtype"] is np.uint8
    assert tuple(interpreter.get_input_details()[0]["shape"]) == (1, 48, 48, 3)
    signature = next(iter(interpreter.get_signature_list().values()))
    assert signature == {"inputs": ["image"], "outputs": ["landmarks"]}


def test_int8_keeps_coordinates_in_float_and_gathers_before_it_dequantizes(exports: Any) -> None:
    from tfalign.tflite import Graph

    graph = Graph.read(exports["int8"].path)
    output = graph.tensors[graph.outputs[0]]
    assert output.dtype == "FLOAT32"
    gathers = [op for op in graph.operators if op.kind == "GATHER"]
    # The finest map is the first convolution's, which reads the picture's three channels in float.
    assert [graph.tensors[op.inputs[0]].dtype for op in gathers] == ["INT8", "FLOAT32"]
    first, *convolutions = [op for op in graph.operators if op.kind == "CONV_2D"]
    assert graph.tensors[first.outputs[0]].dtype == "FLOAT32"
    assert {graph.tensors[op.outputs[0]].dtype for op in convolutions} == {"INT8"}
    for op in graph.operators:
        if op.kind == "FLOOR":
            assert graph.tensors[op.inputs[0]].dtype == "FLOAT32"
    # Only gathered cells and features after pooling become float; only the first convolution's map
    # and the two blended patches become int8.
    whole_map = min(np.prod(graph.tensors[op.inputs[0]].shape) for op in gathers)
    floats = [op for op in graph.operators if op.kind == "DEQUANTIZE"]
    assert max(np.prod(graph.tensors[op.inputs[0]].shape) for op in floats) < whole_map
    assert [op.kind for op in graph.operators].count("QUANTIZE") == 3


def test_files_shrink_with_their_weights(exports: Any) -> None:
    weights = 4 * macc_params(exports["float32"])
    assert exports["float32"].size > weights
    assert exports["float16"].size < 0.65 * exports["float32"].size
    assert exports["int8"].size < 0.45 * exports["float32"].size


def macc_params(result: Any) -> int:
    return int(result.metadata.model["params"])


def test_metadata_tells_an_app_what_it_needs(
    exports: Any, model: Any, pictures: Any, repository: Path
) -> None:
    result = exports["int8"]
    folder = result.path.parent
    data = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    schema = json.loads((repository / "tfalign/tflite/metadata.schema.json").read_text())
    jsonschema.validate(data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "format_version": 3}, schema)
    about = Metadata.read(folder)
    assert about == Metadata.from_dict(data) == result.metadata
    assert about.input_shape == (48, 48, 3)
    assert about.crop == geometry.crop_convention(data["crop"]) == model.crop
    assert data["input"]["colour_order"] == "RGB"
    # Rules from detectors' boxes are known for the tight box of the 68 points alone.
    assert set(data["detectors"]) == (set(box_rules()) if about.box == "landmarks" else set())
    assert (folder / "metadata.json").stat().st_size < 8000
    for name in ("model.tflite", "golden.npz", "report.json"):
        content = (folder / name).read_bytes()
        assert data["sha256"][name] == hashlib.sha256(content).hexdigest()


def test_report_tells_how_the_file_was_made(exports: Any, pictures: Any) -> None:
    result = exports["int8"]
    report = json.loads((result.path.parent / "report.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(result.report))
    used = pictures[:16]
    fingerprint = hashlib.sha256(repr(used.shape).encode() + used.tobytes()).hexdigest()
    assert report["calibration"]["images"] == 16
    assert report["calibration"]["source"] == "array"
    assert report["calibration"]["fingerprint"] == fingerprint
    assert sum(report["operators"].values()) == len(report["precision"]) + sum(
        report["operators"].get(kind, 0) for kind in ("QUANTIZE", "DEQUANTIZE")
    )
    assert report["gpu"]["operators"]["CONV_2D"] is True


@pytest.mark.parametrize("kind", MEAN_PX)
def test_golden_outputs_replay(exports: Any, kind: str) -> None:
    folder = exports[kind].path.parent
    # The model was never fitted to faces, on which its int8 file may lose more than the limit.
    arrays = folder / "golden.npz"
    replay = golden.replay(folder / "model.tflite", arrays, kind, loss_allowed=True)
    assert replay.passed
    assert replay.max_px < 1e-3


def test_golden_outputs_tell_another_model_apart(exports: Any) -> None:
    folder = exports["float32"].path.parent
    stored = golden.read(folder / "golden.npz")
    moved = {**stored, "landmarks": stored["landmarks"] + 0.01}
    np.savez(folder.parent / "moved.npz", **moved)
    replay = golden.replay(folder / "model.tflite", folder.parent / "moved.npz", "float32")
    assert not replay.passed


@pytest.mark.slow
def test_float_pixels_give_the_same_points(
    model: Any, pictures: Any, exports: Any, tmp_path: Any
) -> None:
    result = mobile_export.export(model, "float32", out=tmp_path, input_dtype="float32")
    found = mobile_export.Runner(result.path)(pictures.astype(np.float32))
    expected = mobile_export.Runner(exports["float32"].path)(pictures)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_errors_of_both_are_reported_where_truth_is_given(model: Any, tmp_path: Any) -> None:
    from mobile_export.parity import compare

    truth = np.random.default_rng(0).uniform(0.2, 0.8, (3, 68, 2))
    shifted = truth + np.array([0.02, 0.0])
    parity = compare(shifted, truth, (100, 50), truth, "300w_inter_ocular")
    size = np.array([50, 100])
    span = np.linalg.norm((truth[:, 36] - truth[:, 45]) * size, axis=-1)
    assert parity.keras_nme == 0.0
    assert parity.nme == pytest.approx(np.mean(1.0 / span), rel=1e-6)
    assert parity.nme_drop == parity.nme
    with pytest.raises(ValueError, match="needs its protocol"):
        compare(truth, truth, (100, 50), truth)


def test_failed_export_leaves_no_file(
    model: Any, pictures: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    with pytest.raises(ValueError, match=r"values from 0 to"):
        mobile_export.export(model, "int8", pictures / 255.0, tmp_path / "a")
    assert not (tmp_path / "a").exists()

    def fails(*_: Any) -> None:
        raise ValueError("no graph today")

    monkeypatch.setattr(mobile_export.exporter.converter, "convert", fails)
    with pytest.raises(ValueError, match="no graph today"):
        mobile_export.export(model, "float32", out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


TRUTH = np.random.default_rng(0).uniform(0.2, 0.8, (2, 12, 2))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"input_dtype": "int8"}, "`input_dtype` must be one of"),
        ({"images": np.zeros((1, 9, 9, 3), np.uint8)}, r"`images` must be \(N, 48, 48, 3\)"),
        ({"images": np.zeros((0, 48, 48, 3), np.uint8)}, "N > 0"),
        ({"truth": TRUTH}, "give all three. Received: images, truth only"),
        ({"protocol": "300w_inter_ocular"}, "give all three. Received: images, protocol only"),
        ({"images": None, "truth": TRUTH, "protocol": "300w_inter_ocular"}, "give all three"),
        ({"truth": TRUTH[:1], "protocol": "300w_inter_ocular"}, r"`truth` must be \(2, 12, 2\)"),
        ({"images": np.full((2, 48, 48, 3), 0.5)}, r"`images` must be RGB in \[0, 255\].* 0\.5"),
        ({"truth": 48 * TRUTH, "protocol": "300w_inter_ocular"}, r"`truth` must be in \[0, 1\]²"),
        ({"truth": TRUTH, "protocol": "300w"}, "`protocol` must be one of"),
        ({"truth": TRUTH, "protocol": "300w_inter_ocular"}, "68"),
    ],
)
def test_mistakes_are_found_before_anything_slow(
    model: Any, tmp_path: Path, monkeypatch: Any, arguments: Any, rule: str
) -> None:
    def slow(*_: Any) -> None:
        raise AssertionError("the model is tuned or converted before its arguments are checked")

    monkeypatch.setattr("mobile_export.tuning.fine_tune", slow)
    monkeypatch.setattr(mobile_export.exporter.converter, "convert", slow)
    settings = {"images": np.zeros((2, 48, 48, 3), np.uint8), **arguments}
    with pytest.raises(ValueError, match=rule):
        mobile_export.export(model, "pruned", out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_folder_without_permission_is_named(model: Any, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = tmp_path / "file"
        target.write_text("in the way")
        with pytest.raises(NotADirectoryError, match="must be a folder"):
            mobile_export.export(model, "float32", out=target)
        with pytest.raises(PermissionError, match="cannot be made or written"):
            mobile_export.export(model, "float32", out=target / "below")
        return
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot be made or written"):
        mobile_export.export(model, "float32", out=tmp_path / "new")


def test_unknown_kind_and_missing_calibration_are_named(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`kind` must be one of"):
        mobile_export.export(model, "int4", out=tmp_path)
    with pytest.raises(ValueError, match="needs calibration pictures"):
        mobile_export.export(model, "int8", out=tmp_path)
    with pytest.raises(ValueError, match="needs training data"):
        mobile_export.export(model, "int8_qat", out=tmp_path)


def test_missing_extra_is_named(model: Any, tmp_path: Path, monkeypatch: Any) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "ai_edge_quantizer" else found(name),
    )
    with pytest.raises(ImportError, match=r"pip install -e '\.\[mobile\]'"):
        mobile_export.export(model, "float32", out=tmp_path)


def test_detectors_lead_to_the_boxes_of_a_model_of_other_points(
    model: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    from tiny_model import TinyModel

    own = TinyModel(5, scheme=None)
    plain = mobile_export.export(own, "float32", out=tmp_path / "plain", allow_loss=True)
    assert plain.metadata.detectors == {}
    assert plain.metadata.box_padding is None
    own.box = "file"
    own.box_padding = {"points": [0.5, 0.3, 0.5, 0.6], "face": [-0.2, -0.2, -0.2, -0.3]}
    result = mobile_export.export(own, "float32", out=tmp_path / "own", allow_loss=True)
    assert Metadata.read(tmp_path / "own").box_padding == own.box_padding
    other = mobile_export.export(
        own, "float32", out=tmp_path / "other", box="landmarks", allow_loss=True
    )
    assert (other.metadata.box, other.metadata.box_padding) == ("landmarks", None)
    boxes = rng.uniform(0, 50, (6, 4)) + [0, 0, 60, 60]
    for name, rule in box_rules().items():
        steps = (rule.padding, own.box_padding["face"], own.box_padding["points"])
        expected = boxes
        for step in steps:
            expected = geometry.pad_box(expected, step)
        found = geometry.pad_box(boxes, result.metadata.detectors[name]["padding"])
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_presets_file_brings_its_own_quality(tmp_path: Path) -> None:
    """Before, it was judged by the constants of `300w`, and the shipped file by its own."""
    from tfalign.inference import QualityCalibration
    from tfalign.inference.backends import load_backend

    own = QualityCalibration.of_preset("300w_phone")
    assert own != QualityCalibration.of_preset("300w")
    done = mobile_export.export("300w_phone", "float16", out=tmp_path / "phone")
    assert load_backend(done.path).calibration == own
    assert load_backend("300w_phone", backend="tflite").calibration == own
    stored = Metadata.read(tmp_path / "phone")
    assert stored.calibration == json.loads(json.dumps(own.get_config()))


def test_a_file_knows_the_faces_that_its_model_has_seen(model: Any, tmp_path: Path) -> None:
    """``evaluate`` finds the record beside the file, too; one of an earlier model does not stay."""
    model.save(tmp_path / "model.keras")
    record = {"trained": ["a"], "watched": [], "measured": []}
    (tmp_path / "faces.json").write_text(json.dumps(record))
    out = tmp_path / "app"
    mobile_export.export(str(tmp_path / "model.keras"), "float32", out=out)
    file = str(out / "model.tflite")
    faces = types.SimpleNamespace(fingerprint=lambda: "", digests=lambda: ["a", "b"])
    (note,) = training_notes(file, faces)
    assert "trained on 1 of these 2 faces" in note
    mobile_export.export(model, "float32", out=out)
    (note,) = training_notes(file, faces)
    assert "whether it has seen these faces is not known" in note
    # That of a training is not an export's to take away.
    (tmp_path / "result.json").write_text("{}")
    for given in (str(tmp_path / "model.keras"), model):
        mobile_export.export(given, "float32", out=tmp_path)
        assert json.loads((tmp_path / "faces.json").read_text()) == record
