"""LFPW: rows of several workers, dead addresses, columns."""

from __future__ import annotations

import numpy as np
import pytest

from tfalign.data.readers import lfpw29


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["lfpw29"].build(tmp_path, rng)
    return tmp_path


def rewrite(root, change):
    path = root / lfpw29.FILES["train"]
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n")


def test_dead_addresses_are_counted_and_not_fatal(root):
    reader = lfpw29.read(root)
    assert len(reader) == 2
    assert [problem.where.rsplit(":")[-1] for problem in reader.report.noted] == ["8"]
    assert "1 noted" in reader.report.table()


def test_workers_and_ears(root):
    reader = lfpw29.read(root, worker="worker_1")
    assert reader[0].attributes["worker"] == "worker_1"
    assert reader[0].attributes["url"] == "http://host/p1.jpg?a=1"
    assert len(lfpw29.POINTS) == lfpw29.NUM_POINTS == 29
    assert not any("ear_" in point for point in lfpw29.POINTS)
    with pytest.raises(ValueError, match=r"\['average', 'worker_0'.*Received: worker='me'"):
        lfpw29.read(root, worker="me")


def test_images_under_the_last_part_of_their_address(root):
    (root / "train" / "image_0001.png").rename(root / "train" / "p1.jpg")
    assert lfpw29.read(root)[0].name == "train/p1.jpg"


def test_commas_and_columns_by_name(root):
    before = lfpw29.read(root)[0].landmarks

    def move_first_point_to_the_end(rows):
        rows[:] = [[*row[:2], *row[5:], *row[2:5]] for row in rows]

    rewrite(root, move_first_point_to_the_end)
    path = root / lfpw29.FILES["train"]
    path.write_text(path.read_text().replace("\t", ","))
    np.testing.assert_array_equal(lfpw29.read(root)[0].landmarks, before)


def test_points_hidden_by_the_border_may_lie_anywhere(root):
    def hide(rows):
        rows[4][2:5] = ["-900", "3", "3"]

    rewrite(root, hide)
    sample = lfpw29.read(root)[0]
    assert sample.attributes["types"][0] == 3
    assert not sample.visible[0]


@pytest.mark.parametrize(
    ("kind", "line", "change"),
    [
        ("malformed-line", 1, lambda rows: rows[0].pop(7)),
        ("malformed-line", 1, lambda rows: rows[0].__setitem__(slice(2, 4), rows[0][3:1:-1])),
        ("malformed-line", 5, lambda rows: rows[4].pop()),
        ("malformed-line", 5, lambda rows: rows[4].__setitem__(4, "7")),
        ("malformed-line", 5, lambda rows: rows[4].__setitem__(3, "x")),
        ("not-finite", 5, lambda rows: rows[4].__setitem__(3, "inf")),
        ("duplicate", 6, lambda rows: rows.insert(4, rows[4])),
    ],
)
def test_bad_rows(root, kind, line, change):
    rewrite(root, change)
    with pytest.raises(ValueError, match=rf"_train\.csv:{line}: ") as caught:
        lfpw29.read(root)
    assert caught.value.problem.kind == kind
    if line > 1:
        assert lfpw29.read(root, on_error="skip").report.counts == {kind: 1}
