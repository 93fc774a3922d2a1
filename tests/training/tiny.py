"""A landmark model of 68 points, its data and a schedule, small enough to train in a second."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfalign.models.landmark_model import LandmarkModel
from tfalign.training import (
    ArrayFeed,
    CallbackSpec,
    LearningRateSpec,
    LossTerm,
    OptimizerSpec,
    Phase,
    Schedule,
    Validation,
)

POINTS, SIDE, FACES, BATCH = 68, 16, 24, 8
EPOCHS = (3, 3)


@keras.saving.register_keras_serializable(package="tfalign_tests")
class Tiny(LandmarkModel):
    """Convolution, batch normalisation and dropout; a global stage and one refinement."""

    def __init__(
        self, dropout: float = 0.5, synchronized: bool = False, name: str = "tiny", **ignored: Any
    ) -> None:
        images = keras.Input((SIDE, SIDE, 3))
        x = layers.Rescaling(1 / 255)(images)
        # A bias in front of a batch normalisation has no gradient but rounding errors, which Adam
        # would turn into steps of full size.
        x = layers.Conv2D(4, 5, strides=4, use_bias=False, name="conv")(x)
        # JAX has one program for all devices and synchronises by itself.
        wanted = {"synchronized": True} if synchronized else {}
        x = layers.BatchNormalization(momentum=0.8, name="bn", **wanted)(x)
        x = layers.Flatten()(layers.ReLU()(x))
        dropped = layers.Dropout(dropout, name="dropped")(x)
        shape = (POINTS, 2)
        s0 = layers.Reshape(shape)(layers.Dense(2 * POINTS, name="fc")(dropped))
        increment = layers.Dense(2 * POINTS, name="increment")
        s1 = layers.Add()([ops.stop_gradient(s0), layers.Reshape(shape)(increment(x))])
        super().__init__(
            images,
            [s0, s1],
            {"stages": ops.stack([s0, s1], axis=1), "extra": s1 * 2.0},
            groups={"refinement": [increment]},
            crop="300w",
            scheme="ibug68",
            name=name,
        )
        self.dropout, self.synchronized = dropout, synchronized

    def get_config(self) -> dict[str, Any]:
        return {**self.base_config(), "dropout": self.dropout, "synchronized": self.synchronized}


def arrays(count: int = FACES, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and landmarks that depend on them, so that something can be learned."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    base = np.random.default_rng(0).uniform(0.2, 0.8, (POINTS, 2))
    shift = images[:, 4:8, 4:8].mean(axis=(1, 2, 3)).reshape(-1, 1, 1) / 255 - 0.5
    return images, (base + 0.3 * shift).astype(np.float32)


def feed(seed: int = 1) -> ArrayFeed:
    return ArrayFeed(*arrays(), BATCH, seed)


def validation() -> Validation:
    """Held-out faces, in photographs of 100 pixels that the input shows reduced and shifted."""
    images, landmarks = arrays(10, seed=4)
    to_image = np.tile(np.float32([[100 / SIDE, 0, 7], [0, 100 / SIDE, -3]]), (10, 1, 1))
    pixels = landmarks * 100 + np.float32([7, -3])
    return Validation(images, pixels, to_image, "300w_inter_ocular", fingerprint="tiny")


def schedule(dropout: float = 0.4, ema: float | None = 0.9) -> Schedule:
    """Two phases that between them use every kind of state a checkpoint must hold."""
    joint = Phase(
        name="joint",
        losses={"stages": LossTerm("l2"), "extra": LossTerm("smooth_l1", 0.1)},
        learning_rate=LearningRateSpec(3e-3, kind="cosine", warmup=0.2),
        optimizer=OptimizerSpec("adamw", weight_decay=1e-3, clip_norm=1.0, ema=ema),
        epochs=EPOCHS[0],
        switches={"dropout": dropout / 2},
    )
    fine = Phase(
        name="refinement",
        losses={"stages": LossTerm("l2", arguments={"stage_weights": [0.0, 1.0]})},
        learning_rate=LearningRateSpec(1e-4, kind="plateau", patience=0, factor=0.5, threshold=0.5),
        optimizer=OptimizerSpec("sgd", weight_decay=1e-3, nesterov=True),
        epochs=EPOCHS[1],
        train=("refinement",),
        switches={"dropout": dropout},
    )
    return Schedule("tiny", (joint, fine))


def sparse_schedule(cadence: str = "epoch", every: int = 2) -> Schedule:
    """A phase whose refinement trains by proximal updates, and one that trains it as usual."""
    updates = {
        "weights": {"increment/kernel": 2e-1, "increment/bias": 0.0},
        "ridge": {"increment/kernel": 1e-3},
        "every": every,
        "cadence": cadence,
        "steps": 3,
        "batches": 2,
    }
    alternation = Phase(
        name="alternation",
        losses={"stages": LossTerm("l2"), "extra": LossTerm("smooth_l1", 0.1)},
        learning_rate=LearningRateSpec(3e-3, kind="cosine"),
        optimizer=OptimizerSpec("adamw", weight_decay=1e-3, ema=0.9),
        epochs=5,
        callbacks=(CallbackSpec("ProximalUpdate", updates),),
    )
    usual = Phase(
        name="usual",
        losses={"stages": LossTerm("l2")},
        learning_rate=LearningRateSpec(1e-3),
        train=("refinement",),
        epochs=1,
    )
    return Schedule("sparse", (alternation, usual))
