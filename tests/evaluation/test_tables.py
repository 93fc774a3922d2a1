import numpy as np
import pytest

from tfalign import markup
from tfalign.evaluation import comparison_table, part_table, published, score, subset_table
from tfalign.evaluation.tables import (
    WFLW_ATTRIBUTES,
    format_cell,
    format_table,
    subsets_of,
    w300_subsets,
    wflw_subsets,
)
from tfalign.metrics.normalizers import NoNormalizer


@pytest.fixture
def found(rng):
    truth = rng.uniform(0, 100, (6, 68, 2))
    truth[:, 36], truth[:, 45] = (30, 40), (80, 40)
    return score(truth + rng.normal(0, 3, truth.shape), truth, "300w_inter_ocular")


def test_subset_table_has_papers_rows(found):
    mask = np.array([True, True, False, False, False, False])
    table = subset_table(found, {"common": mask, "full": ~np.zeros(6, bool)})
    assert list(table.index) == ["faces", "NME %", "FR@8 %", "AUC@8"]
    assert table.loc["faces", "common"] == 2
    assert table.loc["NME %", "full"] == pytest.approx(100 * found.errors.mean())
    assert table.loc["NME %", "common"] == pytest.approx(100 * found.errors[:2].mean())
    assert table.loc["AUC@8", "full"] == pytest.approx(found.auc)


def test_limits_in_pixels_say_so(rng):
    truth = rng.uniform(0, 100, (4, 68, 2))
    pixels = score(truth + 3.0, truth, NoNormalizer("ibug68"), threshold=2.5)
    table = subset_table(pixels, {"all": np.ones(4, bool)})
    assert list(table.index) == ["faces", "NME px", "FR@2.5px %", "AUC@2.5px"]
    assert table["all"].tolist() == [4, pytest.approx(3 * 2**0.5), 100.0, 0.0]


def test_part_errors_average_to_the_nme(found):
    table = part_table(found)
    assert list(table.index) == [*markup.IBUG68.parts, "all"]
    assert table.loc["all", "NME %"] == pytest.approx(100 * found.nme)
    parts = table.drop("all")
    weighted = (parts["NME %"] * parts["points"]).sum() / parts["points"].sum()
    assert weighted == pytest.approx(100 * found.nme)
    mouth = list(markup.IBUG68.parts["mouth"])
    assert table.loc["mouth", "NME %"] == pytest.approx(100 * found.point_errors[:, mouth].mean())
    worst = markup.IBUG68.points[int(found.point_errors.mean(axis=0).argmax())]
    assert table.loc["all", "worst point"] == worst


def test_part_table_leaves_out_points_that_nobody_counts(rng):
    truth = rng.uniform(0, 100, (3, 68, 2))
    truth[:, 36], truth[:, 45] = (30, 40), (80, 40)
    contour = [markup.IBUG68.points[i] for i in markup.IBUG68.parts["contour"]]
    table = part_table(score(truth + 1, truth, "300w_inter_ocular", missing=contour))
    assert "contour" not in table.index
    assert table.loc["all", "points"] == 51


def test_comparison_puts_ours_first_and_the_best_published_next():
    rows = published.find("300w_inter_ocular", source="GRegLRef")
    table = comparison_table({"mine": {"full": 3.5, "all": 3.5}}, rows)
    assert table.index[0] == "mine"
    assert table.loc["mine", "source"] == "measured here"
    assert list(table.columns) == ["common", "challenging", "full", "all", "source"]
    theirs = table["full"].iloc[1:].to_list()
    assert theirs == sorted(theirs)
    assert table.index[1] == "GRegLRef"
    assert np.isnan(table.loc["GRegLRef", "all"])


def test_comparison_keeps_a_published_method_of_the_same_name_apart():
    rows = published.find("300w_inter_ocular", source="Table 3")
    table = comparison_table({"GRegLRef": {"full": 9.0}}, rows)
    assert table.loc["GRegLRef", "full"] == 9.0
    assert table.loc["GRegLRef (published)", "full"] == 3.12


def test_formatting(found):
    assert format_cell(3) == "3"
    assert format_cell(float("nan")) == "-"
    assert format_cell(0.5, 2) == "0.50"
    assert format_cell(np.int64(7)) == "7"
    text = format_table(subset_table(found, {"all": ~np.zeros(6, bool)}))
    assert f"{100 * found.nme:.3f}" in text
    assert " 6\n" in text


def test_wflw_columns_are_full_and_the_six_flags_in_the_papers_order():
    faces = [dict.fromkeys(WFLW_ATTRIBUTES, False) for _ in range(8)]
    for index, flag in enumerate(WFLW_ATTRIBUTES):
        faces[index][flag] = True
    faces[0]["blur"] = True
    subsets = wflw_subsets(faces)
    assert list(subsets) == ["full", *WFLW_ATTRIBUTES]
    assert subsets["full"].sum() == 8
    assert subsets["blur"].tolist() == [True, *[False] * 4, True, False, False]
    assert subsets["pose"].sum() == 1


def test_wflw_flags_must_be_known_for_all_faces_or_none():
    assert list(wflw_subsets([{}, {}])) == ["full"]
    assert list(wflw_subsets([{"pose": "0"}, {"pose": "1"}])) == ["full"]  # a table's own column
    with pytest.raises(ValueError, match="1 of 2 faces with it"):
        wflw_subsets([{"pose": True}, {}])


def test_300w_columns():
    names = [
        "helen/testset/1.jpg",
        "lfpw/testset/2.png",
        "ibug/ibug/3.jpg",
        "ibug/3.jpg",
        "afw/4.jpg",
    ]
    subsets = w300_subsets(names)
    assert list(subsets) == ["common", "challenging", "full"]
    np.testing.assert_array_equal(subsets["common"], [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(subsets["challenging"], [0, 0, 1, 1, 0])
    assert subsets["full"].all()
    assert list(w300_subsets(["helen/testset/1.jpg"])) == ["common", "all"]
    assert list(w300_subsets(["helen/trainset/1.jpg"])) == ["all"]
    assert list(w300_subsets(["01_Indoor/1.png", "02_Outdoor/2.png"])) == [
        "indoor",
        "outdoor",
        "all",
    ]


def test_other_sets_have_one_column():
    assert list(subsets_of("aflw19", ["a", "b"], [{}, {}])) == ["all"]
    assert list(subsets_of("wflw", ["a"], [{}])) == ["full"]
    assert list(subsets_of("300w", ["ibug/a.jpg"], [{}])) == ["challenging", "all"]
