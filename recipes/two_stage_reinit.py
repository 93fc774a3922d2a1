"""Step 1 of TSR alone: learns to bring faces in wrong boxes to one place, size and angle.

    python recipes/two_stage_reinit.py --out runs/reinit                # renders synthetic faces
    python recipes/two_stage_reinit.py --data DIR --dataset 300w --out runs/reinit_300w \\
        --init-weights runs/reinit/model.keras

Trains the global re-initialization (θg supervised by θ*, Equation 3) on boxes that are wrong by up
to ±30 % in size, ±30 % in place along each axis and ±30° in angle (--augment tsr_reinit), and
measures on held-out faces how much of that is left: the spread of rotation, scale and centre in
the crops, and in the faces warped by θg. OUT/ receives residuals.json, figure_3.png (crops above
the warped faces, as the paper's Figure 3), history.csv and model.keras. A killed run continues when
the same command is given again. Steps 2 to 4 go on from there:

    python recipes/train_300w.py --data DIR --model two_stage --width 0.25 --crop tsr \\
        --augment tsr --init-weights runs/reinit_300w/model.keras --schedule regression \\
        --out runs/regression

DIR is 300-W's folder, or WFLW's (--dataset wflw), whose 98 points are converted to 68.

Measured on one core, 8,000 + 400 faces of 224 pixels rendered by tfalign render, --limit 4000
--holdout 400 --image-size 112 --steps 4500, then --steps 3500 --rate 1.5e-3 from there (20 minutes
in all): of the spread of 360 test faces 30 % is left of the rotation's 19.8 degrees, 48 % of the
scale's, 34 % of the centre's. From the first of the two, --dataset 300w --steps 1000 --image-size
112 on AFW and the training part of Helen (3 minutes): 28, 38 and 16 % on the 120 held-out faces.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import training
from tfalign.argument_help import HelpFormatter
from tfalign.cli import train as command
from tfalign.data import augment
from tfalign.data.pipeline import CropCache
from tfalign.data.readers import Reader
from tfalign.data.sample import Sample
from tfalign.evaluation import plots, stages
from tfalign.evaluation.plots import png_bytes
from tfalign.layers import ShapeTransform

MARGIN = 0.5
"""Surroundings kept of each face, as a share of the nominal crop: boxes move far."""
BATCH, SHOWN = 60, 10


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="Folder of the run.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="Folder of the data set.")
    parser.add_argument("--dataset", choices=("wflw", "300w"), default="wflw", help="What DIR is.")
    parser.add_argument(
        "--holdout", type=int, default=120, metavar="FACES", help="How many faces to measure on."
    )
    parser.add_argument(
        "--limit", type=int, metavar="FACES", help="Train on so many faces, the first ones, only."
    )
    parser.add_argument(
        "--synthetic-faces", type=int, nargs=2, default=(4000, 400), metavar=("TRAIN", "TEST"),
        help="How many faces to render where no --data is given.",
    )  # fmt: skip
    command.add_model_options(parser, "two_stage")
    command.add_settings(parser, schedule="reinit", augment="tsr_reinit")
    command.add_device_options(parser)
    return parser


def faces_of(arguments: argparse.Namespace, writes: bool) -> tuple[Reader, Reader]:
    """Returns what to train on and what to measure on; renders faces where none are given."""
    data = arguments.data
    if data is None:
        data = command.render(arguments, writes)
    faces = command.read_faces(arguments.dataset, data, arguments.holdout)
    test = faces.test if arguments.dataset == "300w" else faces.test[: arguments.holdout]
    return faces.train, test


def tight_cache(reader: Reader, size: tuple[int, int], limit: int | None = None) -> CropCache:
    """Crops by the landmarks' own boxes, whatever box the data set has, with 68 points."""

    def samples() -> Iterator[Sample]:
        for sample in itertools.islice(reader, limit):
            box = np.concatenate([sample.landmarks.min(axis=0), sample.landmarks.max(axis=0)])
            yield dataclasses.replace(sample, box=box.astype(np.float32), box_source="landmarks")

    return CropCache.build(samples(), "tsr", size, margin=MARGIN).convert("ibug68")


def disturbed(cache: CropCache, count: int, config: Any, seed: int) -> tuple[Any, Any]:
    """Returns the crops (count, h, w, 3) and landmarks (count, n, 2) of disturbed boxes."""
    geometry_only = augment.AugmentConfig(
        rotation=config.rotation, scale=config.scale, translation=config.translation
    )
    feed = training.CacheFeed(cache, min(count, BATCH), geometry_only, seed)
    batches = [(np.asarray(images), np.asarray(points)) for images, points in feed.stream(0, 1)]
    images, landmarks = (np.concatenate(part) for part in zip(*batches, strict=True))
    return images, landmarks


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = options().parse_args(argv)
    command.check_paths(arguments)
    distribution = command.connect(arguments)
    faces, test_faces = faces_of(arguments, distribution.writes)
    chosen = {"width": 0.25, "image_size": (112, 112), **command.given_options(arguments)}
    test = tight_cache(test_faces, chosen["image_size"])
    settings = command.given_settings(arguments)
    result = training.train(
        arguments.model,
        tight_cache(faces, chosen["image_size"], arguments.limit),
        options={**chosen, "crop": "tsr"},
        out=arguments.out,
        distribution=distribution,
        **{**settings, "validation": 0},
    )
    model = result.model

    config = augment.presets.get(arguments.augment)
    crops, landmarks = disturbed(test, len(test), config, seed=settings.get("seed", 0) + 1)
    parts = [model.intermediate_results(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)]
    found = {
        key: np.concatenate([np.asarray(part[key]) for part in parts])
        for key in ("theta_global", "face")
    }
    warped = np.asarray(ShapeTransform()([landmarks, found["theta_global"]]))
    before = stages.spread(landmarks, model.canonical_shape)
    after = stages.spread(warped, model.canonical_shape)
    summary = {
        "faces": len(crops),
        "before": before.to_dict(),
        "after": after.to_dict(),
        "share_left": {k: v / before.to_dict()[k] for k, v in after.to_dict().items()},
        "seconds": result.summary["seconds"],
    }
    (arguments.out / "residuals.json").write_text(json.dumps(summary, indent=2) + "\n")
    pictures = (found["face"][:SHOWN] + 1.0) * 127.5
    figure = plots.figure_3(crops[:SHOWN], pictures, warped[:SHOWN])
    (arguments.out / "figure_3.png").write_bytes(png_bytes(figure))
    print(
        f"spread of {len(crops)} faces, crop → warped: rotation {before.rotation:.2f}° → "
        f"{after.rotation:.2f}°, log scale {before.scale:.4f} → {after.scale:.4f}, centre "
        f"{before.centre:.4f} → {after.centre:.4f} of the frame's side"
    )
    return summary


if __name__ == "__main__":
    main()
