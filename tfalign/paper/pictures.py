"""The papers' figures that show faces, maps and stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfalign import geometry
from tfalign.data.augment import AugmentConfig
from tfalign.data.augment import get as augmentation
from tfalign.data.pipeline import CropCache, evaluation_arrays
from tfalign.evaluation import plots, stages
from tfalign.evaluation.scores import Score
from tfalign.files import write_whole
from tfalign.inference.overlay import draw_landmarks
from tfalign.paper.measures import Bench, mask_of
from tfalign.paper.trainings import divided
from tfalign.training.validation import Validation, stage_predictor

SHOWN = 8
"""Faces in a picture."""
SIDE = 160
"""Side of a picture of a face, in pixels."""


def _crops(bench: Bench, label: str, count: int | None = SHOWN) -> CropCache:
    """Returns the first test faces of a row, cropped for its model.

    Raises:
        FileNotFoundError: If its test faces are not there.
    """
    faces, _ = bench.needed_faces(label, next(iter(bench.item.columns), None))
    reader = faces if count is None else faces.subset(list(faces.records)[:count])
    model = bench.model(label)
    return CropCache.build(reader, model.crop, model.image_size, margin=0.5)


def _save(bench: Bench, name: str, rows: Sequence[Sequence[np.ndarray]]) -> dict[str, Any]:
    """Writes pictures of one size, tiled in rows, and says of which faces they are.

    Shorter rows are filled with white.
    """
    width = max(map(len, rows))
    white = np.full_like(rows[0][0], 255)
    filled = [np.concatenate([*row, *[white] * (width - len(row))], axis=1) for row in rows]
    write_whole(bench.out / name, plots.image_bytes(np.concatenate(filled, axis=0)))
    return {"text": _shown(bench), "pictures": [name]}


def _shown(bench: Bench) -> str:
    """Returns which faces are shown, in words."""
    column = next(iter(bench.item.columns), None)
    found = (bench.needed_faces(label, column) for label in bench.rows)
    about = (
        f"the first {min(SHOWN, len(faces))} of {len(faces)} ({what})" for faces, what in found
    )
    return f"faces: {'; '.join(dict.fromkeys(about))}"


def _picture(crop: np.ndarray, unit_points: np.ndarray, scheme: Any) -> np.ndarray:
    """Returns a crop (H, W, 3) at the pictures' size with a shape (n, 2) in [0, 1]² drawn on it."""
    import cv2

    shown = cv2.resize(np.clip(crop, 0, 255).astype(np.uint8), (SIDE, SIDE))
    return draw_landmarks(shown, geometry.pixel_from_unit(unit_points, (SIDE, SIDE)), scheme)


def examples(bench: Bench) -> dict[str, Any]:
    """Draws each model's landmarks on the same faces, a row for each model."""
    rows = []
    for label in bench.rows:
        model = bench.model(label)
        crops = evaluation_arrays(_crops(bench, label))[0]
        points = np.asarray(model.predict_on_batch(crops))
        pairs = zip(crops, points, strict=True)
        rows.append([_picture(crop, shape, model.scheme) for crop, shape in pairs])
    return _save(bench, "landmarks.png", rows)


def stage_shapes(bench: Bench) -> dict[str, Any]:
    """Draws the shapes of every stage, a row for each face, and each model's last ones."""
    rows: list[list[np.ndarray]] = []
    for label in bench.rows:
        model = bench.model(label)
        crops = evaluation_arrays(_crops(bench, label))[0]
        shapes = np.asarray(model.stage_shapes(crops))
        rows += [
            [_picture(crop, shape, model.scheme) for shape in face]
            for crop, face in zip(crops, shapes, strict=True)
        ]
    return _save(bench, "stages.png", rows)


def feature_maps(bench: Bench) -> dict[str, Any]:
    """Draws the mean absolute map of the first three sizes of feature maps, each normalised.

    Reading: the paper shows normalised and equalised maps without saying which channels.
    """
    import cv2
    import keras

    label = next(iter(bench.rows))
    model = bench.model(label)
    last: dict[int, Any] = {}
    for layer in model.layers:
        output = layer.output
        if not isinstance(output, (list, tuple)) and len(output.shape) == 4:
            last[int(output.shape[1])] = output
    sizes = sorted((size for size in last if size > 1), reverse=True)
    shallow = keras.Model(model.input, [last[size] for size in sizes[:3]])
    crops = evaluation_arrays(_crops(bench, label))[0]
    maps = [np.abs(np.asarray(m)).mean(axis=-1) for m in shallow.predict_on_batch(crops)]
    rows = [[cv2.resize(np.asarray(crop, np.uint8), (SIDE, SIDE)) for crop in crops]]
    for found in maps:
        row = []
        for one in found:
            grey = (255 * (one - one.min()) / max(float(np.ptp(one)), 1e-9)).astype(np.uint8)
            equal = cv2.equalizeHist(cv2.resize(grey, (SIDE, SIDE)))
            row.append(np.repeat(equal[..., None], 3, axis=2))
        rows.append(row)
    return _save(bench, "feature_maps.png", rows)


def heatmaps(bench: Bench) -> dict[str, Any]:
    """Draws faces, and below each the largest of its last unit's heatmaps at every cell."""
    import cv2

    label = next(iter(bench.rows))
    model = bench.model(label)
    crops = evaluation_arrays(_crops(bench, label))[0]
    outputs = model.training_model.predict_on_batch(crops)
    found = np.asarray(outputs[f"heatmap_{model.units}"]).max(axis=-1)
    below = []
    for one in found:
        grey = (255 * np.clip(one / max(float(one.max()), 1e-9), 0, 1)).astype(np.uint8)
        below.append(np.repeat(cv2.resize(grey, (SIDE, SIDE))[..., None], 3, axis=2))
    faces = [cv2.resize(np.asarray(crop, np.uint8), (SIDE, SIDE)) for crop in crops]
    return _save(bench, "heatmaps.png", [faces, below])


def _stages(bench: Bench, label: str, faces: Any) -> tuple[Score, ...]:
    """Measures every stage of a row's model on faces, by the item's protocol."""
    model = bench.model(label)
    cache = CropCache.build(faces, model.crop, model.image_size)
    crops = Validation.from_cache(cache, bench.item.columns[0].protocol)
    shapes = crops.predict_all(stage_predictor(model.stage_model))
    return tuple(crops.score(shapes[:, stage]) for stage in range(shapes.shape[1]))


def _test_stages(bench: Bench) -> dict[str, list[stages.StageErrors]]:
    """Returns the stages of every row for each of the item's subsets that is there.

    All test faces take their place where none is there, as among held-out training faces.
    """
    found: dict[str, list[stages.StageErrors]] = {}
    for label in bench.rows:
        reader, what = bench.needed_faces(label)
        scores = _stages(bench, label, reader)
        masks = {column.subset: mask_of(reader, column) for column in bench.item.columns}
        there = {subset: mask for subset, mask in masks.items() if mask is not None}
        for subset, mask in (there or {"all": np.ones(len(reader), np.bool_)}).items():
            faces = f"{subset}: {mask.sum()} faces ({what})"
            parts = tuple(score.subset(mask) for score in scores)
            found.setdefault(subset, []).append(stages.StageErrors(label, faces, parts))
    return found


def bias_variance(bench: Bench) -> dict[str, Any]:
    """Draws bias and variance of each stage (DeepReg, Figure 2)."""
    (found,) = _test_stages(bench).values()
    write_whole(bench.out / "stages.csv", stages.stage_csv(found))
    name = bench.save_figure("bias_variance.png", plots.bias_variance_plot(found))
    return {"text": stages.stage_csv(found), "pictures": [name]}


def stage_errors(bench: Bench) -> dict[str, Any]:
    """Draws the error of each stage on training, watched and test faces (DeepReg, Figure 4)."""
    found = []
    for label in bench.rows:
        training = bench.training(label)
        whole, _ = bench.shop.training_faces(training)
        trained, watched = divided(whole, training, bench.shop)
        for faces, name in ((trained, "training"), (watched, "validation")):
            if faces is not None:
                about = f"{name}: {len(faces)} faces"
                found.append(stages.StageErrors(label, about, _stages(bench, label, faces)))
    (tested,) = _test_stages(bench).values()
    found += tested
    write_whole(bench.out / "stages.csv", stages.stage_csv(found))
    styles = dict(zip(bench.rows, ("--", "-", ":", "-."), strict=False))
    name = bench.save_figure("stage_errors.png", plots.stage_error_plot(found, styles))
    return {"text": stages.stage_csv(found), "pictures": [name]}


def stage_curves(bench: Bench) -> dict[str, Any]:
    """Draws the CED of every stage of every model, for each subset (DSSD, Figure 9)."""
    found = _test_stages(bench)
    pictures = []
    for subset, results in found.items():
        curves = {
            f"{result.model}, stage {stage}": score
            for result in results
            for stage, score in enumerate(result.scores)
        }
        pictures.append(bench.save_figure(f"ced_of_stages_{subset}.png", plots.ced_plot(curves)))
    text = stages.stage_csv([result for results in found.values() for result in results])
    write_whole(bench.out / "stages.csv", text)
    return {"text": text, "pictures": pictures}


def _disturbed(bench: Bench, label: str, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns crops of boxes disturbed by ±30 % and ±30°, and landmarks in [0, 1]² of them."""
    from tfalign.training import CacheFeed

    cache = _crops(bench, label, count)
    preset = augmentation("tsr_reinit")
    geometry_only = AugmentConfig(
        rotation=preset.rotation, scale=preset.scale, translation=preset.translation
    )
    feed = CacheFeed(cache, min(len(cache), 60), geometry_only, 1)
    batches = [(np.asarray(images), np.asarray(shapes)) for images, shapes in feed.stream(0, 1)]
    images, landmarks = (np.concatenate(part) for part in zip(*batches, strict=True))
    return images, landmarks


def reinitialized(bench: Bench) -> dict[str, Any]:
    """Draws disturbed crops above the faces that θg makes of them, and measures what is left."""
    from tfalign.layers import ShapeTransform

    label = next(iter(bench.rows))
    model = bench.model(label)
    crops, landmarks = _disturbed(bench, label, 120)
    results = model.intermediate_results(crops)
    face, theta = np.asarray(results["face"]), np.asarray(results["theta_global"])
    warped = np.asarray(ShapeTransform()([landmarks, theta]))
    before = stages.spread(landmarks, model.canonical_shape).to_dict()
    after = stages.spread(warped, model.canonical_shape).to_dict()
    left = {key: value / before[key] for key, value in after.items()}
    pictures = (face[:SHOWN] + 1.0) * 127.5
    figure = plots.figure_3(crops[:SHOWN], pictures, warped[:SHOWN])
    name = bench.save_figure("figure_3.png", figure)
    text = ", ".join(f"{100 * value:.0f} % of the {key}" for key, value in left.items())
    about = f"left of the spread of {len(crops)} faces' disturbed boxes"
    return {
        "text": f"{about}: {text}\n{_shown(bench)}",
        "before": before,
        "after": after,
        "pictures": [name],
    }


def parts(bench: Bench) -> dict[str, Any]:
    """Draws the warped faces with the coarse shape, and the patches of the parts."""
    label = next(iter(bench.rows))
    model = bench.model(label)
    crops, _ = _disturbed(bench, label, SHOWN)
    results = {k: np.asarray(v) for k, v in model.intermediate_results(crops).items()}

    def pixels(name: str) -> np.ndarray:
        return np.asarray((results[name] + 1.0) * 127.5)

    patches = {part: pixels(f"patch_{part}") for part in model.parts}
    points = {part: results[f"{part}_in_patch"] for part in model.parts}
    figure = plots.figure_5(pixels("face"), patches, points, results["coarse_in_face"])
    return {"text": _shown(bench), "pictures": [bench.save_figure("figure_5.png", figure)]}
