"""The schemes against the papers' counts, the protocols' indices and real annotated faces."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tfalign import markup

COUNTS = {
    "wflw98": 98,
    "ibug68": 68,
    "ibug51": 51,
    "cofw29": 29,
    "aflw19": 19,
    "lfpw29": 29,
    "helen194": 194,
}


def symmetry_error(shape: np.ndarray, scheme: markup.LandmarkScheme) -> float:
    """Mean distance of a shape to its mirror image, best aligned, in inter-ocular distances.

    The similarity is fitted with complex numbers, independently of ``tfalign.geometry``.
    """
    z = shape[:, 0] + 1j * shape[:, 1]
    mirrored = -np.conj(z)[list(scheme.flip_map)]
    z, mirrored = z - z.mean(), mirrored - mirrored.mean()
    fitted = mirrored * (np.vdot(mirrored, z) / np.vdot(mirrored, mirrored))
    right, left = scheme.eye_corners
    return float(np.abs(fitted - z).mean() / abs(z[right] - z[left]))


def wrong_pairings(scheme: markup.LandmarkScheme) -> list[np.ndarray]:
    """Maps in which two neighbouring pairs are crossed: what a slip in the order would give."""
    maps = []
    for (i, j), (k, m) in zip(scheme.flip_pairs[:-1], scheme.flip_pairs[1:], strict=True):
        wrong = np.array(scheme.flip_map)
        wrong[[i, m, k, j]] = [m, i, j, k]
        maps.append(wrong)
    return maps


def test_every_scheme_is_listed():
    assert {name: scheme.num_points for name, scheme in markup.SCHEMES.items()} == COUNTS
    for name, scheme in markup.SCHEMES.items():
        assert markup.get(name) is scheme
        assert markup.get(scheme) is scheme


@pytest.mark.parametrize("scheme", markup.SCHEMES.values(), ids=lambda s: s.name)
def test_structure(scheme):
    flip = np.array(scheme.flip_map)
    assert np.array_equal(flip[flip], np.arange(scheme.num_points))
    assert all(
        name.split("_")[0] in ("left", "right")
        for i, j in scheme.flip_pairs
        for name in (scheme.points[i], scheme.points[j])
    )
    # A drawing edge mirrors onto a drawing edge.
    edges = {frozenset(edge) for edge in scheme.edges}
    assert {frozenset(int(flip[i]) for i in edge) for edge in edges} == edges
    assert set(scheme.local_parts) == {"left_eye", "right_eye", "nose", "mouth"}


@pytest.mark.parametrize(
    ("name", "corners", "pupils"),
    [
        ("wflw98", (60, 72), ((96,), (97,))),
        ("ibug68", (36, 45), (tuple(range(36, 42)), tuple(range(42, 48)))),
        ("ibug51", (19, 28), (tuple(range(19, 25)), tuple(range(25, 31)))),
        ("cofw29", (8, 9), ((16,), (17,))),
        ("lfpw29", (8, 9), ((16,), (17,))),
        ("aflw19", (6, 11), ((7,), (10,))),
    ],
)
def test_anchors_are_those_of_the_protocols(name, corners, pupils):
    scheme = markup.get(name)
    assert scheme.eye_corners == corners
    assert scheme.pupils == pupils


def test_known_mirror_pairs():
    # Spot checks against the maps that public programs for these sets write out by hand.
    wflw = dict(markup.WFLW98.flip_pairs)
    assert {i: wflw[i] for i in (0, 33, 37, 38, 41, 55, 60, 67, 76, 83, 88, 93, 96)} == {
        0: 32, 33: 46, 37: 42, 38: 50, 41: 47, 55: 59, 60: 72,
        67: 73, 76: 82, 83: 87, 88: 92, 93: 95, 96: 97,
    }  # fmt: skip
    ibug = dict(markup.IBUG68.flip_pairs)
    assert {i: ibug[i] for i in (0, 17, 31, 36, 41, 48, 55, 60, 65)} == {
        0: 16, 17: 26, 31: 35, 36: 45, 41: 46, 48: 54, 55: 59, 60: 64, 65: 67,
    }  # fmt: skip
    helen = dict(markup.HELEN194.flip_pairs)
    assert {i: helen[i] for i in (0, 19, 41, 48, 58, 64, 73, 86, 101, 114, 133, 154, 173)} == {
        0: 40, 19: 21, 41: 57, 48: 50, 58: 72, 64: 66, 73: 85,
        86: 100, 101: 113, 114: 134, 133: 153, 154: 174, 173: 193,
    }  # fmt: skip
    assert [markup.HELEN194.flip_map[i] for i in (20, 49, 65, 79, 93, 107)] == [
        20,
        49,
        65,
        79,
        93,
        107,
    ]


def test_mean_300w_face_is_its_own_mirror_image(real_data):
    shapes = np.load(real_data / "300w_train_shapes.npz")["shapes"]
    scheme = markup.IBUG68
    size = np.linalg.norm(shapes[:, 36] - shapes[:, 45], axis=-1)
    mean = ((shapes - shapes.mean(axis=1, keepdims=True)) / size[:, None, None]).mean(axis=0)
    assert symmetry_error(mean, scheme) < 0.01
    # Left and right are the subject's: the right eye lies in the left half of the image.
    assert mean[scheme.eye_corners[0], 0] < mean[scheme.eye_corners[1], 0]


@pytest.mark.parametrize("name", ["wflw98", "cofw29", "aflw19", "ibug68"])
def test_real_faces_are_nearly_symmetric(real_data, name):
    scheme = markup.get(name)
    for shape in sample_shapes(real_data, name):
        error = symmetry_error(shape, scheme)
        assert error < 0.15, "single faces are turned a little"
        for wrong in wrong_pairings(scheme):
            z = shape[:, 0] + 1j * shape[:, 1]
            good = np.abs(np.diff(z[list(scheme.flip_map)]) + np.conj(np.diff(z))).sum()
            bad = np.abs(np.diff(z[wrong]) + np.conj(np.diff(z))).sum()
            assert good < bad, "crossing two pairs must fit a real face worse"
        right, left = (shape[list(points), 0].mean() for points in scheme.pupils)
        assert right < left


def sample_shapes(real_data, name) -> list[np.ndarray]:
    """Reads the few annotated sample faces, without the project's readers."""
    folder = real_data / "format_samples"
    if name == "wflw98":
        path = folder / "WFLW/WFLW_annotations/list_98pt_rect_attr_train_test"
        lines = (path / "list_98pt_rect_attr_train.txt").read_text().splitlines()
        return [np.array(line.split()[:196], float).reshape(98, 2) for line in lines if line]
    if name == "cofw29":
        lines = (folder / "COFW/phisT_rows.txt").read_text().splitlines()
        rows = [np.array(line.split()[1:], float) for line in lines if line]
        return [np.stack([row[:29], row[29:58]], axis=-1) for row in rows]
    if name == "ibug68":
        lines = (folder / "300W/01_Indoor/indoor_020.pts").read_text().splitlines()
        rows = [line.split() for line in lines]
        return [np.array([row for row in rows if len(row) == 2 and row[0][0].isdigit()], float)]
    with (folder / "AFLW/aflw19_samples.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    return [np.array(row[5:], float).reshape(19, 2) for row in rows]
