"""Training a twin through a schedule's phases. Only ``worker`` imports this file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mobile_export.tuning_methods import Method
from mobile_export.twin import Twin
from tfalign import losses
from tfalign.training import LearningRateSpec, OptimizerSpec, Phase


class Data:
    """Batches of a folder's ``data.npz`` or ``cache.npz``.

    Args:
        folder: The job's folder.
        job: The job: ``batch_size``, ``augment`` and ``seed``.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.job = job
        self.cache: Any = None
        self.arrays: Any = None
        if (folder / "data.npz").is_file():
            with np.load(folder / "data.npz") as data:
                self.arrays = data["images"], data["landmarks"]
            count = len(self.arrays[0])
        else:
            from tfalign.data.pipeline import CropCache

            self.cache = CropCache.load(folder / "cache")
            count = len(self.cache)
        self.batch_size = min(int(job["batch_size"]), count)
        self.steps = count // self.batch_size

    def epoch(self, index: int) -> Iterator[tuple[Any, Any]]:
        """Yields the batches of one epoch, a function of (seed, index) alone."""
        if self.arrays is None:
            from tfalign.data.pipeline import training_dataset

            yield from training_dataset(
                self.cache,
                self.batch_size,
                self.job["augment"],
                seed=self.job["seed"],
                epoch=index,
                image_dtype="float32",
            )
            return
        images, landmarks = self.arrays
        order = np.random.default_rng([self.job["seed"], index]).permutation(len(images))
        for step in range(self.steps):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield tf.cast(images[rows], tf.float32), tf.constant(landmarks[rows])


def run(
    model: Any, twin: Twin, original: Any, phases: tuple[Phase, ...], data: Data, how: Method
) -> list[float]:
    """Trains the wrapped twin and returns each epoch's mean loss.

    Args:
        model: The model in training, made by ``how.apply``.
        twin: The twin it came from.
        original: The Keras 3 model, whose ``groups`` say what a phase trains.
        phases: The schedule.
        data: The batches.
        how: The method.
    """
    history, epoch = [], 0
    for phase in phases:
        _freeze(model, twin, original, phase, how)
        length = phase.length(data.steps)
        optimizer = make_optimizer(phase.optimizer, phase.learning_rate, length * data.steps)
        model.optimizer = optimizer  # the pruning callback asks for it
        callbacks = how.callbacks()
        for callback in callbacks:
            callback.set_model(model)
            callback.on_train_begin()
        step = _step(model, twin, phase, optimizer)
        for _ in range(length):
            total = 0.0
            for images, landmarks in data.epoch(epoch):
                for callback in callbacks:
                    callback.on_train_batch_begin(batch=-1)
                total += float(step(images, landmarks))
            for callback in callbacks:
                callback.on_epoch_end(batch=-1)
            history.append(total / data.steps)
            epoch += 1
    return history


def _freeze(model: Any, twin: Twin, original: Any, phase: Phase, how: Method) -> None:
    """Lets only the phase's groups train; frozen batch normalisation keeps its statistics."""
    wanted = {id(layer) for group in phase.train for layer in original.groups[group]}
    for layer in model.layers:
        source = twin.originals.get(how.base_name(layer.name))
        if source is not None:
            layer.trainable = id(source) in wanted


def _step(model: Any, twin: Twin, phase: Phase, optimizer: Any) -> Any:
    terms = {
        name: (losses.get(term.loss, **term.arguments), term.weight)
        for name, term in phase.losses.items()
    }
    unknown = sorted(set(terms) - set(twin.output_names))
    if unknown:
        raise ValueError(
            f"A phase's losses must be among the outputs {twin.output_names}. Received: {unknown}"
        )
    decay = phase.optimizer.weight_decay if phase.optimizer.kind == "sgd" else 0.0
    exempt, clip = phase.optimizer.decay_exclude, phase.optimizer.clip_norm

    @tf.function
    def step(images: Any, landmarks: Any) -> Any:
        with tf.GradientTape() as tape:
            values = model(images, training=True)
            values = values if isinstance(values, (list, tuple)) else [values]
            outputs = dict(zip(twin.output_names, values, strict=True))
            loss = tf.add_n(
                [weight * fn(landmarks, outputs[name]) for name, (fn, weight) in terms.items()]
            )
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        if decay:
            pairs = [
                (g if any(part in v.name for part in exempt) else g + decay * v, v)
                for g, v in pairs
            ]
        if clip is not None:
            clipped, _ = tf.clip_by_global_norm([g for g, _ in pairs], clip)
            pairs = [(g, v) for g, (_, v) in zip(clipped, pairs, strict=True)]
        optimizer.apply_gradients(pairs)
        return loss

    return step


def make_optimizer(spec: OptimizerSpec, rate: LearningRateSpec, steps: int) -> Any:
    """Returns the ``tf_keras`` optimizer of a specification.

    Raises:
        ValueError: If it averages weights or watches validation.
    """
    if spec.ema is not None:
        raise ValueError(f"Fine-tuning cannot average weights. Received: ema={spec.ema}")
    schedule = make_rate(rate, steps)
    optimizers = tf_keras.optimizers
    if spec.kind == "sgd":
        return optimizers.SGD(schedule, momentum=spec.momentum, nesterov=spec.nesterov)
    if spec.kind == "adam":
        return optimizers.Adam(schedule, beta_1=spec.momentum, beta_2=spec.beta_2)
    adamw = optimizers.AdamW(
        schedule, weight_decay=spec.weight_decay, beta_1=spec.momentum, beta_2=spec.beta_2
    )
    if spec.decay_exclude:
        adamw.exclude_from_weight_decay(var_names=list(spec.decay_exclude))
    return adamw


def make_rate(rate: LearningRateSpec, steps: int) -> Any:
    """Returns the ``tf_keras`` learning-rate schedule over ``steps`` steps.

    Raises:
        ValueError: If it watches validation.
    """
    schedules = tf_keras.optimizers.schedules
    if rate.kind == "constant":
        return rate.base
    if rate.kind == "cosine":
        warmup = round(rate.warmup * steps)
        return schedules.CosineDecay(
            0.0 if warmup else rate.base,
            max(1, steps - warmup),
            alpha=rate.final / rate.base,
            warmup_target=rate.base if warmup else None,
            warmup_steps=warmup,
        )
    if rate.kind == "polynomial":
        return schedules.PolynomialDecay(rate.base, max(1, steps), rate.final, rate.power)
    if rate.kind == "piecewise":
        return schedules.PiecewiseConstantDecay(list(rate.boundaries), [rate.base, *rate.values])
    raise ValueError(
        "Fine-tuning takes a constant, cosine, polynomial or piecewise learning rate. Received: "
        f"kind={rate.kind!r}"
    )
