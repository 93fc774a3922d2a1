import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from tfalign.evaluation import evaluate_model, output


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        output.write_json(tmp_path / "a.json", {"nme": float("nan")})


def test_a_folder_has_one_configuration(tmp_path):
    out = tmp_path / "runs" / "a"
    output.claim_folder(out, {"seed": 1, "split": ("x",)})
    output.claim_folder(out, {"seed": 1, "split": ["x"]})
    with pytest.raises(ValueError, match=r"differs in seed: 1 there, 2 now"):
        output.claim_folder(out, {"seed": 2, "split": ["x"]})
    assert json.loads((out / "settings.json").read_text())["seed"] == 1


def test_digest_and_versions(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert output.file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert output.versions()["numpy"] == np.__version__


def test_evaluation_is_written_in_full(oracle_faces, tmp_path):
    faces = oracle_faces(count=3)
    found = evaluate_model(faces.backend(error=2.0), faces.samples, "300w_inter_ocular",
                           progress=False)  # fmt: skip
    output.write_evaluation(found, tmp_path, {"seed": 1})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "ced.png",
        "worst.png",
        "faces.csv",
        "predictions.npz",
        "report.html",
        "metrics.json",
    }
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["nme"] == found.nme
    assert metrics["settings"] == {"seed": 1}
    frame = pd.read_csv(tmp_path / "faces.csv")
    np.testing.assert_allclose(frame["nme"], found.score.errors)
    with np.load(tmp_path / "predictions.npz") as file:
        np.testing.assert_array_equal(file["predicted"], found.predicted)
        assert file["names"].tolist() == list(found.names)
