"""Draws what TSR does between image and landmarks, as the paper's Figures 3 and 5.

    python recipes/two_stage_figures.py --model runs/tsr/model.keras --out runs/tsr/figures \\
        [--dataset 300w --data DIR --split afw] [--faces 10]

Without --data, faces are rendered. OUT/figure_3.png: boxes disturbed by ±30 % and ±30° (--augment)
above the faces that the global re-initialization makes of them. OUT/figure_5.png: the warped faces
with the coarse shape, and each part's patch with its refined landmarks.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfalign import training
from tfalign.argument_help import HelpFormatter
from tfalign.data import augment, readers, synthetic
from tfalign.data.pipeline import CropCache
from tfalign.evaluation import plots
from tfalign.evaluation.plots import png_bytes
from tfalign.layers import ShapeTransform
from tfalign.models import TwoStage


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a TwoStage")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder for the pictures"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set's folder")
    parser.add_argument("--dataset", choices=("wflw", "300w"), default="300w", help="what DIR is")
    parser.add_argument("--split", help="of the data set, e.g. afw or test")
    parser.add_argument("--faces", type=int, default=10, help="how many to draw")
    parser.add_argument("--augment", default="tsr_reinit", help="preset of tfalign.data.augment")
    parser.add_argument("--seed", type=int, default=0, help="of the disturbed boxes")
    return parser


def disturbed(arguments: argparse.Namespace, model: TwoStage) -> tuple[np.ndarray, np.ndarray]:
    """Returns crops of disturbed boxes, and landmarks in [0, 1]² of them."""
    data, dataset, split = arguments.data, arguments.dataset, arguments.split
    if data is None:
        data, dataset, split = arguments.out / "faces", "wflw", "test"
        synthetic.write_wflw(data, 1, arguments.faces, seed=arguments.seed)
    read = {"wflw": readers.wflw.read, "300w": readers.w300.read}[dataset]
    reader = read(data, split) if dataset == "wflw" else read(data, split and [split])
    samples = itertools.islice(reader, arguments.faces)
    cache = CropCache.build(samples, model.crop, model.image_size, margin=0.5)
    if model.scheme is not None:
        cache = cache.convert(model.scheme)
    preset = augment.get(arguments.augment)
    geometry_only = augment.AugmentConfig(
        rotation=preset.rotation, scale=preset.scale, translation=preset.translation
    )
    feed = training.CacheFeed(cache, len(cache), geometry_only, arguments.seed)
    images, landmarks = next(iter(feed.stream(0, 1)))
    return np.asarray(images), np.asarray(landmarks)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = options().parse_args(argv)
    model = keras.saving.load_model(arguments.model, compile=False)
    if not isinstance(model, TwoStage):
        raise SystemExit(f"--model must be a TwoStage. Received: {type(model).__name__}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    crops, landmarks = disturbed(arguments, model)
    results = {k: np.asarray(v) for k, v in model.intermediate_results(crops).items()}

    def pixels(name: str) -> np.ndarray:
        return np.asarray((results[name] + 1.0) * 127.5)

    warped = np.asarray(ShapeTransform()([landmarks, results["theta_global"]]))
    figure = plots.figure_3(crops, pixels("face"), warped)
    (arguments.out / "figure_3.png").write_bytes(png_bytes(figure))
    patches = {part: pixels(f"patch_{part}") for part in model.parts}
    points = {part: results[f"{part}_in_patch"] for part in model.parts}
    figure = plots.figure_5(pixels("face"), patches, points, results["coarse_in_face"])
    (arguments.out / "figure_5.png").write_bytes(png_bytes(figure))
    print(f"{len(crops)} faces in {arguments.out}/figure_3.png and figure_5.png")


if __name__ == "__main__":
    main()
