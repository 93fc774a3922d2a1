"""The one runner: executes any schedule of phases on any landmark model, and survives a kill."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from tfalign import callbacks as callback_classes
from tfalign.evaluation.protocols import get_protocol
from tfalign.files import settled
from tfalign.training.checkpoint import (
    assign_variables,
    load_checkpoint,
    read_variables,
    save_checkpoint,
    variables_of,
)
from tfalign.training.compiling import (
    Execution,
    compile_phase,
    phase_callbacks,
    watches_validation,
)
from tfalign.training.distribution import Distribution
from tfalign.training.feed import Batch, Feed, named_targets
from tfalign.training.freezing import apply_switches, trainable_flags_kept
from tfalign.training.phase import Phase, Schedule
from tfalign.training.progress import (
    Keep,
    Measure,
    PhaseBar,
    Progress,
    callback_states,
    restore_callbacks,
)
from tfalign.training.validation import Validation, stage_predictor


@dataclass(frozen=True)
class TrainingResult:
    """What `fit` returns.

    Attributes:
        rows: One row per epoch: epoch, phase, losses, learning rate, validation, seconds.
        best_nme: Lowest validation NME, a fraction; infinity without validation.
        best_epoch: The epoch, counted over the run from 0, that reached it, or -1.
        seconds: Time spent in the epochs, interruptions left out.
        finished_before: Whether the run was finished when `fit` was called, which then only loaded
            its result.
    """

    rows: list[dict[str, Any]]
    best_nme: float
    best_epoch: int
    seconds: float
    finished_before: bool = False


def fit(
    model: Any,
    schedule: Schedule,
    train: Feed,
    validation: Validation | None = None,
    *,
    out: str | Path,
    keep: Literal["last", "best"] = "last",
    distribution: Distribution | None = None,
    execution: Execution | None = None,
    identity: dict[str, Any] | None = None,
) -> TrainingResult:
    """Trains a model by a schedule and leaves it with the result's weights.

    ``out`` receives ``run.json`` (the run's configuration), ``checkpoint.npz``, ``best.npz``,
    ``history.csv`` and ``tensorboard/``. Called again with the same arguments and a freshly made
    model after the process was killed, at whatever moment, it continues after the last checkpoint:
    weights, optimizer moments and averages, random states, learning-rate and callback states come
    from the file, and data depend on seed and epoch alone, so the result is the uninterrupted
    run's within float noise. Called again after the end, it only loads the result.

    Args:
        model: A `tfalign.models.LandmarkModel` made from a fixed seed
            (``keras.utils.set_random_seed``), within ``distribution.scope()``. Under mixed
            precision Keras scales the loss where float16 needs it.
        schedule: The phases.
        train: Training batches.
        validation: Held-out faces; ``val_nme`` is then logged and the best weights are kept.
        out: Output folder.
        keep: Which weights the model has at the end: the last ones, or the best on
            ``validation``. "best" makes the validation number an optimistic one.
        distribution: From `tfalign.training.connect`; None uses the default device.
        execution: Speed and saving.
        identity: Further plain data that decides the result and that the other arguments do not
            show, such as the seed and the initial weights' origin.

    Returns:
        The history and the best value.

    Raises:
        ValueError: If crops or points of the feed or of ``validation`` are not the model's, ``out``
            holds another configuration's run, a phase names an unknown group or output, a callback
            watches a number that is not logged, or the batch does not divide.
        FloatingPointError: If the loss or a weight becomes infinite or NaN.
        FileNotFoundError: If the best weights are to be the result and their file is gone.
    """
    _check_faces(model, train, "training")
    _check_faces(model, validation, "validation")
    run = _Run(
        model,
        schedule,
        train,
        validation,
        Path(out),
        keep,
        distribution or Distribution(),
        execution or Execution(),
    )
    configuration, writes = run.configuration(identity or {}), run.distribution.writes
    with (
        settled(run.out, configuration, "run.json", writes, _further(run.out)),
        trainable_flags_kept(model.training_model),
    ):
        return run.execute()


def _further(out: Path) -> str:
    """Returns the remedy of who wants to train the run that lies in a folder further."""
    model = out / "model.keras"
    if not model.is_file():
        return ""
    return (
        f" To train the run that lies there further, give a new folder and --init-weights {model}."
    )


def _check_faces(model: Any, faces: Any, what: str) -> None:
    """Raises ``ValueError`` for faces whose crops or points are not those that the model means."""
    made, meant = getattr(faces, "crop", None), getattr(model, "crop", None)
    if made is not None and meant is not None and made != meant:
        raise ValueError(
            f"The {what} crops must be cut by the model's own convention, `model.crop`, by which "
            f"every program will cut them later. Received: crops by {made}, model.crop={meant}"
        )
    given, wanted = getattr(faces, "scheme", None), getattr(model, "scheme", None)
    # As many points may be others, or in another order: nothing later would tell.
    if given is not None and wanted is not None and given.points != wanted.points:
        pairs = itertools.zip_longest(given.points, wanted.points)
        place, (one, other) = next((i, pair) for i, pair in enumerate(pairs) if len({*pair}) > 1)
        raise ValueError(
            f"The {what} faces must have the points of `model.scheme`, in its order: convert them "
            f"(`CropCache.convert`). Received: scheme {given.name!r} of {given.num_points} points, "
            f"model.scheme {wanted.name!r} of {wanted.num_points}; point {place} is {one!r} there "
            f"and {other!r} in the model"
        )


@dataclass
class _Run:
    model: Any
    schedule: Schedule
    train: Feed
    validation: Validation | None
    out: Path
    keep: str
    distribution: Distribution
    execution: Execution

    def __post_init__(self) -> None:
        self.progress = Progress()
        self.predict = stage_predictor(self.model.stage_model)

    def configuration(self, identity: dict[str, Any]) -> dict[str, Any]:
        config = {
            "schedule": self.schedule.get_config(),
            "model": {"class": type(self.model).__name__, "config": self.model.get_config()},
            "train": self.train.describe(),
            "validation": self.validation
            and {
                "protocol": get_protocol(self.validation.protocol).identity,
                "data": self.validation.fingerprint,
            },
            "keep": self.keep,
            "strategy": self.distribution.strategy,
            "replicas": self.distribution.replicas,
            "backend": keras.backend.backend(),
            "dtype_policy": keras.config.dtype_policy().name,
            "identity": identity,
        }
        plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
        return plain

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.npz"

    @property
    def best(self) -> Path:
        return self.out / "best.npz"

    def execute(self) -> TrainingResult:
        stored = load_checkpoint(self.checkpoint) if self.checkpoint.exists() else None
        if stored is not None:
            self.progress = Progress(**stored[1]["progress"])
            if self.keep == "best" and self.progress.best_epoch >= 0 and not self.best.exists():
                raise FileNotFoundError(
                    "A run with keep='best' continues from its best weights, too: copy them beside "
                    "its checkpoint, or train in a new folder. Received: no "
                    f"{self.best}, which had those of epoch {self.progress.best_epoch}"
                )
        finished_before = stored is not None and self._is_finished()
        first_epoch = 0
        for index, phase in enumerate(self.schedule.phases):
            length = phase.length(self.train.steps_per_epoch)
            apply_switches(self.model, phase.switches)
            if index >= self.progress.phase:
                if index > self.progress.phase:
                    self.progress.phase, self.progress.epoch = index, 0
                    self.progress.stopped = False
                self._run_phase(phase, length, first_epoch, stored)
                stored = None
            first_epoch += length
        if self.keep == "best" and self.best.exists():
            arrays, _ = load_checkpoint(self.best)
            assign_variables("model", self._variables(), arrays)
        progress = self.progress
        if self.validation and (idle := self.validation.idle_stages(self.predict)):
            warnings.warn(
                f"Stages {idle} of the trained model (0 is the first) move all validation faces "
                "alike: the model works, but they add nothing. They were not trained, or their "
                "filters have died, which a lower learning rate prevents.",
                stacklevel=2,
            )
        return TrainingResult(
            progress.rows,
            progress.best_nme,
            progress.best_epoch,
            progress.seconds,
            finished_before,
        )

    def _is_finished(self) -> bool:
        last = len(self.schedule.phases) - 1
        length = self.schedule.phases[last].length(self.train.steps_per_epoch)
        progress = self.progress
        return progress.phase == last and (progress.stopped or progress.epoch >= length)

    def _variables(self) -> list[keras.Variable]:
        return variables_of(self.model.training_model)

    def _run_phase(
        self,
        phase: Phase,
        length: int,
        first_epoch: int,
        stored: tuple[dict[str, np.ndarray], dict[str, Any]] | None,
    ) -> None:
        special = phase_callbacks(phase)
        trainer = compile_phase(
            self.model,
            phase,
            length,
            self.train.steps_per_epoch,
            self.distribution,
            self.execution,
            special,
        )
        for callback in special:
            if hasattr(callback, "use_data"):
                # Every worker takes the whole batches, so that all of them do the same.
                callback.use_data(
                    lambda epoch: named_targets(
                        lambda: self.train.stream(first_epoch + epoch, 1), phase.losses
                    )
                )

        def save() -> None:
            if not self.distribution.writes:
                return
            states, arrays = callback_states(special)
            arrays.update(read_variables("model", self._variables()))
            arrays.update(read_variables("optimizer", trainer.optimizer.variables))
            state = {"progress": dataclasses.asdict(self.progress), "callbacks": states}
            save_checkpoint(self.checkpoint, arrays, state)

        if stored is not None:
            arrays, state = stored
            assign_variables("model", self._variables(), arrays)
            assign_variables("optimizer", trainer.optimizer.variables, arrays)
            restore_callbacks(special, state["callbacks"], arrays)
        elif phase.start is not None:
            if not callable(start := getattr(self.model, phase.start, None)):
                raise ValueError(
                    "A phase starts by a method of the model. Received: "
                    f"phase={phase.name!r}, start={phase.start!r}"
                )
            start(self.train)
            save()
        done = self.progress.epoch
        if done >= length or self.progress.stopped:
            if done > 0:
                # Killed between a phase's last checkpoint and the next phase's first: what Keras
                # does at the end of `fit`, the step from raw to averaged weights, is done here.
                trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
            return
        steps = self.train.steps_per_epoch
        writes = self.distribution.writes
        own = [callback for callback in special if not watches_validation(callback)]
        watching = [callback for callback in special if watches_validation(callback)]
        log = (
            [callback_classes.ScalarLog(str(self.out / "tensorboard"), first_epoch)]
            if writes and callback_classes.ScalarLog.available()
            else []
        )
        measure = Measure(
            self.model,
            self.validation,
            self.predict,
            self.progress,
            first_epoch,
            self.best if writes else None,
        )
        record = Keep(
            self.progress,
            phase.name,
            first_epoch,
            self.execution.checkpoint_every,
            length,
            save,
            self.out / "history.csv" if writes else None,
        )
        shard = self.distribution.shard(self.train.batch_size)

        def stream() -> Iterable[Batch]:
            return self.train.stream(first_epoch + done, length - done, shard)

        trainer.fit(
            named_targets(stream, phase.losses),
            epochs=length,
            initial_epoch=done,
            steps_per_epoch=steps,
            callbacks=[*own, measure, *watching, *log, record, *self._bar(phase, first_epoch)],
            shuffle=False,
            verbose=self._verbosity(),
        )

    def _bar(self, phase: Phase, first_epoch: int) -> list[keras.callbacks.Callback]:
        """Keras's own bar counts the epochs of one call and knows no phases."""
        if not self._verbosity():
            return []
        lengths = [p.length(self.train.steps_per_epoch) for p in self.schedule.phases]
        return [PhaseBar(phase.name, first_epoch, sum(lengths))]

    def _verbosity(self) -> int:
        if not self.distribution.writes:
            return 0
        if self.execution.verbose == "auto":
            return 1 if sys.stdout.isatty() else 2
        return self.execution.verbose
