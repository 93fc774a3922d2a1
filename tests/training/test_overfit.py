"""A model that cannot learn one batch by heart cannot learn anything."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tfalign import models, training
from tfalign.data.augment import NONE
from tfalign.data.pipeline import CropCache
from tfalign.data.synthetic import render
from tfalign.training.schedules import greglref


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = models.GRegLRef(98, (64, 64, 3), width=0.5, trunk="mobile", scheme="wflw98")
    faces = [render(0, index, size=128) for index in range(16)]
    cache = CropCache.build(faces, model.crop, model.image_size)
    model.set_mean_shape(cache.unit_landmarks.mean(axis=0))
    validation = training.Validation.from_cache(cache, "wflw_inter_ocular")
    result = training.fit(
        model,
        greglref.cpu_budget(steps=600, rate=5e-3, fine_share=0.0),
        training.CacheFeed(cache, 16, NONE, 0),
        validation,
        out=tmp_path,
        execution=training.Execution(verbose=0, checkpoint_every=1000),
    )
    last = result.rows[-1]
    assert last["val_nme"] < 0.005
    assert np.isfinite(last["loss"])
