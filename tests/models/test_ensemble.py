"""Ensemble: the mean of models that see the face where those before them found it."""

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from tiny_model import TinyModel

from tfalign import macc, markup
from tfalign.geometry import pad_box
from tfalign.models import Ensemble, load, save_weights, transfer
from tfalign.models.weights import load_weights

SCHEME = "ibug68"
SIZES = {"small": (64, 48, 3), "square": (32, 32, 3)}


def member(name: str, seed: int, crop: str = "300w") -> TinyModel:
    """A small network whose shapes are a face and follow the picture."""
    keras.utils.set_random_seed(seed)
    model = TinyModel(input_shape=SIZES[name], crop=crop)
    model.set_mean_shape(face(np.random.default_rng(seed)))
    model.box = "landmarks"
    return model


def face(rng: np.random.Generator) -> np.ndarray:
    """A symmetric shape with eyes above the middle, leaning a little."""
    points = rng.uniform(0.25, 0.75, (68, 2))
    points[36:42] = (0.4, 0.4) + rng.uniform(-0.03, 0.03, (6, 2))
    points[42:48] = (0.6, 0.44) + rng.uniform(-0.03, 0.03, (6, 2))
    return points.astype("float32")


@pytest.fixture(scope="module")
def members() -> list[TinyModel]:
    other = member("square", 3)
    other.box, other.box_padding = "file", {"points": [0.3, -0.1, 0.2, 0.1], "face": None}
    return [member("small", 1), member("square", 2, "dssd"), other]


def pictures(count: int = 3) -> np.ndarray:
    """Smooth pictures, whose samplings by two programs are alike."""
    noise = np.random.default_rng(0).uniform(0, 255, (count, 64, 48, 3)).astype("float32")
    return np.stack([cv2.GaussianBlur(image, (0, 0), 4) for image in noise])


def by_hand(
    models: list, image: np.ndarray, shares=(1, 1, 1), level: bool = True
) -> list[np.ndarray]:
    """The means after each model, with OpenCV's sampling and NumPy's geometry, in pixels."""
    height, width = image.shape[:2]
    first = cv2.resize(image, models[0].image_size[::-1], interpolation=cv2.INTER_LINEAR)
    shapes = [ops.convert_to_numpy(models[0](first[None]))[0] * (width, height)]
    means = [shapes[0]]
    for model in models[1:]:
        known = means[-1]
        along = known[42:48].mean(axis=0) - known[36:42].mean(axis=0)
        turn = np.arctan2(along[1], along[0]) if level else 0.0
        turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        upright = known @ turned.T
        box = np.concatenate([upright.min(axis=0), upright.max(axis=0)])
        if model.box_padding is not None:  # the kind of box that it was trained on
            box = pad_box(box, model.box_padding["points"])
        rows, columns = model.image_size
        crop = model.crop.crop_from_image(box, (rows, columns))
        matrix = crop[:, :2] @ turned
        # OpenCV has pixel centres at whole numbers.
        shift = crop[:, 2] + 0.5 * matrix.sum(axis=1) - 0.5
        view = cv2.warpAffine(
            image,
            np.column_stack([matrix, shift]),
            (columns, rows),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        found = ops.convert_to_numpy(model(view[None]))[0] * (columns, rows)
        shapes.append((found - crop[:, 2]) @ np.linalg.inv(matrix).T)
        so_far = shares[: len(shapes)]
        means.append(np.average(shapes, axis=0, weights=so_far) if any(so_far) else shapes[-1])
    return means


def test_it_is_the_mean_of_what_its_members_see(members) -> None:
    model = Ensemble(members)
    found = ops.convert_to_numpy(model.stage_shapes(pictures())) * (48, 64)
    for image, stages in zip(pictures(), found, strict=True):
        np.testing.assert_allclose(stages, by_hand(members, image), atol=0.02)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(pictures())) * (48, 64), found[:, -1])


def test_members_may_see_the_face_as_it_is_turned(members, tmp_path) -> None:
    model = Ensemble(members, upright=False)
    found = ops.convert_to_numpy(model.stage_shapes(pictures())) * (48, 64)
    for image, stages in zip(pictures(), found, strict=True):
        np.testing.assert_allclose(stages, by_hand(members, image, level=False), atol=0.02)
    turned = ops.convert_to_numpy(Ensemble(members).stage_shapes(pictures())) * (48, 64)
    assert np.abs(turned - found)[:, 1:].max() > 0.5
    model.save(tmp_path / "model.keras")
    again = ops.convert_to_numpy(load(tmp_path / "model.keras").stage_shapes(pictures()))
    np.testing.assert_allclose(again * (48, 64), found, atol=1e-4)


def test_the_input_may_be_larger_than_the_first_member_takes(members, tmp_path) -> None:
    chosen = [members[1], members[0]]
    model = Ensemble(chosen, image_size=(64, 48))
    assert model.image_size == (64, 48)
    found = ops.convert_to_numpy(model.stage_shapes(pictures())) * (48, 64)
    for image, stages in zip(pictures(), found, strict=True):
        np.testing.assert_allclose(stages, by_hand(chosen, image), atol=0.02)
    model.save(tmp_path / "model.keras")
    again = load(tmp_path / "model.keras")
    assert again.image_size == (64, 48)
    np.testing.assert_allclose(
        ops.convert_to_numpy(again(pictures())), ops.convert_to_numpy(model(pictures())), atol=1e-6
    )
    with pytest.raises(ValueError, match="image_size"):
        Ensemble(chosen, image_size=(0, 48))


def test_pixels_are_not_rounded_to_half_precision(members) -> None:
    chosen = [members[1], members[0]]
    exact = ops.convert_to_numpy(Ensemble(chosen, image_size=(64, 48))(pictures()))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = Ensemble(chosen, image_size=(64, 48))
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(model(pictures())), exact, atol=1e-6)


@pytest.mark.parametrize("shares", [(0, 1, 3), (0, 0, 1), (0.5, 0, 0.25)])
def test_a_member_counts_by_its_share(members, shares) -> None:
    """One of share 0 finds the face for the others and has no part in the mean."""
    found = ops.convert_to_numpy(Ensemble(members, shares).stage_shapes(pictures())) * (48, 64)
    for image, stages in zip(pictures(), found, strict=True):
        np.testing.assert_allclose(stages, by_hand(members, image, shares), atol=0.02)


@pytest.mark.parametrize(
    "shares", [(1, 1), (0, 0, 0), (1, -1, 1), (1, float("nan"), 1), (1e308, 1e308, 1)]
)
def test_refuses_shares_that_are_no_mean(members, shares) -> None:
    with pytest.raises(ValueError, match="3 finite numbers"):
        Ensemble(members, shares)


def test_it_is_saved_whole(members, tmp_path) -> None:
    model = Ensemble(members, shares=(0, 1, 2))
    model.save(tmp_path / "model.keras")
    again = load(tmp_path / "model.keras")
    assert type(again) is Ensemble
    assert (again.box, again.crop, again.image_size) == ("landmarks", members[0].crop, (64, 48))
    assert again.scheme == markup.get(SCHEME)
    np.testing.assert_allclose(
        ops.convert_to_numpy(again(pictures())), ops.convert_to_numpy(model(pictures())), atol=1e-6
    )


def test_its_weights_are_saved_apart(members, tmp_path) -> None:
    """Two members have variables of the same paths."""
    model = Ensemble(members)
    save_weights(model, tmp_path / "weights.npz", "float32")
    others = Ensemble([member("small", 11), member("square", 12, "dssd"), member("square", 13)])
    load_weights(others, tmp_path / "weights.npz")
    for found, expected in zip(others.weights, model.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_its_members_may_be_files(members, tmp_path) -> None:
    for k, one in enumerate(members[:2]):
        one.save(tmp_path / f"{k}.keras")
    from_files = Ensemble([str(tmp_path / f"{k}.keras") for k in range(2)])
    np.testing.assert_allclose(
        ops.convert_to_numpy(from_files(pictures())),
        ops.convert_to_numpy(Ensemble(members[:2])(pictures())),
        atol=1e-6,
    )


def test_its_products_are_those_of_its_members(members) -> None:
    report = macc.count(Ensemble(members))
    alone = [macc.count(one) for one in members]
    assert report.macc == sum(one.macc for one in alone)
    assert report.params == sum(one.params for one in alone)


@pytest.mark.parametrize(("shares", "chosen"), [(None, 0), ((0, 1, 2), 2), ((0, 1, 1), 1)])
def test_training_goes_on_from_the_member_of_the_largest_share(members, shares, chosen) -> None:
    """All three have variables of the same names."""
    target = member("small" if chosen == 0 else "square", 7)
    assert transfer(target, Ensemble(members, shares)).anew == ()
    for mine, theirs in zip(target.weights, members[chosen].weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs))


def test_refuses_members_that_do_not_go_together(members) -> None:
    with pytest.raises(ValueError, match="at least two"):
        Ensemble(members[:1])
    with pytest.raises(ValueError, match=r"'ibug68', 'wflw98'"):
        Ensemble([members[0], TinyModel(98, scheme="wflw98")])
    nameless = TinyModel(scheme=None)
    with pytest.raises(ValueError, match="None, None"):
        Ensemble([nameless, nameless])
    with pytest.raises(ValueError, match="presets"):
        Ensemble(["300w", "nothing"])
    unknown = member("square", 4)
    unknown.box = None
    Ensemble([unknown, members[0]])  # the first one sees what it is given
    with pytest.raises(ValueError, match=r"'tiny' with box=None"):
        Ensemble([members[0], unknown])
    unknown.box = "file"
    with pytest.raises(ValueError, match=r"model.box_padding.*box='file'"):
        Ensemble([members[0], unknown])
