"""The plateau rule and early stopping, against PyTorch's rule written out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tfalign import callbacks


def compiled() -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    return model


def pytorch_rates(values: list[float], patience: int, cooldown: int, threshold: float) -> list:
    """``torch.optim.lr_scheduler.ReduceLROnPlateau.step``, mode min, relative threshold."""
    rate, best, bad, cooling, rates = 1.0, float("inf"), 0, 0, []
    for value in values:
        if value < best * (1 - threshold):
            best, bad = value, 0
        else:
            bad += 1
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            rate, cooling, bad = max(rate * 0.5, 0.1), cooldown, 0
        rates.append(rate)
    return rates


def rates_of(callback: Any, values: list[float], model: keras.Model) -> list[float]:
    callback.set_model(model)
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_nme": value})
        rates.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
    return rates


@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (2, 0), (1, 3)])
def test_rates_are_pytorchs(patience: int, cooldown: int, rng: np.random.Generator) -> None:
    values = list(1.0 / np.arange(1, 31) ** 0.3 + 0.1 * rng.normal(size=30))
    rule = callbacks.ReduceLROnPlateau(
        factor=0.5, patience=patience, threshold=0.01, cooldown=cooldown, min_lr=0.1
    )
    expected = pytorch_rates(values, patience, cooldown, 0.01)
    assert len(set(expected)) > 2
    np.testing.assert_allclose(rates_of(rule, values, compiled()), expected, rtol=1e-6)


def test_patience_is_exceeded_not_reached() -> None:
    """The published patience of 200 lets 200 bad epochs pass; the 201st acts."""
    rule = callbacks.ReduceLROnPlateau(factor=0.75, patience=200)
    rates = rates_of(rule, [1.0] * 202, compiled())
    assert rates[:201] == [1.0] * 201
    assert rates[201] == 0.75


def test_state_continues() -> None:
    values = [1.0, 0.9, 0.95, 0.96, 0.97, 0.8, 0.9, 0.9, 0.9]
    whole = rates_of(callbacks.ReduceLROnPlateau(factor=0.5, patience=1), values, compiled())
    model = compiled()
    first = callbacks.ReduceLROnPlateau(factor=0.5, patience=1)
    before = rates_of(first, values[:4], model)
    second = callbacks.ReduceLROnPlateau(factor=0.5, patience=1)
    second.set_state(first.get_state())
    assert before + rates_of(second, values[4:], model) == whole


def test_early_stopping() -> None:
    model = compiled()
    for patience, expected in ((0, 2), (2, 6)):
        stop = callbacks.EarlyStopping(patience=patience)
        stop.set_model(model)
        model.stop_training = False
        for epoch, value in enumerate([1.0, 0.9, 0.95, 0.8, 0.9, 0.9, 0.9, 0.1]):
            stop.on_epoch_end(epoch, {"val_nme": value})
            if model.stop_training:
                break
        assert epoch == expected


@pytest.mark.parametrize("make", [callbacks.ReduceLROnPlateau, callbacks.EarlyStopping])
def test_unlogged_number_and_wrong_arguments(make: Any) -> None:
    callback = make(monitor="val_speed")
    callback.set_model(compiled())
    with pytest.raises(ValueError, match="'val_speed'"):
        callback.on_epoch_end(0, {"val_nme": 1.0})
    with pytest.raises(ValueError, match="patience=-1"):
        make(patience=-1)
