"""Checks that a wheel holds every module and data file of the two packages, and nothing else."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = (
    "weights/*.npz",
    "weights/*.weights.h5",
    "weights/*.keras",
    "weights/*.json",
    "weights/*/int8/*",
    "py.typed",
    "evaluation/*.json",
    "tflite/*.json",
)


def expected() -> set[str]:
    """Paths that the wheel must hold, as the working tree has them."""
    modules = {
        p for package in ("tfalign", "mobile_export") for p in (ROOT / package).rglob("*.py")
    }
    modules.add(ROOT / "tfalign_command.py")
    data = {p for pattern in DATA for p in (ROOT / "tfalign").glob(pattern)}
    return {p.relative_to(ROOT).as_posix() for p in modules | data}


def main() -> None:
    """Compares, and fails with the differences."""
    with zipfile.ZipFile(sys.argv[1]) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    wanted = expected()
    missing, surplus = sorted(wanted - names), sorted(names - wanted)
    for room in ("tfalign/", "mobile_export/"):
        if not any(name.startswith(room) for name in names):
            missing.append(room)
    if missing or surplus:
        sys.exit(f"{sys.argv[1]}\n  missing: {missing}\n  not expected: {surplus}")
    print(f"{Path(sys.argv[1]).name}: {len(names)} files, {Path(sys.argv[1]).stat().st_size} bytes")


if __name__ == "__main__":
    main()
