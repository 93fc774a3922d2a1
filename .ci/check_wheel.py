"""Checks that the two wheels hold every module and data file, once, and nothing else.

python .ci/check_wheel.py tfalign-….whl tfalign_weights-….whl
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 25_000_000  # bytes
DATA = (
    "weights/*.npz",
    "weights/*.weights.h5",
    "weights/*.keras",
    "weights/*.json",
    "weights/*/int8/*",
    "py.typed",
    "evaluation/*.json",
    "tflite/*.json",
    "cli/help/*.txt",
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
    names: list[str] = []
    for wheel in map(Path, sys.argv[1:]):
        with zipfile.ZipFile(wheel) as file:
            found = [name for name in file.namelist() if ".dist-info/" not in name]
        print(f"{wheel.name}: {len(found)} files, {wheel.stat().st_size} bytes")
        if wheel.stat().st_size > LARGEST:
            sys.exit(f"{wheel.name} must have at most {LARGEST} bytes")
        names += found
    wanted = expected()
    missing, surplus = sorted(wanted - {*names}), sorted({*names} - wanted)
    twice = sorted(name for name in {*names} if names.count(name) > 1)
    for room in ("tfalign/", "mobile_export/"):
        if not any(name.startswith(room) for name in names):
            missing.append(room)
    if missing or surplus or twice:
        sys.exit(f"missing: {missing}\nnot expected: {surplus}\nin both: {twice}")


if __name__ == "__main__":
    main()
