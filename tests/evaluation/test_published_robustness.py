from tfalign.evaluation import published
from tfalign.evaluation import published_robustness as paper


def test_table_1_repeats_in_tables_2_and_3():
    for method in paper.METHODS:
        official = paper.DETECTOR_TABLE["OD"][method]
        assert paper.PERTURBATION_TABLE["scale"][method][0] == official[2]
        printed = {
            r.subset: r.value
            for r in published.find("300w_inter_ocular", source="TSR")
            if r.method == f"TSR {method}"
        }
        assert (printed["common"], printed["challenging"], printed["full"]) == official


def test_errors_grow_with_the_perturbation():
    for kind, rows in paper.PERTURBATION_TABLE.items():
        for method, values in rows.items():
            assert len(values) == 5
            if (kind, method) != ("scale", "Proposed-"):  # 5.27, then 5.17
                assert list(values) == sorted(values)
            assert values[-1] >= paper.PERTURBATION_TABLE[kind]["Proposed"][-1]


def test_rows_by_kind():
    assert paper.rows("scale")["TSR Proposed"][0.3] == 5.11
    assert paper.rows("translation")["TSR Baseline2"][0.2] == 8.48
    assert paper.rows("rotation")["TSR Baseline1"][20.0] == 9.35
    boxes = {"detector": 9.98, "dlib": 7.96, "file": 6.12, "landmarks": 5.71}
    assert paper.rows("box")["TSR Baseline1"] == boxes
    assert paper.rows("none") == {}
