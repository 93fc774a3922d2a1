"""The contact sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tfalign.data.synthetic import contact_sheet, render


def test_tiles_are_the_first_faces_of_the_seed(tmp_path: Path) -> None:
    sheet = contact_sheet(tmp_path / "sheet.png", rows=2, cols=2, seed=4, size=64)
    written = cv2.cvtColor(cv2.imread(str(tmp_path / "sheet.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(sheet, written)
    np.testing.assert_array_equal(sheet[64:, :64], render(4, 2, 64).image)


def test_landmarks_are_marked_where_they_are(tmp_path: Path) -> None:
    marked = contact_sheet(tmp_path / "a.png", 1, 1, seed=4, landmarks=True, size=192)
    sample = render(4, 0, 192)
    changed = np.abs(marked.astype(int) - sample.image).sum(-1) > 0
    for x, y in np.floor(sample.landmarks).astype(int):
        assert changed[y, x]
    assert changed.mean() < 0.05


@pytest.mark.parametrize("changes", [{"rows": 0}, {"cols": -1}, {"path": "sheet.txt"}])
def test_rejects_bad_arguments(tmp_path: Path, changes: dict[str, object]) -> None:
    arguments: dict[str, object] = {"path": "sheet.png", "rows": 1, "cols": 1} | changes
    arguments["path"] = tmp_path / str(arguments["path"])
    with pytest.raises(ValueError, match="Received"):
        contact_sheet(**arguments)  # type: ignore[arg-type]


def test_rejects_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Received"):
        contact_sheet(tmp_path / "missing" / "sheet.png")
