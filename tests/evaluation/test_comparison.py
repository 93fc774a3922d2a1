import dataclasses

import numpy as np
import pandas as pd
import pytest

from tfalign.evaluation import comparison, output, published, score
from tfalign.evaluation.comparison import Contender, comparison_frame
from tfalign.files import versions


@pytest.fixture
def truth(rng):
    found = rng.uniform(0, 100, (5, 68, 2))
    found[:, 36], found[:, 45] = (30, 40), (80, 40)
    return found


def contender(name, truth, shift, **others):
    """A model that is wrong by ``shift`` pixels everywhere; the eyes are 50 pixels apart."""
    moved = [score(truth + [s, 0.0], truth, "300w_inter_ocular") for s in (shift, 2 * shift)]
    return Contender(name, "somebody, 2019", *moved, 1000, 60_000_000, 64, 2.5, 0.75, **others)


@pytest.mark.filterwarnings("ignore::tfalign.evaluation.EvaluationWarning")
def test_frame_has_one_row_each(truth):
    (theirs,) = (
        r
        for r in published.find("300w_inter_pupil", source="DeepReg")
        if (r.method, r.subset) == ("DeepReg", "full")
    )
    rows = [contender("a", truth, 1.0), contender("b", truth, 3.0, published=theirs, remark="slow")]
    frame = comparison_frame(rows)
    assert list(frame.index) == ["a", "b"]
    np.testing.assert_allclose(frame["NME %"].astype(float), [2.0, 6.0])
    np.testing.assert_allclose(frame["int8 NME %"].astype(float), [4.0, 12.0])
    np.testing.assert_allclose(frame["AUC@8"].astype(float), [0.75, 0.25])
    assert frame.loc["a", ["paper NME %", "paper normaliser"]].isna().all()
    assert (frame.loc["b", "paper NME %"], frame.loc["b", "paper normaliser"]) == (
        6.31,
        "inter-pupil",
    )
    assert comparison.remarks(rows) == ("b: slow",)


@pytest.mark.filterwarnings("ignore::tfalign.evaluation.EvaluationWarning")
def test_unlike_is_not_compared(truth):
    first = contender("a", truth, 1.0)
    with pytest.raises(ValueError, match="different names"):
        comparison_frame([first, first])
    with pytest.raises(ValueError, match="different names"):
        comparison_frame([])
    for others in (truth[:4], truth * 1.1, truth[::-1] * np.linspace(1, 2, 5)[:, None, None]):
        with pytest.raises(ValueError, match="same faces"):
            comparison_frame([first, contender("b", others, 1.0)])
    other = score(truth, truth, "300w_inter_ocular", threshold=0.1)
    with pytest.raises(ValueError, match="one threshold"):
        comparison_frame([first, dataclasses.replace(first, name="b", quantized=other)])


@pytest.mark.filterwarnings("ignore::tfalign.evaluation.EvaluationWarning")
def test_written_files_hold_all_models(truth, tmp_path):
    rows = [contender("<first>", truth, 1.0), contender("second", truth, 3.0, remark="a & b")]
    content = {"settings": {"seed": 7}, "versions": versions(), "rows": {}}
    output.write_comparison(rows, tmp_path, "All alike", ["one note"], content)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ced.png",
        "report.html",
        "results.json",
        "table.csv",
    ]
    page = (tmp_path / "report.html").read_text()
    for text in (
        "All alike",
        "&lt;first&gt;",
        "second: a &amp; b",
        "one note",
        "6.000",
        "GRegLRef",
    ):
        assert text in page
    table = pd.read_csv(tmp_path / "table.csv", index_col="model")
    np.testing.assert_allclose(table.loc["<first>", ["NME %", "int8 ms"]], [2.0, 0.75])
