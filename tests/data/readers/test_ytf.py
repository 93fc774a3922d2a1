"""YouTube Faces frames: names, rows, bad rows."""

from __future__ import annotations

import pytest

from tfalign.data.readers import ytf


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["ytf"].build(tmp_path, rng)
    return tmp_path


def test_person_and_video_come_from_the_name(root):
    reader = ytf.read(root, "train")
    assert [dict(sample.attributes) for sample in reader] == [
        {"person": "Ann_Lee", "video": 0},
        {"person": "Ann_Lee", "video": 15},
    ]


@pytest.mark.parametrize(
    ("kind", "line", "change"),
    [
        ("malformed-line", 1, lambda text: text.replace(",0,1,", ",1,0,", 1)),
        ("malformed-line", 3, lambda text: text[:-1]),
        ("malformed-line", 3, lambda text: text.replace("Ann_Lee_151.jpg", "../Ann_Lee_151.jpg")),
        ("malformed-line", 3, lambda text: text.replace("_151.jpg", "_x.jpg")),
        ("wrong-number-of-points", 3, lambda text: text[:-1] + ",1.0\n"),
        ("not-finite", 3, lambda text: text[: text.rindex(",")] + ",nan\n"),
        ("missing-image", 3, lambda text: text.replace("_151.jpg", "_152.jpg")),
        ("duplicate", 4, lambda text: text + text.splitlines()[2] + "\n"),
    ],
)
def test_bad_rows(root, kind, line, change):
    path = root / ytf.FILES["training"]
    path.write_text(change(path.read_text()))
    with pytest.raises((ValueError, FileNotFoundError), match=rf"points\.csv:{line}: ") as caught:
        ytf.read(root)
    assert caught.value.problem.kind == kind
    if line > 1:
        assert ytf.read(root, on_error="skip").report.counts == {kind: 1}
