"""The typed call that trains: faces in, a trained and measured model out."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import losses, models
from tfalign.data import balance, sets
from tfalign.data.augment import AugmentConfig, presets
from tfalign.data.pipeline import CropCache, cache_on_disk, concatenate
from tfalign.data.readers.reader import Reader
from tfalign.evaluation.boxes import (
    fit_box_padding,
    mixed_boxes_note,
    trained_box,
)
from tfalign.evaluation.protocols import PROTOCOLS, Protocol, get_protocol, own_protocol
from tfalign.files import FACES, read_json, sha256, write_json
from tfalign.training.distribution import Distribution
from tfalign.training.face_checks import (
    Faces,
    check_apart,
    check_boxes,
    check_normalizers,
    check_protocol,
    records_of,
    tell_of_mirror,
    tell_of_shared,
)
from tfalign.training.feed import CacheFeed, cache_fingerprint
from tfalign.training.mirror import mirrored
from tfalign.training.phase import Phase, Schedule
from tfalign.training.runner import fit
from tfalign.training.schedules import Budget, schedules_of
from tfalign.training.settings import Settings
from tfalign.training.validation import Validation

CALIBRATION_FACES = 200
_POLICIES = {
    "float32": "float32",
    "float16": "mixed_float16",
    "bfloat16": "mixed_bfloat16",
}


@dataclass(frozen=True)
class TrainResult:
    """What `train` returns.

    Attributes:
        model: The trained model.
        rows: One row per epoch: epoch, phase, losses, learning rate, validation, seconds.
        summary: The content of ``result.json``, plain data; ``"nme"`` is there where faces were
            measured. Empty in a process that does not write.
        out: The run's folder, or None where none was asked for.
    """

    model: Any
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    out: Path | None

    @property
    def nme(self) -> float | None:
        """Mean normalised error on the test faces, or else on the validation faces, a fraction."""
        return self.summary.get("nme")


@contextmanager
def _policy_kept() -> Iterator[None]:
    """Gives Keras its dtype policy back: models made after a training are not of its precision."""
    policy = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


@_policy_kept()
def train(
    model: str | models.LandmarkModel,
    faces: Faces | Sequence[Faces],
    settings: Settings | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    validation: Faces | float | int | None = None,
    test: Faces | None = None,
    test_name: str = "",
    protocol: str | Protocol | None = None,
    out: str | Path | None = None,
    distribution: Distribution | None = None,
    **changes: Any,
) -> TrainResult:
    """Trains a landmark model on faces and measures it on others.

    >>> faces = tfalign.data.sets.get("300w").read("300W", "train")
    >>> result = tfalign.training.train("greglref", faces, steps=2000, out="runs/mine")
    >>> result.model.save("mine.keras")

    Called again with the same arguments after the process was killed, it continues where the run
    was, see `fit`. ``out`` receives ``model.keras``, ``result.json``, ``report.html``,
    ``history.csv``, TensorBoard's files (``tensorboard --logdir OUT/tensorboard``) and
    ``calibration.npz``, training faces for a quantized export.

    Args:
        model: The name of an architecture, see `tfalign.models.ARCHITECTURES`, or a model. One
            that is given must have been made from a seed (``keras.utils.set_random_seed``) for the
            run to be continued. One that knows its boxes (``model.box``), as those that ship and
            those that were trained on readers do, goes on from its weights; any other is new, and
            begins at the mean shape of the faces.
        faces: What to train on: a reader, a crop cache, or several, of one scheme.
        settings: How; None takes the defaults.
        options: Arguments of `make_model`, for an architecture by name.
        validation: Faces to watch after each epoch, or how many of ``faces`` to hold out for that,
            as ``settings.validation`` says, which it replaces.
        test: Faces to measure on when all is done; None measures on the validation faces.
        test_name: What these are, in words.
        protocol: How faces are scored, see `tfalign.evaluation.get_protocol`; None takes the
            customary one of the faces' set or scheme, or the scheme's own normaliser.
        out: Folder of the run; None keeps nothing.
        distribution: From `connect`, which must have been called before the model was made.
        **changes: Fields of `Settings` other than those of ``settings``.

    Returns:
        The model and its numbers.

    Raises:
        FileNotFoundError: If ``init_weights`` or ``schedule`` names a file that is not there.
        ValueError: If a setting breaks its rule, the faces do not fit the model, ``out`` holds
            another run, faces to hold out are asked of a crop cache, which cannot tell whose
            they are, or a further set has a photograph that is held out or measured on.
        FloatingPointError: If the loss or a weight becomes infinite or NaN.
    """
    # Here, so that a schedule needs neither pandas nor Matplotlib, and at once, so that their lack
    # is told before anything is trained.
    from tfalign.training.results import write_results

    parts = [faces] if isinstance(faces, Reader | CropCache) else list(faces)
    if not parts:
        raise ValueError("`faces` must hold at least one reader or crop cache. Received: none")
    if isinstance(validation, float | int):
        changes["validation"], validation = validation, None
    architecture = _architecture(model)
    if settings is None:
        settings = Settings.made(architecture, changes, getattr(parts[0], "dataset", ""))
    elif changes:
        settings = dataclasses.replace(settings, **changes)
    distribution = distribution or Distribution()
    whole = parts
    parts, watched = _held_out(parts, validation, settings)
    check_apart(parts[1:], [watched, test])
    tell_of_shared(parts[0], {"watch": watched, "measure on": test})
    check_boxes(whole, watched if test is None else test)
    if watched is None and settings.keep == "best":
        raise ValueError(
            "keep='best' needs faces to watch, whose error says which weights are the best: give "
            "validation, or keep='last'. Received: validation=0"
        )
    protocol = protocol or _protocol(parts[0])
    check_protocol(protocol, watched if test is None else test)
    for apart in (watched, test):
        check_normalizers(get_protocol(protocol), apart)
    trained: Any = _made(model, settings, distribution, parts[0], options or {})
    goes_on = trained.box is not None  # as of a model that ships or was trained here
    trained.box_padding = fit_box_padding(whole, trained.scheme)
    if trained.box_padding is not None and trained.box_padding["face"] is None:
        print("Detectors find too few of these faces: aligning will need boxes.", flush=True)

    caches = [_cropped(part, trained, settings.cache) for part in parts]
    cache = concatenate(caches)
    tell_of_mirror(cache, settings.mirror or augmentation(settings.augment).flip > 0)
    if settings.mirror:
        cache = concatenate([cache, mirrored(cache)])
    for part in whole:
        if isinstance(part, Reader) and (part.report.skipped or part.report.noted):
            print(part.report.table(), flush=True)
    if (note := mixed_boxes_note([r for part in whole for r in records_of(part)])) is not None:
        print(f"{note} To cut all alike: --box landmarks, of --also box=landmarks.", flush=True)
    held_out = None if watched is None else _cropped(watched, trained, settings.cache)
    measured = watched if test is None else test
    print(
        f"{len(cache)} faces to train on, "
        + ("0 to watch" if held_out is None else f"{len(held_out)} to watch (val_nme, a fraction)")
        + ("" if test is None else f"; measured on {len(test)}: {test_name or 'test faces'}"),
        flush=True,
    )
    # First, so that a warm start that leaves the first stage as it is leaves it at the mean shape.
    if goes_on:
        print("The model was trained before: it goes on from its weights.", flush=True)
    else:
        trained.set_mean_shape(cache.mean_shape)
    digest = None
    if settings.init_weights is not None:
        source = settings.init_weights
        print(models.transfer(trained, source).table(), flush=True)
        # A preset is a file, too, but its name says which.
        digest = sha256(source) if Path(source).is_file() else str(source)
    if settings.balance and cache.masked:
        raise ValueError(
            "Poses are balanced by whole shapes: every point of every face must be annotated. "
            "Received: balance=True with faces that lack points"
        )
    rows = balance.pose_balance(cache.landmarks).indices if settings.balance else None
    feed = CacheFeed(
        cache, settings.batch_size, augmentation(settings.augment), settings.seed, rows
    )
    watching = None if held_out is None else Validation.from_cache(held_out, protocol)
    schedule = make_schedule(settings, trained, feed.steps_per_epoch, watching is not None)
    lengths = [phase.length(feed.steps_per_epoch) for phase in schedule.phases]
    told = (f"{p.name} {n}" for p, n in zip(schedule.phases, lengths, strict=True))
    print(
        f"{sum(lengths) * feed.steps_per_epoch} steps of {settings.batch_size} faces, epochs: "
        + ", ".join(told),
        flush=True,
    )
    starts = [f"{p.name} ({p.start})" for p in schedule.phases if p.start is not None]
    if starts and (goes_on or digest is not None):
        print(
            "Phases that begin with weights of their own, in place of those taken over: "
            + ", ".join(starts),
            flush=True,
        )
    # Not before: what was refused above is repeated with a model that is as new as it was.
    trained.box = trained_box(whole)
    with ExitStack() as stack:
        folder = Path(out or stack.enter_context(tempfile.TemporaryDirectory()))
        result = fit(
            trained,
            schedule,
            feed,
            watching,
            out=folder,
            keep=settings.keep,
            distribution=distribution,
            execution=settings.execution,
            identity={"seed": settings.seed, "init_weights": digest},
        )
        if result.finished_before and distribution.writes:
            print(_finished_before(folder, len(result.rows)), flush=True)
        if not distribution.writes:
            return TrainResult(trained, result.rows, {}, Path(out) if out else None)
        # Training faces for the calibration of a quantized export: never test faces.
        spread = np.linspace(0, len(cache) - 1, min(CALIBRATION_FACES, len(cache))).astype(int)
        cache.take(spread).save(folder / "calibration")
        data = {
            "train": len(cache),
            "held_out": 0 if held_out is None else len(held_out),
            # Of whole readers, as an evaluation reads them: the watched faces are among them.
            "train_fingerprints": [_fingerprint(part) for part in whole],
            "held_out_fingerprint": None if watched is None else _fingerprint(watched),
            "test_fingerprint": None if measured is None else _fingerprint(measured),
        }
        roles: dict[str, Sequence[Any]] = {
            "trained": parts,
            "watched": [watched],
            "measured": [measured],
        }
        write_json(
            folder / FACES,
            {role: [d for r in of if isinstance(r, Reader) for d in r.digests()]
             for role, of in roles.items()},
        )  # fmt: skip
        known = _problems([watched, measured])
        name = "held-out training faces" if test is None else test_name or "test faces"
        steps = len(result.rows) * feed.steps_per_epoch
        about = {"seed": settings.seed, "steps": steps, "data": data}
        summary = write_results(trained, result, measured, protocol, folder, name, about)
        # What could not be read was found out only when it was measured.
        if isinstance(measured, Reader) and _problems([watched, measured]) > known:
            print(measured.report.table(), flush=True)
    return TrainResult(trained, result.rows, summary, Path(out) if out else None)


def _problems(faces: Sequence[Faces | None]) -> int:
    return sum(len(one.report.skipped) for one in faces if isinstance(one, Reader))


def _finished_before(folder: Path, epochs: int) -> str:
    """Returns what there is to know when a command is given again after its run has ended."""
    return (
        f"This run was finished before, after {epochs} epochs: nothing is trained, its result is "
        f"measured again. {folder} holds model.keras, result.json and report.html. To train "
        f"further, start a run in another folder from it, --init-weights {folder / 'model.keras'}; "
        "to train anew, give another folder or delete this one."
    )


def _architecture(model: Any) -> models.Architecture | None:
    """Returns a model's architecture; None for a model of a class that nobody registered."""
    if isinstance(model, str):
        return models.architecture(model)
    known = any(entry.kind is type(model) for entry in models.ARCHITECTURES.values())
    return models.architecture(model) if known else None


def _held_out(
    parts: list[Faces], validation: Faces | None, settings: Settings
) -> tuple[list[Faces], Faces | None]:
    """Returns the faces to train on and those to watch, which are held out of the first part."""
    if validation is not None or settings.validation == 0:
        return parts, validation
    first, *others = parts
    if not isinstance(first, Reader):
        raise ValueError(
            "Faces can be held out of a reader, which knows their photographs; with a crop cache "
            "give the faces to watch as `validation=`, or validation=0 to watch none. Received: "
            f"faces={first!r}"
        )
    rest, watched = _data_set(first).hold_out(first, settings.validation, settings.group)
    if left := len(first) - len(rest) - len(watched):
        print(
            f"{left} faces are left out: others of their photographs, or copies of these, are "
            "watched.",
            flush=True,
        )
    return [rest, *others], watched


def _made(
    model: Any,
    settings: Settings,
    distribution: Distribution,
    faces: Faces,
    options: Mapping[str, Any],
) -> Any:
    """Returns the model; one by name is made once seed and precision are set."""
    policy = _POLICIES[settings.precision]
    if not isinstance(model, str):
        if model.dtype_policy.name != policy or options:
            raise ValueError(
                "A model that is made has its `precision` and `options`: give them with the name "
                f"of an architecture. Received: precision={settings.precision!r}, "
                f"options={dict(options)}, a model of {model.dtype_policy.name}"
            )
        # What is compiled has Keras's policy, on which depends whether its loss is scaled.
        keras.config.set_dtype_policy(policy)
        return model
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(policy)
    if isinstance(faces, CropCache):
        crop: Any = faces.crop
    else:
        crop = _data_set(faces).crop
    published = settings.schedule == "published"
    with distribution.scope():
        return make_model(model, faces.scheme, **{"crop": crop, "published": published, **options})


def make_model(
    name: str,
    scheme: Any,
    crop: Any = "300w",
    published: bool = False,
    image_size: Sequence[int] | None = None,
    **arguments: Any,
) -> Any:
    """Makes a model of an architecture for faces of a scheme.

    Args:
        name: In `tfalign.models.ARCHITECTURES`.
        scheme: The `LandmarkScheme` of the faces.
        crop: How their boxes become crops, unless the paper says it or ``arguments`` do.
        published: Whether the paper's model is meant, and not the one that a CPU trains.
        image_size: (height, width) of the input in pixels; None takes the paper's for the published
            model and 112 × 112 otherwise.
        **arguments: Further ones of the architecture; they override.

    Raises:
        ValueError: If the name is unknown, or an argument is.
    """
    entry = models.architecture(name)
    usual: dict[str, Any] = {"crop": crop, **(entry.published if published else {})}
    if image_size is not None or not published:
        usual["input_shape"] = (*(image_size or (112, 112)), 3)
    return entry.make(
        **{"num_landmarks": scheme.num_points, "scheme": scheme, **usual, **arguments}
    )


def make_schedule(
    settings: Settings, model: Any, steps_per_epoch: int, watched: bool = True
) -> Schedule:
    """Returns the schedule that the settings describe.

    Args:
        settings: The settings.
        model: The model, whose scheme and stages the schedule needs.
        steps_per_epoch: Batches in an epoch.
        watched: Whether there are faces for validation. Without, a learning rate that waits for
            progress on them waits for progress of the training loss, and a phase that would end
            when there is none runs to its end.

    Raises:
        FileNotFoundError: If ``schedule`` names a file that is not there.
        ValueError: If it names no schedule of the model, the file is none, or ``loss``, ``rate``,
            ``dropout`` or a length has nothing to set in it.
    """
    schedule = _chosen_schedule(settings, model, steps_per_epoch)
    phases = list(schedule.phases)
    if not watched:
        for place, phase in enumerate(phases):
            rate = phase.learning_rate
            if rate.kind == "plateau" and rate.monitor.startswith("val_"):
                unwatched = dataclasses.replace(rate, monitor="loss")
                phase = dataclasses.replace(phase, learning_rate=unwatched)
            phases[place] = dataclasses.replace(phase, patience=None)
    if settings.loss is not None:
        usual, phases = phases, [_with_loss(phase, settings.loss) for phase in phases]
        if phases == usual and settings.loss not in (
            term.loss for phase in phases for term in phase.losses.values()
        ):
            raise ValueError(
                f"`loss` replaces the cost of landmarks, one of {', '.join(losses.BY_NAME)}; the "
                f"schedule {schedule.name!r} has losses of its own kind. "
                f"Received: loss={settings.loss!r}"
            )
    return dataclasses.replace(schedule, phases=tuple(phases))


def _with_loss(phase: Phase, loss: str) -> Phase:
    """Returns a phase whose landmark losses cost otherwise; their stages and units stay."""
    kept = ("stage_weights", "scale", "normalizer", "point_reduction")
    terms = {}
    for name, term in phase.losses.items():
        if term.loss in losses.BY_NAME and term.loss != loss:
            shared = {key: value for key, value in term.arguments.items() if key in kept}
            term = dataclasses.replace(term, loss=loss, arguments=shared)
        terms[name] = term
    return dataclasses.replace(phase, losses=terms)


def _chosen_schedule(settings: Settings, model: Any, steps_per_epoch: int) -> Schedule:
    wanted = settings.schedule
    if isinstance(wanted, Schedule) or str(wanted).endswith(".json"):
        return _own_schedule(wanted, settings)
    entry = _architecture(model) or models.Architecture("", type(model), type(model))
    known = schedules_of(entry)
    if wanted not in known:
        raise ValueError(
            f"`schedule` must be one of {', '.join(sorted(known))} for this model, or a .json "
            f"file. Received: schedule={str(wanted)!r}"
        )
    steps = settings.steps
    if settings.epochs is not None:
        steps = settings.epochs * steps_per_epoch
    budget = Budget(steps, steps_per_epoch, settings.rate, settings.dropout)
    schedule = known[str(wanted)](model, budget)
    # A setting whose change leaves the schedule as it is has no place in it.
    others: dict[str, Any] = {}
    if settings.rate is not None:
        others["rate"] = 2.0 * settings.rate
    if settings.dropout is not None:
        others["dropout"] = (settings.dropout + 0.5) % 1.0
    for name, other in others.items():
        if known[str(wanted)](model, dataclasses.replace(budget, **{name: other})) == schedule:
            raise ValueError(
                f"`{name}` has nothing to set in the schedule {str(wanted)!r} of this model: leave "
                f"it out. Received: {name}={getattr(settings, name)}"
            )
    return schedule


def _own_schedule(schedule: str | Path | Schedule, settings: Settings) -> Schedule:
    """Returns a schedule that a user brings, whose numbers nothing else replaces."""
    names = ("epochs", "steps", "rate", "dropout")
    if given := {name: v for name in names if (v := getattr(settings, name)) is not None}:
        whose = f"file {str(schedule)!r}"
        if isinstance(schedule, Schedule):
            whose = f"Schedule {schedule.name!r}"
        raise ValueError(
            "A schedule of your own holds its lengths, rates and dropout: change them there. "
            f"Received: the {whose} with {', '.join(f'{n}={v}' for n, v in given.items())}"
        )
    return schedule if isinstance(schedule, Schedule) else Schedule.from_file(schedule)


def augmentation(value: Any) -> AugmentConfig:
    """Returns the augmentation of a preset's name, a ``.json`` file, plain data or None.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the name is unknown or the file is no augmentation.
    """
    if isinstance(value, str | Path) and str(value).endswith(".json"):
        try:
            return AugmentConfig.from_config(read_json(value))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"A file for `augment` must hold fields of AugmentConfig as JSON: {error}. "
                f"Received: {str(value)!r}"
            ) from error
    return presets.get(value)


def _data_set(faces: Reader) -> sets.DataSet:
    """Returns what is known of the set of the faces; the usual rules where it is not registered."""
    unknown = sets.DataSet(name=faces.dataset, summary="not registered", reader=Reader)
    return sets.SETS.get(faces.dataset, unknown)


def _protocol(faces: Faces) -> str | Protocol:
    """Returns the customary protocol of the faces' set, or of their scheme, or its own."""
    customary = _data_set(faces).protocols if isinstance(faces, Reader) else ()
    for name in (*customary, *PROTOCOLS):
        if PROTOCOLS[name].scheme == faces.scheme:
            return name
    return own_protocol(faces.scheme)


def _cropped(faces: Faces, model: Any, place: str | Path) -> CropCache:
    if isinstance(faces, CropCache):
        return faces
    if str(place) != "memory":
        return cache_on_disk(faces, place, model.crop, model.image_size)
    return CropCache.build(faces, model.crop, model.image_size)


def _fingerprint(faces: Faces) -> str:
    return faces.fingerprint() if isinstance(faces, Reader) else cache_fingerprint(faces)
