import cv2
import numpy as np
import pytest

from tfalign.evaluation import (
    Perturbation,
    box_sweep,
    evaluate_model,
    get_protocol,
    plots,
    score,
)


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def scored(rng):
    truth = rng.uniform(0, 100, (30, 68, 2))
    truth[:, 36], truth[:, 45] = (30, 40), (80, 40)
    return score(truth + rng.normal(0, 2, truth.shape), truth, "300w_inter_ocular")


def test_ced_plot_draws_the_curve(scored):
    figure = plots.ced_plot({"ours": scored}, limit=0.1)
    (axis,) = figure.axes
    (line,) = axis.get_lines()
    x, y = line.get_data()
    np.testing.assert_allclose(y / 100, scored.ced(np.asarray(x) / 100 + 1e-12), atol=1 / 30)
    assert axis.get_xlim() == (0, 10)
    assert "outer eye corners" in axis.get_xlabel()
    assert f"NME {100 * scored.nme:.2f} %" in axis.get_legend().get_texts()[0].get_text()
    picture = decoded(plots.png_bytes(figure))
    assert picture.shape[:2] == (440, 640)


def test_many_curves_stay_apart_and_uncovered(scored):
    figure = plots.ced_plot({f"model {i}": scored for i in range(10)})
    (axis,) = figure.axes
    assert axis.get_legend() is None
    assert len(figure.legends[0].get_texts()) == 10
    assert len({(line.get_color(), line.get_linestyle()) for line in axis.lines}) == 10


def test_ced_plot_refuses_to_mix_protocols(scored, rng):
    truth = rng.uniform(0, 100, (3, 98, 2))
    other = score(truth + 1, truth, "wflw_inter_ocular")
    with pytest.raises(ValueError, match="one protocol"):
        plots.ced_plot({"a": scored, "b": other})
    with pytest.raises(ValueError, match="no score"):
        plots.ced_plot({})


def test_robustness_plot_starts_at_the_unperturbed_case(oracle_faces):
    faces = oracle_faces(count=2)
    spoiled = [Perturbation("none"), Perturbation("scale", 0.1), Perturbation("rotation", 5)]
    result = box_sweep(
        {"a": faces.backend(), "b": faces.backend(error=2.0)},
        faces.samples,
        "300w_inter_ocular",
        spoiled,
        progress=False,
    )
    figure = plots.robustness_plot(result)
    assert [axis.get_title() for axis in figure.axes] == ["scale", "rotation"]
    second = figure.axes[0].get_lines()[1]
    np.testing.assert_allclose(second.get_xdata(), [0, 0.1])
    clean = result.frame.query("model == 'b' and kind == 'none'")["nme"].iloc[0]
    assert second.get_ydata()[0] == pytest.approx(100 * clean)
    only_clean = box_sweep(
        {"a": faces.backend()}, faces.samples, "300w_inter_ocular", spoiled[:1], progress=False
    )
    with pytest.raises(ValueError, match="needs a perturbation"):
        plots.robustness_plot(only_clean)


def test_worst_cases_are_tiled(oracle_faces):
    faces = oracle_faces(count=5)
    found = evaluate_model(
        faces.backend(error=2.0), faces.samples, "300w_inter_ocular", worst=5, progress=False
    )
    picture = plots.worst_cases_picture(found.worst, found.score.protocol, columns=3)
    assert picture.shape == (2 * 224, 3 * 224, 3)
    assert (picture[-224:, -224:] == 255).all()  # the empty sixth place
    np.testing.assert_array_equal(
        decoded(plots.image_bytes(picture))[..., ::-1], picture
    )  # lossless
    with pytest.raises(ValueError, match="needs a case"):
        plots.worst_cases_picture([], get_protocol("300w_inter_ocular"))
