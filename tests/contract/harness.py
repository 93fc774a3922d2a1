"""``run_contract``: the checks that every layer and every model passes."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from contract.gradients import cotangents_for, gradients, numpy_of, trained
from contract.other_backend import other_backend

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def run_contract(
    make: Callable[..., Any],
    inputs: Any,
    arguments: Mapping[str, Any] | None = None,
    tmp_path: Path | None = None,
    *,
    expected_shape: Any = None,
    policies: Sequence[str] = POLICIES,
    half_tolerance: float = 0.1,
    differentiable: bool = True,
    without_gradient: Sequence[str] = (),
    backend_tolerance: float = 2e-5,
    gradient_tolerance: float = 2e-4,
    backends: Sequence[str] = ("tensorflow", "jax"),
    modules: Sequence[str] = ("tfalign",),
) -> Any:
    """Checks one layer or model.

    1. It is made from its own configuration, which is JSON, and the copy has that configuration.
    2. Every constructor argument is in ``get_config``, and taking a given argument away shows.
    3. Eager, symbolic (batch unknown) and computed output shapes agree, for two batch sizes. A call
       that does not say whether it trains does not, and changes no variable.
    4. Each dtype policy gives finite outputs near those of float32; variables stay float32.
    5. Gradients exist and are finite for all trainable weights, not all of them zero; a model is
       differentiated through its ``training_model``.
    6. It is saved as ``.keras`` and loaded in safe mode without ``custom_objects``; type and
       outputs stay the same.
    7. Another back end, in a process of its own, gives the same outputs and gradients.

    Args:
        make: The class (or a function that returns an instance).
        inputs: NumPy array, or list, tuple or dictionary of them, batch first, batch ≥ 2.
        arguments: Keyword arguments of ``make``; give every one that is worth checking.
        tmp_path: pytest's folder; without it steps 6 and 7 are impossible and an error is raised.
        expected_shape: Output shape (or structure) that the documentation promises, if to check.
        policies: Dtype policies of step 4.
        half_tolerance: Allowed deviation of half precision, relative to the largest output.
        differentiable: Whether step 5 applies (and step 7 compares gradients).
        without_gradient: Parts of the paths of weights that rightly get none.
        backend_tolerance: Allowed difference between back ends, relative to the largest output.
        gradient_tolerance: The same for gradients.
        backends: Back ends of step 7; the session's own and those not installed are left out.
        modules: Modules that register the classes involved, for step 7.

    Returns:
        The instance that was checked, built and with random weights.
    """
    if tmp_path is None:
        raise ValueError("run_contract needs pytest's tmp_path. Received: tmp_path=None")
    arguments = dict(arguments or {})
    # What is random in the weights, or beside them, is alike in every run: so are its roundings.
    keras.utils.set_random_seed(0)
    instance = make(**arguments)
    instance(inputs, training=False)
    _randomize(instance)
    outputs = numpy_of(instance(inputs, training=False))

    serialized = _check_config(instance, inputs, outputs)
    _check_arguments(make, instance, arguments)
    _check_shapes(instance, inputs, expected_shape)
    _check_inference(instance, inputs, outputs)
    for policy in policies:
        _check_policy(make, arguments, policy, instance, inputs, outputs, half_tolerance)
    found = _check_gradients(instance, inputs, without_gradient) if differentiable else None
    _check_saving(instance, inputs, outputs, tmp_path)
    for backend in backends:
        if backend != keras.backend.backend() and importlib.util.find_spec(backend):
            _check_backend(
                backend, instance, serialized, inputs, outputs, found, tmp_path / backend,
                backend_tolerance, gradient_tolerance, tuple(modules),
            )  # fmt: skip
    return instance


def _randomize(instance: Any, seed: int = 3) -> None:
    """Moves the trainable weights a little, so that zero initial values hide nothing."""
    rng = np.random.default_rng(seed)
    for variable in instance.trainable_variables:
        noise = rng.normal(scale=0.02, size=tuple(variable.shape))
        variable.assign(keras.ops.convert_to_numpy(variable) + noise.astype("float32"))


def _check_config(instance: Any, inputs: Any, outputs: list[np.ndarray]) -> dict[str, Any]:
    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(instance)))
    copy = keras.saving.deserialize_keras_object(serialized)
    assert type(copy) is type(instance)
    again = json.loads(json.dumps(keras.saving.serialize_keras_object(copy)))
    assert again["config"] == serialized["config"], "the copy has another configuration"
    copy(inputs, training=False)
    copy.set_weights(instance.get_weights())
    for one, other in zip(numpy_of(copy(inputs, training=False)), outputs, strict=True):
        np.testing.assert_array_equal(one, other, err_msg="the copy computes something else")
    return serialized


def _check_arguments(make: Callable[..., Any], instance: Any, given: Mapping[str, Any]) -> None:
    config = instance.get_config()
    signature = inspect.signature(type(instance).__init__)
    named = [
        p
        for p in list(signature.parameters.values())[1:]
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    # Values to start from (a path, a preset's name) are no part of the configuration: the
    # configuration must not load a file again.
    lost = [p.name for p in named if p.name not in config and p.name != "weights"]
    assert not lost, f"constructor arguments that get_config forgets: {lost}"
    defaults = {p.name: p.default for p in named if p.default is not p.empty}
    for name, value in given.items():
        if name not in defaults or name == "weights" or _same(value, defaults[name]):
            continue
        kept, wanted, usual = (_plain(v) for v in (config[name], value, defaults[name]))
        if kept == wanted != usual:
            continue  # the value itself is there, and no default would have put it there
        rest = {k: v for k, v in given.items() if k != name}
        if name == "scheme" and "num_landmarks" in config:
            rest.setdefault("num_landmarks", config["num_landmarks"])  # which the scheme told
        try:
            without = make(**rest).get_config()
        except ValueError:  # no such model without it: what it became must be there
            assert config[name] is not None, f"{name}={value!r} does not reach get_config"
            continue
        assert without[name] != config[name], f"{name}={value!r} does not reach get_config"


def _plain(value: Any) -> Any:
    """A value as JSON keeps it, in which a tuple is a list; what JSON cannot keep is itself."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return value


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(np.all(value == default))


def _shapes(structure: Any) -> Any:
    return keras.tree.map_structure(lambda x: tuple(x.shape), structure)


def _flat_shapes(structure: Any) -> list[tuple[int | None, ...]]:
    """Lists the shapes in a structure of shapes; a shape is a sequence of numbers and None."""
    if isinstance(structure, Mapping):
        return [shape for key in sorted(structure) for shape in _flat_shapes(structure[key])]
    if all(size is None or isinstance(size, int) for size in structure):
        return [tuple(structure)]
    return [shape for part in structure for shape in _flat_shapes(part)]


def _check_shapes(instance: Any, inputs: Any, expected: Any) -> None:
    for batch in (1, len(keras.tree.flatten(inputs)[0])):
        part = keras.tree.map_structure(lambda x, n=batch: x[:n], inputs)
        eager = _flat_shapes(_shapes(instance(part, training=False)))
        computed = _flat_shapes(instance.compute_output_shape(_shapes(part)))
        assert eager == computed, f"computed output shape {computed}, real one {eager}"
    if expected is not None:
        assert eager == _flat_shapes(expected)
    symbols = _symbols(inputs)
    symbolic = _flat_shapes(_shapes(instance(symbols)))
    for unknown, known in zip(symbolic, eager, strict=True):
        assert len(unknown) == len(known)
        assert unknown[0] is None, "the symbolic batch size must stay unknown"
        assert unknown[1:] == known[1:], f"symbolic shape {unknown}, real one {known}"
    through_model = keras.Model(symbols, instance(symbols))
    assert _flat_shapes(_shapes(through_model(inputs, training=False))) == eager


def _symbols(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):  # Keras wants the inputs of a dictionary named by its keys
        return {key: _symbol(value, key) for key, value in inputs.items()}
    return keras.tree.map_structure(_symbol, inputs)


def _symbol(array: np.ndarray, name: str | None = None) -> Any:
    return keras.Input(tuple(array.shape)[1:], dtype=str(array.dtype), name=name)


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _check_inference(instance: Any, inputs: Any, outputs: list[np.ndarray]) -> None:
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in instance.variables]
    for one, other in zip(numpy_of(instance(inputs)), outputs, strict=True):
        np.testing.assert_array_equal(one, other, err_msg="a plain call is no inference")
    for variable, value in zip(instance.variables, before, strict=True):
        now = keras.ops.convert_to_numpy(variable)
        np.testing.assert_array_equal(now, value, err_msg=f"a plain call changes {variable.path}")


def _check_policy(
    make: Callable[..., Any],
    arguments: Mapping[str, Any],
    policy: str,
    instance: Any,
    inputs: Any,
    outputs: list[np.ndarray],
    tolerance: float,
) -> None:
    with _policy(policy):
        other = make(**arguments)
    other(inputs, training=False)
    dtypes = {keras.backend.standardize_dtype(v.dtype) for v in other.trainable_variables}
    assert dtypes <= {"float32"}, f"variables must stay float32 under {policy}; they are {dtypes}"
    other.set_weights(instance.get_weights())
    got = numpy_of(other(inputs, training=False))
    limit = 1e-6 if policy == "float32" else tolerance
    for one, reference in zip(got, outputs, strict=True):
        assert np.isfinite(one).all(), f"not finite under {policy}"
        error = np.abs(one - reference).max(initial=0) / max(np.abs(reference).max(initial=0), 1e-6)
        assert error <= limit, f"{policy} deviates by {error:.3g} of the largest output"


def _check_gradients(instance: Any, inputs: Any, without: Sequence[str]) -> Any:
    cotangents = cotangents_for(trained(instance)(inputs, training=False))
    of_weights, of_inputs = gradients(instance, inputs, cotangents)
    for variable, gradient in zip(instance.trainable_variables, of_weights, strict=True):
        if any(part in variable.path for part in without):
            continue
        assert gradient is not None, f"no gradient reaches {variable.path}"
        assert np.isfinite(gradient).all(), f"gradient of {variable.path} is not finite"
    reached = [g for g in (*of_weights, *of_inputs) if g is not None]
    assert all(np.isfinite(g).all() for g in reached)
    if instance.trainable_variables:
        assert any(np.any(g) for g in of_weights if g is not None), "all gradients are zero"
    return cotangents, of_weights, of_inputs


def _check_saving(instance: Any, inputs: Any, outputs: list[np.ndarray], folder: Path) -> None:
    whole = instance
    if not isinstance(instance, keras.Model):
        symbols = _symbols(inputs)
        whole = keras.Model(symbols, instance(symbols))
    path = folder / "contract.keras"
    whole.save(path)
    loaded = keras.saving.load_model(path)
    if whole is instance:
        assert type(loaded) is type(instance)
        assert loaded.get_config() == instance.get_config()
    for one, other in zip(numpy_of(loaded(inputs, training=False)), outputs, strict=True):
        np.testing.assert_array_equal(one, other, err_msg="the loaded object computes otherwise")


def _check_backend(
    backend: str,
    instance: Any,
    serialized: dict[str, Any],
    inputs: Any,
    outputs: list[np.ndarray],
    found: Any,
    folder: Path,
    tolerance: float,
    gradient_tolerance: float,
    modules: tuple[str, ...],
) -> None:
    cotangents, of_weights, of_inputs = found or ([], [], [])
    answer = other_backend(backend).compute(
        folder,
        serialized,
        instance.get_weights(),
        keras.tree.flatten(inputs),
        keras.tree.map_structure(lambda _: 0, inputs),
        cotangents,
        modules,
    )
    _agree(answer["outputs"], outputs, tolerance, f"output on {backend}")
    _agree(answer["weight_gradients"], of_weights, gradient_tolerance, f"gradient on {backend}")
    _agree(answer["input_gradients"], of_inputs, gradient_tolerance, f"input gradient on {backend}")


def _agree(got: Sequence[Any], expected: Sequence[Any], tolerance: float, what: str) -> None:
    assert len(got) == len(expected), f"{what}: {len(got)} arrays, expected {len(expected)}"
    for index, (one, other) in enumerate(zip(got, expected, strict=True)):
        if other is None:
            # TensorFlow says "not connected" where JAX says zero.
            assert not np.any(one), f"{what} {index}: connected on one back end only"
            continue
        assert one.shape == other.shape, f"{what} {index}: {one.shape}, expected {other.shape}"
        scale = max(float(np.abs(other).max(initial=0)), 1e-3)
        error = float(np.abs(one - other).max(initial=0)) / scale
        if not error <= tolerance:
            pytest.fail(f"{what} {index} differs by {error:.3g} of the largest value")
