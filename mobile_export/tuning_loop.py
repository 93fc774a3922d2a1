"""Training a twin through a schedule's phases. Only ``tuning_process`` imports this file."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from mobile_export.tuning_copy import Twin
from mobile_export.tuning_methods import Method
from tfalign import losses
from tfalign.training import LearningRateSpec, OptimizerSpec, Phase
from tfalign.training.optimizers import build_learning_rate


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

    def pictures(self, batches: int) -> Iterator[Any]:
        """Yields the pictures of the first few batches."""
        for images, *_ in itertools.islice(self.epoch(0), batches):
            yield images

    def epoch(self, index: int) -> Iterator[tuple[Any, ...]]:
        """Yields the batches of one epoch, a function of (seed, index) alone.

        A batch is pictures and landmarks; of a cache in which points are not annotated also the
        weights (batch, n) of points.
        """
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
        variables = _freeze(model, twin, original, phase, how)
        _switch(model, phase)
        length = phase.length(data.steps)
        parts = _parts(phase, variables, length * data.steps)
        model.optimizer = parts[0][0]  # the pruning callback asks for it
        callbacks = how.callbacks()
        for callback in callbacks:
            callback.set_model(model)
            callback.on_train_begin()
        step = _step(model, twin, phase, parts)
        for _ in range(length):
            losses_seen = []
            for batch in data.epoch(epoch):
                for callback in callbacks:
                    callback.on_train_batch_begin(batch=-1)
                losses_seen.append(step(*batch))
            for callback in callbacks:
                callback.on_epoch_end(batch=-1)
            history.append(float(tf.reduce_mean(losses_seen)))
            epoch += 1
            print(f"phase {phase.name}, epoch {epoch}: loss {history[-1]:.6f}", flush=True)
    return history


def _freeze(model: Any, twin: Twin, original: Any, phase: Phase, how: Method) -> list[Any]:
    """Lets only the phase's groups train and returns their variables.

    Batch normalisation keeps its statistics: a few epochs of small batches would unsettle what
    training has settled. Its scales and shifts train.
    """
    wanted = {id(layer) for group in phase.train for layer in original.groups[group]}
    variables: dict[Any, Any] = {}
    for layer in model.layers:
        source = twin.originals.get(how.base_name(layer.name))
        if source is None:
            continue
        layer.trainable = True
        # Asked before it is frozen, and kept here: the toolkit's wrappers list the weights of
        # frozen layers among the trainable ones, too.
        if id(source) in wanted:
            variables |= {variable.ref(): variable for variable in layer.trainable_weights}
        layer.trainable = id(source) in wanted and not isinstance(
            source, keras.layers.BatchNormalization
        )
    return list(variables.values())


def _switch(model: Any, phase: Phase) -> None:
    """Makes a phase's settings on the twin, which knows only the rate of dropout."""
    others = sorted(set(phase.switches) - {"dropout"})
    if others:
        raise ValueError(f"Fine-tuning knows the switch 'dropout' only. Received: {others}")
    if "dropout" in phase.switches:
        for layer in model.layers:
            inner = getattr(layer, "layer", layer)  # The toolkit wraps even what it leaves alone.
            if isinstance(inner, tf_keras.layers.Dropout):
                inner.rate = float(phase.switches["dropout"])


def _parts(phase: Phase, variables: list[Any], steps: int) -> list[tuple[Any, list[Any]]]:
    """Returns one optimizer for the variables of each rate factor, the largest part first."""
    by_factor: dict[float, list[Any]] = {}
    factors = phase.optimizer.rate_factors
    for variable in variables:
        factor = next((f for part, f in factors.items() if part in variable.name), 1.0)
        by_factor.setdefault(factor, []).append(variable)
    parts = [
        (make_optimizer(phase.optimizer, scaled(phase.learning_rate, factor), steps), part)
        for factor, part in by_factor.items()
        if factor > 0.0
    ]
    if not parts:
        raise ValueError(f"A phase must train something. Received: phase={phase.name!r}")
    return sorted(parts, key=lambda part: -len(part[1]))


def _step(model: Any, twin: Twin, phase: Phase, parts: list[tuple[Any, list[Any]]]) -> Any:
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
    variables = [variable for _, part in parts for variable in part]

    @tf.function
    def step(images: Any, landmarks: Any, weights: Any = None) -> Any:
        with tf.GradientTape() as tape:
            values = model(images, training=True)
            values = values if isinstance(values, (list, tuple)) else [values]
            outputs = dict(zip(twin.output_names, values, strict=True))
            loss = tf.add_n(
                [
                    weight * fn(landmarks, outputs[name], weights)
                    for name, (fn, weight) in terms.items()
                ]
            )
        gradients = tape.gradient(loss, variables)
        if decay:
            gradients = [
                g if g is None or any(part in v.name for part in exempt) else g + decay * v
                for g, v in zip(gradients, variables, strict=True)
            ]
        if clip is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, clip)
        found = {v.ref(): g for g, v in zip(gradients, variables, strict=True) if g is not None}
        for optimizer, part in parts:
            optimizer.apply_gradients([(found[v.ref()], v) for v in part if v.ref() in found])
        return loss

    return step


def scaled(rate: LearningRateSpec, factor: float) -> LearningRateSpec:
    """Returns a learning rate with every value multiplied by ``factor``."""
    return dataclasses.replace(
        rate,
        base=rate.base * factor,
        final=rate.final * factor,
        values=tuple(value * factor for value in rate.values),
    )


def make_optimizer(spec: OptimizerSpec, rate: LearningRateSpec, steps: int) -> Any:
    """Returns the ``tf_keras`` optimizer of a specification.

    Raises:
        ValueError: If it averages weights or watches validation.
    """
    if spec.ema is not None:
        raise ValueError(f"Fine-tuning cannot average weights. Received: ema={spec.ema}")
    if rate.kind == "plateau":
        raise ValueError(
            "Fine-tuning watches no validation, so its learning rate is constant, cosine, "
            "polynomial or piecewise. Received: kind='plateau'"
        )
    optimizers = tf_keras.optimizers
    schedule = build_learning_rate(rate, steps, optimizers.schedules)
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
