"""Weights for another markup, input size and class: what is the same then, and what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfalign import markup, models
from tfalign.models import CCNN, DSSD, RDSSD, DeepReg, GRegLRef, GRegNet, TwoStage, transfer

SMALL: dict[str, Any] = {"input_shape": (32, 32, 3), "width": 0.25, "trunk": "mobile"}
IBUG = markup.get("ibug68")
ORDER = np.random.default_rng(0).permutation(68)
SHUFFLED = markup.LandmarkScheme(
    "shuffled",
    tuple(IBUG.points[i] for i in ORDER),
    {
        part: tuple(int(np.flatnonzero(i == ORDER)[0]) for i in indices)
        for part, indices in IBUG.parts.items()
    },
)


def images(side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype("uint8")


def stages(model: Any, side: int = 32) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model.stage_shapes(images(side))))


def disturbed(model: Any, seed: int = 1) -> Any:
    """Gives a model weights that tell each point from the others."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_weights:
        variable.assign(variable + rng.normal(scale=0.02, size=variable.shape))
    return model


@pytest.fixture(scope="module")
def source() -> GRegLRef:
    return disturbed(GRegLRef(scheme="ibug68", **SMALL))


def test_the_same_points_in_another_order_are_the_same_model(source: GRegLRef) -> None:
    target = GRegLRef(scheme=SHUFFLED, **SMALL)
    told = transfer(target, source)
    # Sums of the same terms in another order; how a processor rounds them differs.
    np.testing.assert_allclose(stages(target), stages(source)[:, :, ORDER], atol=1e-5)
    assert told.anew == told.new_points == ()
    assert set(told.points) == set(IBUG.points)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (CCNN, {"input_shape": (64, 64, 3), "width": 0.125}),
        (DSSD, {"input_shape": (64, 64, 3), "width": 0.125}),
        (DeepReg, {"input_shape": (64, 64, 3)}),
    ],
)
def test_every_architecture_gives_its_points_away(kind: Any, arguments: dict) -> None:
    """What makes the coordinates of a point is the source's for that point."""
    one = disturbed(kind(scheme="ibug68", **arguments))
    other = kind(scheme=SHUFFLED, **arguments)
    told = transfer(other, one)
    assert told.by_point
    assert not set(told.by_point) & set(told.anew)
    if kind is DeepReg:
        np.testing.assert_allclose(stages(other, 64), stages(one, 64)[:, :, ORDER], atol=1e-5)


def test_points_of_ones_own_take_those_that_agree(source: GRegLRef, tmp_path: Path) -> None:
    """Another number of points at another input size, from a file."""
    points = ("left_mouth_corner", "my_wart", "chin")
    own = markup.LandmarkScheme("mine", points, flip_pairs=None)
    target = GRegNet(scheme=own, **{**SMALL, "input_shape": (48, 64, 3)})
    target.set_mean_shape(np.full((3, 2), 0.25))
    before = [np.asarray(value) for value in target.get_layer("fc").get_weights()]
    source.save(tmp_path / "source.keras")
    told = transfer(target, tmp_path / "source.keras")
    kernel, bias = target.get_layer("fc").get_weights()
    theirs = [np.asarray(value) for value in source.get_layer("fc").get_weights()]
    for place, point in ((0, "left_mouth_corner"), (2, "chin")):
        i = 2 * IBUG.index(point)
        np.testing.assert_array_equal(kernel[:, 2 * place : 2 * place + 2], theirs[0][:, i : i + 2])
        np.testing.assert_array_equal(bias[2 * place : 2 * place + 2], theirs[1][i : i + 2])
    np.testing.assert_array_equal(kernel[:, 2:4], before[0][:, 2:4])
    np.testing.assert_array_equal(bias[2:4], [0.25, 0.25])
    assert (told.points, told.new_points) == (points[::2], ("my_wart",))
    assert set(told.anew) == {"gdconv_dwconv/kernel"}  # as large as the whole map
    for words in ("source.keras", "ibug68", "2 of 3 points", "my_wart", "gdconv_dwconv"):
        assert words in told.table()


def test_means_of_points_become_means_of_weights(source: GRegLRef) -> None:
    target = GRegNet(scheme="cofw29", **SMALL)
    told = transfer(target, source)
    expected = markup.convert(stages(source)[:, 0], "ibug68", "cofw29", undefined="nan")
    known = np.isfinite(expected[0, :, 0])
    np.testing.assert_allclose(stages(target)[:, 0, known], expected[:, known], atol=1e-5)
    assert len(told.new_points) == (~known).sum() > 0


def test_from_98_to_68_and_back() -> None:
    wide = disturbed(GRegLRef(scheme="wflw98", **SMALL))
    target = GRegLRef(scheme="ibug68", **SMALL)
    assert transfer(target, wide).new_points == ()
    expected = markup.convert(stages(wide)[:, 0], "wflw98", "ibug68")
    np.testing.assert_allclose(stages(target)[:, 0], expected, atol=1e-5)
    back = GRegLRef(scheme="wflw98", **SMALL)
    assert len(transfer(back, target).points) == 68
    kept = [markup.get("wflw98").index(p) for p in transfer(back, target).points]
    np.testing.assert_allclose(stages(back)[:, 0, kept], stages(wide)[:, 0, kept], atol=1e-5)


def test_points_without_names_are_the_same_if_they_are_as_many(source: GRegLRef) -> None:
    one, same, fewer = (GRegNet(n, **SMALL) for n in (7, 7, 6))
    disturbed(one)
    told = transfer(same, one)
    assert told.anew == ()
    assert "those of equal place were taken to be the same" in told.table()
    np.testing.assert_array_equal(stages(same), stages(one))
    told = transfer(fewer, one)
    assert told.points == ()
    assert {"fc/kernel", "fc/bias"} <= set(told.anew)
    # Nor does a number of points make names.
    told = transfer(GRegNet(68, **SMALL), source)
    assert told.points == ()
    assert "equal place" not in told.table()


@pytest.mark.slow
def test_heads_of_a_part_go_over_if_it_lists_the_same_points() -> None:
    arguments = {"input_shape": (64, 64, 3), "width": 0.0625, "view_size": 40, "face_size": 48}
    one = disturbed(TwoStage(scheme="ibug68", **arguments))
    backwards = {**SHUFFLED.parts, "mouth": SHUFFLED.parts["mouth"][::-1]}
    other = TwoStage(
        scheme=markup.LandmarkScheme("backwards", SHUFFLED.points, backwards), **arguments
    )
    told = transfer(other, one)
    assert "face_landmarks/kernel" in told.by_point
    assert {"increment_nose/kernel", "theta_nose/bias", "mouth_conv1/kernel"} <= set(told.whole)
    assert {name for name in told.anew if "mouth" in name} == {
        "increment_mouth/kernel", "increment_mouth/bias", "theta_mouth/kernel", "theta_mouth/bias",
    }  # fmt: skip


CASCADE: dict[str, Any] = {
    "input_shape": (64, 64, 3), "width": 0.1, "stages": "R-DSSD*", "patch": 16, "centers": 4,
    "neighbors": 2, "features": 4, "latent_tasks": 4, "pairs": 3,
}  # fmt: skip


def test_stages_of_their_own_go_over_each_for_itself() -> None:
    """Layers inside a stage's patch network are called alike in every stage."""
    one = disturbed(RDSSD(scheme="cofw29", shared=False, **CASCADE))
    other = RDSSD(scheme="cofw29", shared=False, **CASCADE)
    told = transfer(other, one)
    assert told.anew == told.by_point == ()
    for found, given in zip(other.weights, one.weights, strict=True):
        if not given.path.endswith("seed_generator_state"):
            np.testing.assert_array_equal(found, given, err_msg=given.path)


def test_what_was_learned_of_random_pixels_stays_with_them() -> None:
    """A point that stands elsewhere in the order has other pixels, which are no weights."""
    turned = markup.LandmarkScheme("turned", markup.get("cofw29").points[::-1])
    one = disturbed(RDSSD(scheme="cofw29", **CASCADE))
    other = RDSSD(scheme=turned, **CASCADE)
    pixels = [model.get_layer("differences_1").offsets for model in (one, other)]
    assert not np.allclose(pixels[1], pixels[0][::-1])
    before = other.get_layer("coarse_1").get_weights()
    told = transfer(other, one)
    assert {"coarse_1/kernel", "coarse_1/bias"} <= set(told.anew)
    for found, kept in zip(other.get_layer("coarse_1").get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, kept)
    assert "initial_shape/shapes" in told.by_point


def test_models_of_models_are_refused(source: GRegLRef) -> None:
    """Of two members with a layer of one name, either would get the weights, and the other none."""
    members = [GRegLRef(scheme="ibug68", **SMALL) for _ in range(2)]
    members[1].box = "landmarks"
    with pytest.raises(ValueError, match="twice in 'ensemble'"):
        transfer(models.Ensemble(members), source)


def test_refusals(source: GRegLRef, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.keras"):
        transfer(source, tmp_path / "nothing.keras")
    with pytest.raises(ValueError, match="one of the presets"):
        transfer(source, tmp_path / "weights.txt")
    foreign = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="other")])
    with pytest.raises(ValueError, match="at least one variable"):
        transfer(source, foreign)


def test_a_file_of_exactly_this_model(source: GRegLRef, tmp_path: Path) -> None:
    models.save_weights(source, tmp_path / "w.npz", "float32")
    target = GRegLRef(scheme="ibug68", **SMALL)
    assert "w.npz" in transfer(target, tmp_path / "w.npz").table()
    np.testing.assert_allclose(stages(target), stages(source), atol=1e-6)
