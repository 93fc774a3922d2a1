"""Lists the weights that ship with the package, or tells about one of them.

    tfalign models
    tfalign models 300w
    tfalign models wflw98_rendered --json

Of each it tells the points, the input, the multiply-accumulates, and the error on faces that were
kept apart; of one also how it was trained and the terms that bind its use. Wherever a command takes
a model's file, it takes one of these names.
"""

from __future__ import annotations

import argparse
from typing import Any

from tfalign.argument_help import ArgumentParser
from tfalign.models import ARCHITECTURES, shipped_presets


def options(prog: str = "tfalign models") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("preset", nargs="?", metavar="NAME", help="Weights to tell about.")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Prints; returns the sidecars of the presets that were asked for, by name.

    Raises:
        ValueError: If there is no such preset.
    """
    presets, name = shipped_presets(), arguments.preset
    if name is None:
        width = max(map(len, presets))
        for known, sidecar in presets.items():
            print(f"{known:<{width}}  {_summary(sidecar)}")
        print(
            "\nMMACC: million multiply-accumulates for one face; error: NME in % ± standard error."
        )
        print(f"Architectures to train: {', '.join(ARCHITECTURES)}")
        return {"presets": dict(presets)}
    if name not in presets:
        raise ValueError(
            f"Weights must be one of {', '.join(presets)}. `tfalign models` lists them. "
            f"Received: {name!r}"
        )
    sidecar = presets[name]
    measured = sidecar["measured"]
    print(f"{name}: {_summary(sidecar)}")
    print(f"\n{sidecar['provenance']}")
    print(
        f"\nMeasured on {measured['faces']} faces of {measured['dataset']}, {measured['split']}, "
        f"protocol {measured['protocol']}, box: {measured['box']}."
    )
    print(f"\nTerms: {sidecar['licence']}")
    return {"presets": {name: sidecar}}


def _summary(sidecar: dict[str, Any]) -> str:
    config, measured = sidecar["config"], sidecar["measured"]
    height, width = config["input_shape"][:2]
    return (
        f"{sidecar['class']}, {config['num_landmarks']} points, {height}×{width} px, "
        f"{sidecar['macc'] / 1e6:.1f} MMACC, {sidecar['params'] / 1e6:.2f} M parameters, "
        f"error {100 * measured['nme']:.2f} % ± {100 * measured['nme_standard_error']:.2f}"
    )
