import dataclasses
import html
import json

import numpy as np
import pandas as pd
import pytest

from tfalign import geometry
from tfalign.evaluation import (
    Perturbation,
    Robustness,
    box_comparison,
    box_sweep,
    evaluate_model,
    get_protocol,
    mean_shape_predictor,
    plots,
    published,
    report,
    shapes_in_crops,
)

PROTOCOL = "300w_inter_ocular"
SPOILED = [
    Perturbation("none"),
    Perturbation("scale", 0.3),
    Perturbation("scale", -0.2),
    Perturbation("translation", 0.2),
    Perturbation("rotation", 20),
]


@pytest.fixture
def faces(oracle_faces):
    return oracle_faces(count=5)


@pytest.fixture
def mean_shape(faces):
    shapes = shapes_in_crops([s.landmarks for s in faces.samples], "300w", (40, 40))
    return mean_shape_predictor(shapes, "300w", "ibug68", (40, 40))


def test_an_oracle_bears_everything_and_a_mean_shape_nothing(faces, mean_shape):
    models = {"oracle": faces.backend(), "mean": mean_shape}
    found = box_sweep(models, faces.samples, PROTOCOL, SPOILED, progress=False)
    assert len(found.frame) == 20  # "common" and all of them, as their folder says
    oracle = found.frame[found.frame["model"] == "oracle"]
    assert (oracle["nme"] < 0.003).all()
    growth = found.growth().query("subset == 'all'")
    growth = growth.set_index(["model", "kind", "condition"])["growth"]
    assert growth["mean", "scale", 0.3] > 0.01
    assert growth["mean", "translation", 0.2] > 0.1
    assert growth["mean", "rotation", 20.0] > 0.01


def test_the_unperturbed_row_is_the_evaluation(faces, mean_shape):
    found = box_sweep({"mean": mean_shape}, faces.samples, PROTOCOL, SPOILED[:1], progress=False)
    direct = evaluate_model(mean_shape, faces.samples, PROTOCOL, progress=False)
    assert found.frame["nme"][0] == pytest.approx(direct.nme, rel=1e-6)
    assert found.frame["faces"][0] == 5


def test_a_shifted_box_shifts_a_mean_shape_by_its_share(faces, mean_shape):
    # Independent of the sweep: every point of a constant answer moves with the box.
    sample = faces.samples[0]
    box = geometry.box_from_landmarks(sample.landmarks)
    moved, _ = Perturbation("translation", 0.1).apply(box[None], np.zeros(1))
    np.testing.assert_allclose(moved[0] - box, [0.1 * (box[2] - box[0]), 0] * 2, atol=1e-4)


def test_seed_decides_and_batches_do_not(faces, mean_shape):
    def sweep(**options):
        result = box_sweep(
            {"m": mean_shape}, faces.samples, PROTOCOL, SPOILED, progress=False, **options
        )
        return result.whole()["nme"].to_numpy()

    np.testing.assert_allclose(sweep(batch_size=2), sweep(batch_size=5), rtol=1e-6)
    first, other = sweep(seed=0), sweep(seed=1)
    np.testing.assert_allclose(first[:3], other[:3], rtol=1e-6)  # no direction in a scale
    assert first[3] != pytest.approx(other[3], rel=1e-4)


def test_box_sources_side_by_side(faces, mean_shape):
    def detector(image):
        return np.zeros((0, 4), np.float32)

    found = box_comparison(
        {"mean": mean_shape},
        faces.samples,
        PROTOCOL,
        {"landmarks": "landmarks", "file": "file", "blind": detector},
        progress=False,
    )
    frame = found.whole().set_index("condition")
    assert frame["missed"].to_dict() == {"landmarks": 0, "file": 0, "blind": 5}
    assert frame["nme"]["blind"] == frame["nme"]["file"]  # the fallback
    assert frame["nme"]["landmarks"] != frame["nme"]["file"]
    assert list(found.with_published("box").index) == ["mean"]  # not the paper's faces


def test_tables_stand_beside_the_papers_only_on_its_faces_and_boxes(faces, mean_shape, monkeypatch):
    spoiled = [*SPOILED, Perturbation("extension", 0.3)]

    def sweep(protocol=PROTOCOL, box="file"):
        models = {"mean": mean_shape}
        return box_sweep(models, faces.samples, protocol, spoiled, box=box, progress=False)

    assert "TSR" not in sweep().table()
    # As if the paper's common set were these five faces.
    monkeypatch.setitem(published.TEST_FACES["300w"], "common", 5)
    table = sweep().with_published("extension", "common")
    assert list(table.index) == ["mean"]  # Table 2 is of the full set alone
    monkeypatch.setitem(published.TEST_FACES["300w"], "all", 5)
    full = [dataclasses.replace(r, subset="all") for r in published.RESULTS if r.subset == "full"]
    monkeypatch.setattr(published, "RESULTS", (*published.RESULTS, *full))
    table = sweep().with_published("extension")
    assert list(table.columns) == [0.3]
    assert table.loc["TSR Proposed", 0.3] == 5.11
    assert "TSR Baseline2" in sweep().table()
    assert "TSR" not in sweep(box="landmarks").table()
    assert "TSR" not in sweep("300w_inter_pupil").table()
    boxes = box_comparison(
        {"mean": mean_shape}, faces.samples, PROTOCOL, {"file": "file"}, progress=False
    )
    assert boxes.with_published("box", "common").loc["TSR Baseline1", "file"] == 5.43
    content = json.loads(json.dumps(sweep().to_dict(), allow_nan=False))
    assert content["rows"][2]["kind"] == "scale"


def test_all_of_wflws_faces_are_the_whole():
    """They are its first column: the last, blur, stood for all in title, notes and plot."""
    rows = [
        {"model": "one", "kind": kind, "condition": amount, "subset": subset, "faces": faces,
         "nme": nme + amount, "failure_rate": 0.0, "auc": 0.5,
         "missed": 3 if subset == "full" else 0}
        for kind, amount in (("none", 0.0), ("extension", 0.1), ("extension", 0.2))
        for subset, faces, nme in (("full", 120, 0.04), ("pose", 40, 0.05), ("blur", 2, 0.07))
    ]  # fmt: skip
    found = Robustness(get_protocol("wflw_inter_ocular"), pd.DataFrame(rows), "detector")
    assert found.subsets == ["pose", "blur", "full"]
    assert set(found.whole()["faces"]) == {120}
    assert found.title.endswith("120 faces")
    assert found.notes[0].startswith("The detector missed 3 of 120 faces")
    assert len(found.notes) == 1  # nor are they few
    np.testing.assert_allclose(found.pivot("extension").loc["one"], [14.0, 24.0])
    (axis,) = plots.robustness_plot(found).axes
    drawn = axis.lines[0].get_ydata()
    assert max(drawn) == pytest.approx(24.0)


def test_points_of_ones_own_are_divided_by_the_box_that_there_is(oracle_faces):
    faces = oracle_faces(count=5, box_source="landmarks")
    diagonal = {"scheme": "ibug68", "normalizer": "diagonal"}
    shifted = {"shifted": faces.backend(error=2.0)}
    found = box_sweep(shifted, faces.samples, diagonal, SPOILED[:1], progress=False)
    corners = np.array([sample.box for sample in faces.samples], np.float64)
    diagonals = np.hypot(*(corners[:, 2:] - corners[:, :2]).T)
    assert found.whole()["nme"].item() == pytest.approx((2.0 / diagonals).mean(), rel=0.02)
    direct = evaluate_model(shifted["shifted"], faces.samples, diagonal, progress=False)
    assert found.whole()["nme"].item() == pytest.approx(direct.nme, rel=1e-6)


def test_what_evaluate_tells_is_told(faces):
    """Points that a model lacks, faces that a detector missed, and that there are few faces."""
    inner = mean_shape_predictor(np.full((1, 51, 2), 0.5), "300w", "ibug51", (40, 40))
    models = {"inner": inner, "whole": faces.backend()}
    blind = {"blind": lambda image: np.zeros((0, 4), np.float32)}
    found = box_comparison(models, faces.samples, PROTOCOL, blind, progress=False)
    lacks, few, missed = found.notes
    assert lacks.startswith("inner: 17 of 68 points do not exist")
    assert few.startswith("Measured on 5 faces only")
    assert missed.startswith("The detector missed 5 of 5 faces (blind boxes)")
    assert all(f"note: {note}" in found.table() for note in found.notes)
    assert found.to_dict()["notes"] == list(found.notes)
    assert html.escape(lacks) in report.robustness_report([found])
    swept = box_sweep(models, faces.samples, PROTOCOL, SPOILED[:1], progress=False)
    assert swept.notes == (lacks, few)


def test_mistakes_are_told_before_faces_are_measured(faces, mean_shape):
    def never():
        raise AssertionError("a face was read")
        yield

    models = {"mean": mean_shape}
    for measure in (box_sweep, box_comparison):
        what = SPOILED if measure is box_sweep else {"landmarks": "landmarks"}
        with pytest.raises(ValueError, match=r"between 0 and 1.*threshold=8"):
            measure(models, never(), PROTOCOL, what, threshold=8, progress=False)
    with pytest.raises(ValueError, match=r"between 0 and 1.*threshold=8"):
        evaluate_model(mean_shape, never(), PROTOCOL, threshold=8, progress=False)
    twice = [*SPOILED, Perturbation("scale", 0.3)]
    with pytest.raises(ValueError, match=r"given once\. Received twice: scale 0\.3$"):
        box_sweep(models, never(), PROTOCOL, twice, progress=False)


def test_growth_needs_the_unperturbed_case(faces, mean_shape):
    found = box_sweep({"m": mean_shape}, faces.samples, PROTOCOL, SPOILED[1:2], progress=False)
    with pytest.raises(ValueError, match="Received none for: m"):
        found.growth()
    with pytest.raises(ValueError, match="a model, a condition and a face"):
        box_sweep({}, faces.samples, PROTOCOL, progress=False)


def test_boxes_of_a_detector_are_for_models_of_whole_faces(faces):
    backend = faces.backend()
    backend.box_padding = {"points": [0.0] * 4, "face": [-0.2, -0.2, -0.2, -0.3]}
    detect = lambda image: np.zeros((0, 4), np.float32)  # noqa: E731
    with pytest.raises(ValueError, match="points of the whole face.*Received: own"):
        box_sweep({"own": backend}, faces.samples, PROTOCOL, SPOILED, box="detector")
    with pytest.raises(ValueError, match="Received: own"):
        box_comparison({"own": backend}, faces.samples, PROTOCOL, {"theirs": detect})


def test_pixels_are_not_per_cent(faces, mean_shape):
    """Where nothing normalises, tables and plots show pixels as they are."""
    pixels = {"scheme": "ibug68", "normalizer": "none"}
    swept = box_sweep({"mean": mean_shape}, faces.samples, pixels, SPOILED, progress=False)
    direct = evaluate_model(mean_shape, faces.samples, pixels, progress=False)
    distance = np.linalg.norm(direct.predicted - direct.truth, axis=-1).mean()
    assert swept.pivot("none").iloc[0, 0] == pytest.approx(distance, rel=1e-6)
    assert swept.table().startswith("NME px")
    line = plots.robustness_plot(swept).axes[0].lines[0]
    assert line.get_ydata()[1] == pytest.approx(distance, rel=1e-6)
    assert "px" in line.axes.get_ylabel()
