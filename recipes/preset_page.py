"""Writes docs/results/presets.md: every shipped preset, and how its validation error fell.

    python recipes/preset_page.py

The table comes from the sidecars tfalign/weights/NAME.json, the picture from
docs/results/presets/NAME.csv (presentations, learning_rate, validation_nme, training_nme and
rough_nme, errors as fractions), where there is one. docs/results/presets/NAME.notes, where there is
one, follows the table as it is: what was compared on the way.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

from tfalign.cli.program import run_recipe
from tfalign.files import write_whole
from tfalign.models.weights import WEIGHTS_DIR, shipped_presets

PAGE = Path(__file__).resolve().parent.parent / "docs/results/presets.md"
LINES = {
    "validation_nme": "validation faces",
    "rough_nme": "the same, boxes 20 % too small or large, or 10 % beside",
    "training_nme": "training faces",
}


def row(name: str, sidecar: dict[str, Any], measured: dict[str, Any]) -> str:
    """Returns a line of the table: a preset on some faces."""
    config = sidecar["config"]
    file = f"of {' and '.join(f'`{member}`' for member in config.get('members', ()))}"
    if sidecar["file"] is not None:
        file = f"{(WEIGHTS_DIR / sidecar['file']).stat().st_size / 1e6:.2f} MB"
    cells = [
        f"`{name}`",
        sidecar["class"] + (f", trunk `{config['trunk']}`" if "trunk" in config else ""),
        str(config["num_landmarks"]),
        "×".join(str(side) for side in config["input_shape"][:2]),
        f"{sidecar['macc'] / 1e6:.1f}",
        f"{sidecar['params'] / 1e6:.2f} M",
        file,
        f"**{100 * measured['nme']:.2f} %** ± {100 * measured['nme_standard_error']:.2f}",
        f"{100 * measured['failure_rate']:.1f} %",
        f"{measured['faces']} faces of {measured['dataset']}, {measured['split']}",
    ]
    return "| " + " | ".join(cells) + " |"


def picture(rows: list[dict[str, str]], file: Path) -> None:
    """Draws the curves of one training."""
    import matplotlib.pyplot as plt

    from tfalign.evaluation.plots import png_bytes

    figure, axes = plt.subplots(figsize=(7, 3.5))
    for key, label in LINES.items():
        known = [r for r in rows if r.get(key)]
        axes.plot(
            [int(r["presentations"]) / 1000 for r in known],
            [100 * float(r[key]) for r in known],
            label=label,
        )
    axes.set(xlabel="faces seen, thousands", ylabel="NME in %", ylim=(2.5, 7))
    axes.grid(alpha=0.3)
    axes.legend()
    write_whole(file, png_bytes(figure))


def main() -> dict[str, Any]:
    lines = [
        "# Shipped weights",
        "",
        "Written by `recipes/preset_page.py` from the sidecars in `tfalign/weights`. Errors are",
        "inter-ocular, boxes from the landmarks, ± standard error over the faces, which were",
        "never trained on or chosen by. MMACC: million multiply-accumulates for one face.",
        "",
        "| preset | model | points | input | MMACC | parameters | file | NME | > 8 % | on |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            row(name, sidecar, measured)
            for name, sidecar in shipped_presets().items()
            for measured in (sidecar["measured"], *sidecar.get("also_measured", ()))
        ),
    ]
    for name, sidecar in shipped_presets().items():
        lines += ["", f"## {name}", "", sidecar["provenance"], "", sidecar["licence"]]
        curve = PAGE.parent / "presets" / f"{name}.csv"
        if curve.is_file():
            with curve.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            picture(rows, curve.with_suffix(".png"))
            lines += ["", f"![Error while it trained](presets/{name}.png)"]
        notes = curve.with_suffix(".notes")
        if notes.is_file():
            lines += ["", notes.read_text(encoding="utf-8").strip()]
    write_whole(PAGE, "\n".join(lines) + "\n")
    print(PAGE)
    return {"page": str(PAGE)}


if __name__ == "__main__":
    sys.exit(run_recipe(main))
