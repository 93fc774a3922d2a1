import numpy as np
import pytest

from tfalign.evaluation.subsets import WFLW_ATTRIBUTES, subsets_of, w300_subsets, wflw_subsets


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
