import json

import numpy as np
import pandas as pd

from tfalign.evaluation import evaluate_model, report


def test_evaluation_is_written_in_full(oracle_faces, tmp_path):
    faces = oracle_faces(count=3)
    found = evaluate_model(faces.backend(error=2.0), faces.samples, "300w_inter_ocular",
                           progress=False)  # fmt: skip
    report.write_evaluation(found, tmp_path, {"seed": 1})
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
