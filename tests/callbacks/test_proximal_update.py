"""Proximal updates of a Keras model's variables, beside its optimizer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from sklearn.linear_model import ElasticNet

from tfalign.callbacks import ProximalUpdate
from tfalign.callbacks.frozen_part import CutModel, can_be_cut

WEIGHT, RIDGE = 0.1, 0.02
BETA, GAMMA = 4e-3, 6e-3
ROWS, FEATURES, HIDDEN, TASKS, OUTPUTS = 48, 6, 8, 4, 5


def numpy(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


class Factors(layers.Layer):
    """``features · P · C``, as the sharable detectors."""

    def build(self, shape: Any) -> None:
        self.basis = self.add_weight(shape=(shape[-1], TASKS), name="basis")
        self.codes = self.add_weight(shape=(TASKS, OUTPUTS), name="codes")

    def call(self, features: Any) -> Any:
        return ops.matmul(ops.matmul(features, self.basis), self.codes)


class Detectors(keras.Model):
    """The same network as `functional` without a graph that could be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.h, self.bn = layers.Dense(HIDDEN, "tanh", name="h"), layers.BatchNormalization()
        self.drop, self.w = layers.Dropout(0.5), Factors(name="detectors")
        self.q = layers.Dense(OUTPUTS, name="q")

    def call(self, x: Any, training: bool | None = None) -> Any:
        hidden = self.drop(self.bn(self.h(x), training=training), training=training)
        return self.q(ops.tanh(self.w(hidden)))


def functional() -> keras.Model:
    inputs = keras.Input((FEATURES,))
    hidden = layers.BatchNormalization()(layers.Dense(HIDDEN, "tanh", name="h")(inputs))
    response = Factors(name="detectors")(layers.Dropout(0.5)(hidden))
    return keras.Model(inputs, layers.Dense(OUTPUTS, name="q")(ops.tanh(response)))


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    return x, np.tanh(x @ rng.normal(size=(FEATURES, OUTPUTS))).astype("float32")


def sparse(**options: Any) -> ProximalUpdate:
    x, y = data()
    batches = [(x[:24], y[:24]), (x[24:], y[24:])]
    options = {"steps": 5, "ridge": {"detectors/basis": 1e-3}, "data": batches, **options}
    return ProximalUpdate({"detectors/basis": BETA, "detectors/codes": GAMMA}, **options)


def train(
    callback: ProximalUpdate, model: keras.Model, epochs: int = 3, **options: Any
) -> dict[str, list[float]]:
    x, y = data()
    callback.hold_out(model)
    model.compile(keras.optimizers.Adam(1e-2), "mse", **options)
    return model.fit(
        x, y, batch_size=16, epochs=epochs, callbacks=[callback], verbose=0, shuffle=False
    ).history


def made(make: Any = functional) -> keras.Model:
    keras.utils.set_random_seed(2)
    model = make()
    model(data()[0])
    return model


def objective(model: keras.Model, callback: ProximalUpdate) -> float:
    """Equation 8, for a compiled mean instead of a sum."""
    x, y = data()
    j = float(np.mean((numpy(model(x, training=False)) - y) ** 2))
    for variable in callback.variables:
        values = numpy(variable).astype("float64")
        weight = BETA if "basis" in variable.path else GAMMA
        j += weight * np.abs(values).sum() + 1e-3 * ("basis" in variable.path) * (values**2).sum()
    return j


def test_agrees_with_coordinate_descent(rng: np.random.Generator) -> None:
    """Through ``fit``: lasso with a Frobenius term; scikit-learn halves the mean error."""
    x = rng.normal(size=(60, 20)).astype("float32")
    true = np.where(np.arange(20) < 5, rng.normal(size=20), 0.0)
    y = (x @ true + 0.1 * rng.normal(size=60)).astype("float32")
    alpha = WEIGHT / 2 + RIDGE
    expected = ElasticNet(
        alpha=alpha, l1_ratio=WEIGHT / 2 / alpha, fit_intercept=False, tol=1e-14, max_iter=10**6
    )
    expected = expected.fit(x.astype("float64"), y.astype("float64")).coef_
    inputs = keras.Input((20,))
    outputs = layers.Dense(1, use_bias=False, name="linear")(inputs)
    # A factor that the optimizer trains, at rate 0.
    model = keras.Model(inputs, layers.Rescaling(1.0)(layers.EinsumDense("ab,b->ab", 1)(outputs)))
    model.layers[-2].set_weights([np.ones(1)])
    batches = [(x[:25], y[:25, None]), (x[25:], y[25:, None])]
    callback = ProximalUpdate({"linear/kernel": WEIGHT}, RIDGE, steps=300, data=batches)
    callback.hold_out(model)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(x, y[:, None], callbacks=[callback], verbose=0).history
    found = numpy(callback.variables[0])[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found == 0.0, expected == 0.0)
    assert history["sparsity/linear/kernel"] == [np.mean(expected == 0.0)]
    assert np.all(np.diff(callback.trace) <= 0.0)


def test_alternation_lowers_the_objective_and_reports_it() -> None:
    callback, model = sparse(rounds=2), made()
    history = train(callback, model)
    assert [v.path.split("/")[-1] for v in callback.variables] == ["basis", "codes"]
    assert np.all(np.diff(callback.trace) <= 1e-12)
    assert callback.trace[-1] < callback.trace[0]
    assert history["proximal_objective"][-1] == callback.objective == callback.trace[-1]
    assert callback.objective == pytest.approx(objective(model, callback), rel=1e-5)
    assert history["proximal_objective"][-1] < history["proximal_objective"][0]
    for variable, v in zip(callback.variables, callback.v, strict=True):
        share = np.mean(numpy(variable) == 0.0)
        assert history[f"sparsity/{variable.path}"][-1] == share
        assert history[f"V/{variable.path}"][-1] == v
    every = np.concatenate([numpy(variable).ravel() for variable in callback.variables])
    assert 0.0 < np.mean(every == 0.0) < 1.0


def test_one_variable_after_the_other_in_the_given_order() -> None:
    """The second problem sees the first one's solution: checked by solving each alone."""
    both, model = sparse(steps=4), made()
    train(both, model, epochs=1)
    parts, twin = [("detectors/basis", BETA, 1e-3), ("detectors/codes", GAMMA, 0.0)], made()
    train(sparse(every=9), twin, epochs=1)
    for part, weight, ridge in parts:
        alone = ProximalUpdate({part: weight}, ridge, steps=4, data=sparse()._draw)
        alone.set_model(twin)
        alone.update()
    for variable, other in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_allclose(numpy(variable), numpy(other), atol=1e-6, err_msg=variable.path)


def test_optimizer_has_no_moments_and_leaves_zeros_alone() -> None:
    callback, model = sparse(every=2), made()
    train(callback, model, epochs=2)
    zeros = [numpy(v) == 0.0 for v in callback.variables]
    assert not any("detectors" in v.path for v in model.optimizer.variables)
    x, y = data()
    before = [numpy(v) for v in model.weights]
    model.fit(x, y, epochs=1, callbacks=[callback], verbose=0)
    moved = {
        v.path.split("/")[0]
        for v, b in zip(model.weights, before, strict=True)
        if (numpy(v) != b).any()
    }
    assert {"h", "q"} <= moved
    assert "detectors" not in moved
    assert all((numpy(v)[z] == 0.0).all() for v, z in zip(callback.variables, zeros, strict=True))


def test_everything_else_stays_during_an_alternation() -> None:
    callback, model = sparse(), made()
    train(callback, model, epochs=1)
    before = {v.path: numpy(v) for v in [*model.variables, *model.optimizer.variables]}
    callback.update()
    for variable in [*model.variables, *model.optimizer.variables]:
        same = np.array_equal(numpy(variable), before[variable.path])
        assert same != ("detectors" in variable.path), variable.path


def test_values_are_read_afresh() -> None:
    """An alternation after others have changed the model solves the changed problem."""
    callback, model = sparse(), made()
    train(callback, model, epochs=1)
    kernel = model.get_layer("h").kernel
    kernel.assign(numpy(kernel) * -0.5)
    callback.variables[1].assign(numpy(callback.variables[1]) + 0.1)
    expected = objective(model, callback)
    callback.update()
    assert callback.trace[0] == pytest.approx(expected, rel=1e-5)
    assert callback.objective == pytest.approx(objective(model, callback), rel=1e-5)


@pytest.mark.parametrize("together", [1, 3])
def test_steps_as_cadence(together: int) -> None:
    """48 rows in batches of 16: alternations after steps 2, 4, 6, 8 of 9, or when they are seen."""
    epochs: list[int] = []
    batches = sparse()._draw(0)
    callback = sparse(cadence="step", every=2, steps=2, data=lambda e: epochs.append(e) or batches)
    history = train(callback, made(), steps_per_execution=together)
    assert epochs == {1: [0, 1, 1, 2], 3: [0, 1, 2]}[together]
    assert callback.count == 9
    assert len(history["proximal_objective"]) == 3


@pytest.mark.parametrize(
    ("delay", "every", "after"), [(0, 2, [1, 3]), (3, 1, [3, 4]), (1, 2, [2, 4])]
)
def test_delay(delay: int, every: int, after: list[int]) -> None:
    epochs: list[int] = []
    batches = sparse()._draw(0)
    data = {"data": lambda epoch: epochs.append(epoch) or batches}
    train(sparse(delay=delay, every=every, steps=1, **data), made(), epochs=5)
    assert epochs == after


def test_state_continues() -> None:
    callback, model = sparse(every=2), made()
    train(callback, model)
    assert callback.count == 3
    weights = [numpy(v) for v in model.weights]
    twin, other = made(), sparse(every=2)
    for variable, value in zip(twin.weights, weights, strict=True):
        variable.assign(value)
    other.set_state(callback.get_state())
    other.hold_out(twin)
    twin.compile("sgd", "mse")
    callback.set_model(model)
    other.set_model(twin)
    for one in (callback, other):
        logs: dict[str, float] = {}
        one.on_epoch_end(3, logs)
        assert one.count == 4
        assert "proximal_objective" in logs
    np.testing.assert_array_equal(callback.v, other.v)
    assert callback.trace == other.trace
    for variable, copy in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(numpy(variable), numpy(copy))


def test_batches_limit_the_data() -> None:
    x, y = data()
    callback, model = sparse(batches=1), made()
    train(callback, model, epochs=1)
    penalties = objective(model, callback) - float(np.mean((numpy(model(x)) - y) ** 2))
    part = float(np.mean((numpy(model(x[:24])) - y[:24]) ** 2))
    assert callback.objective == pytest.approx(part + penalties, rel=1e-5)


def test_warns_of_variables_that_vanish() -> None:
    callback = ProximalUpdate({"detectors/codes": 100.0}, steps=5, data=[data()])
    with pytest.warns(UserWarning, match="Every entry of .*detectors/codes is zero"):
        train(callback, model := made(), epochs=1)
    assert not numpy(callback.variables[0]).any()
    assert numpy(model.get_layer("detectors").basis).any()


def test_sample_weights_and_several_outputs() -> None:
    x, y = data()
    inputs = keras.Input((FEATURES,))
    response = Factors(name="detectors")(inputs)
    model = keras.Model(inputs, {"a": response, "b": layers.Dense(2, name="other")(inputs)})
    weight = np.linspace(0, 2, ROWS).astype("float32")
    batch = (x, {"a": y, "b": y[:, :2]}, {"a": weight, "b": weight})
    callback = ProximalUpdate({"detectors": 0.0}, steps=40, rounds=4, data=[batch])
    callback.hold_out(model)
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 3.0, "b": 1.0})
    model.fit(*batch[:2], ROWS, verbose=0, callbacks=[callback])
    product = numpy(callback.variables[0]) @ numpy(callback.variables[1])
    a = ((x @ product - y) ** 2).mean(axis=1)
    b = np.abs(numpy(model(x)["b"]) - y[:, :2]).mean(axis=1)
    assert callback.objective == pytest.approx(np.mean(weight * (3 * a + b)), rel=1e-5)
    # Rank 4 of 5: nearly the weighted least squares solution, truncated.
    assert callback.trace[-1] < 0.8 * callback.trace[0]


def recurrent() -> keras.Model:
    """The layers before the variables are called again after them."""
    inputs = keras.Input((FEATURES,), dtype="uint8")
    scaled = layers.Rescaling(1 / 255)(inputs)
    h, w, back = layers.Dense(HIDDEN, "tanh", name="h"), Factors(name="detectors"), layers.Dense(6)
    drop, shape, outputs = layers.Dropout(0.5), scaled, []
    for _ in range(3):
        shape = ops.add(shape, back(w(drop(h(shape)))))
        outputs.append(shape)
    return keras.Model(inputs, {"stages": ops.stack(outputs, 1), "raw": scaled})


@pytest.mark.parametrize("make", [functional, recurrent])
def test_cut_model_computes_the_same(make: Any, rng: np.random.Generator) -> None:
    keras.utils.set_random_seed(2)
    model = make()
    assert can_be_cut(model)
    wanted = [v for v in model.variables if "detectors" in v.path]
    x = rng.integers(0, 256, (3, FEATURES)).astype("uint8" if make is recurrent else "float32")
    cut = CutModel(model, wanted)
    middle = cut.before(x)
    widths = [tuple(tensor.shape) for tensor in middle]
    # Features of the first call, and for the recurrent model the shape that is added to.
    assert sorted(widths) == ([(3, 6), (3, HIDDEN)] if make is recurrent else [(3, HIDDEN)])
    expected = keras.tree.flatten(model(x, training=False))
    for one, other in zip(keras.tree.flatten(cut.after(middle)), expected, strict=True):
        np.testing.assert_array_equal(numpy(one), numpy(other))
    for variable in wanted:
        variable.assign(numpy(variable) + 0.1)
    moved = keras.tree.flatten(model(x, training=False))
    assert any(
        (numpy(one) != numpy(other)).any() for one, other in zip(moved, expected, strict=True)
    )
    for one, other in zip(keras.tree.flatten(cut.after(middle)), moved, strict=True):
        np.testing.assert_array_equal(numpy(one), numpy(other))


def test_models_with_and_without_a_graph_agree() -> None:
    plain, graph = made(Detectors), made()
    assert can_be_cut(graph)
    assert not can_be_cut(plain)
    plain.set_weights(graph.get_weights())
    for model in (plain, graph):
        callback = sparse()
        callback.hold_out(model)
        model.compile("sgd", "mse")
        callback.set_model(model)
        callback.update()
    for one, other in zip(plain.weights, graph.weights, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), atol=1e-6)


def test_wrong_arguments() -> None:
    for wrong, name in (
        ({"weights": {}}, "weights"),
        ({"weights": {"a": -1.0}}, "weights"),
        ({"ridge": -0.1}, "ridge"),
        ({"ridge": {"b": 0.1}}, "ridge"),
        ({"every": 0}, "every"),
        ({"steps": 0}, "steps"),
        ({"rounds": 0}, "rounds"),
        ({"batches": 0}, "batches"),
        ({"cadence": "day"}, "cadence"),
        ({"initial_v": 0.0}, "initial_v"),
        ({"backtracking": 1.0}, "backtracking"),
        ({"data": iter([])}, "data"),
    ):
        with pytest.raises(ValueError, match=f"Received: .*{name}="):
            ProximalUpdate(**{"weights": {"a": 0.1}, **wrong})


def test_wrong_use() -> None:
    model = made()
    with pytest.raises(ValueError, match="key='nothing'"):
        ProximalUpdate({"nothing": 0.1}).hold_out(model)
    with pytest.raises(ValueError, match="detectors/codes'"):
        ProximalUpdate({"detectors/codes": 0.1, "detectors": 0.1}).hold_out(model)
    model.compile("sgd", "mse")
    x, y = data()
    with pytest.raises(ValueError, match="hold_out"):
        model.fit(x, y, callbacks=[sparse()], verbose=0)
    callback = sparse(data=None)
    callback.hold_out(model)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="data=None"):
        model.fit(x, y, callbacks=[callback], verbose=0)
    callback.use_data([])
    with pytest.raises(ValueError, match="no batch"):
        model.fit(x, y, callbacks=[callback], verbose=0)
    wrong = sparse()
    wrong.set_state({"count": 0, "objective": None, "v": np.ones(3)})
    with pytest.raises(ValueError, match="Received: 3"):
        wrong.set_model(model)
    inputs = keras.Input((FEATURES,))
    apart = keras.Model(inputs, [Factors(name="detectors")(inputs), layers.Dense(1)(inputs)])
    trained = keras.Model(inputs, apart.outputs[1])
    with pytest.raises(ValueError, match="must depend on the variables"):
        CutModel(trained, apart.layers[1].variables)


@pytest.mark.exhaustive
@pytest.mark.jax
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs everything above on JAX")
def test_jax() -> None:
    """All tests of this file in a process on JAX."""
    pytest.importorskip("jax")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
