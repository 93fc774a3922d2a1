"""What tells one aligner's results from another's."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from tfalign.cli.aligner_options import aligner_settings


@pytest.mark.parametrize("changed", ["model.tflite", "metadata.json", "yunet.onnx"])
def test_every_file_that_decides_results_is_told(tmp_path, changed):
    for name in ("model.tflite", "metadata.json", "yunet.onnx"):
        (tmp_path / name).write_bytes(b"one")
    keywords = {
        "model": str(tmp_path / "model.tflite"),
        "detector": str(tmp_path / "yunet.onnx"),
    }
    aligner = SimpleNamespace(detector=SimpleNamespace(name="yunet"), min_quality=0.2)
    before = aligner_settings(keywords, aligner)
    (tmp_path / changed).write_bytes(b"other")
    after = aligner_settings(keywords, aligner)
    (key,) = (key for key in before if before[key] != after[key])
    assert after[key] == hashlib.sha256(b"other").hexdigest()


def test_a_model_without_such_files_tells_none(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"one")
    (tmp_path / "metadata.json").write_bytes(b"of something else")
    aligner = SimpleNamespace(detector=SimpleNamespace(name="haar"), min_quality=0.2)
    keywords = {"model": str(tmp_path / "model.keras"), "detector": "haar"}
    found = aligner_settings(keywords, aligner)
    assert not {"metadata_sha256", "detector_sha256"} & set(found)
