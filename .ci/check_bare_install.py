"""Checks that the package without extras finds landmarks, and that errors name the extras."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np

from tfalign.inference import Aligner

EXTRAS = ("pandas", "matplotlib", "scipy", "sklearn", "ai_edge_litert")


def main() -> None:
    """Aligns a drawn picture with a given box, and asks for a command that needs an extra."""
    present = [name for name in EXTRAS if importlib.util.find_spec(name) is not None]
    assert not present, f"a bare environment must not have {present}"
    picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    (face,) = Aligner("300w").align(picture, boxes=[(100.0, 60.0, 220.0, 180.0)])
    assert face.landmarks.shape == (68, 2)
    assert np.isfinite(face.landmarks).all()
    command = [sys.executable, "-m", "tfalign", "render", "--out", "faces", "--train", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "extra 'train'" in done.stderr, done.stderr
    print("landmarks without extras; errors name the extra")


if __name__ == "__main__":
    main()
