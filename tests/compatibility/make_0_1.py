"""Writes the files of this folder, with the code of version 0.1 (commit c9b2408) on the path.

PYTHONPATH=CHECKOUT_OF_0.1 python make_0_1.py FOLDER
"""

import sys
from pathlib import Path

import keras
import numpy as np

import mobile_export
import tfalign
from tfalign.data import readers, synthetic
from tfalign.data.pipeline import CropCache


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    # Version 0.1 guessed the scheme from the number of points, and stored its name.
    model = tfalign.models.GRegLRef(
        68,
        (32, 32, 3),
        width=0.125,
        trunk="mobile",
        crop="300w",
        filters=1,
        patch=3,
        scheme="ibug68",
    )
    assert model.scheme.name == "ibug68"
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    model.save(out / "greglref.keras")
    np.savez_compressed(out / "outputs.npz", images=images, landmarks=np.asarray(model(images)))

    faces = synthetic.write_wflw(out.parent / "rendered_0_1", 2, 1, size=64, progress=False)
    cache = CropCache.build(readers.wflw.read(faces, splits=["train"]), "wflw", (24, 24))
    cache.save(out / "cache")
    np.savez_compressed(out / "cache_values.npz", unit_landmarks=cache.unit_landmarks)

    mobile_export.export(model, "float32", out=out / "exported")


if __name__ == "__main__":
    main()
