"""Markups of one's own: a crop cache on disk is all that a fresh process needs to mirror rightly.

Each point is one pixel of its own colour, so that after mirroring the colour under each landmark
tells which point of the original it shows.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data import Sample
from tfalign.data.pipeline import CropCache
from tfalign.markup import LandmarkScheme

SIDE = 48

FINGERS = ("thumb", "index", "middle", "ring", "little")


def named(name, count, pairs):
    """Points of which only the pairs are known."""
    return LandmarkScheme(name, tuple(f"p {i}" for i in range(count)), flip_pairs=tuple(pairs))


# Name: the scheme, and the mirror pairs that are meant, written out independently of it.
OTHER_ORDER = np.random.default_rng(5).permutation(68)
PLACE = np.argsort(OTHER_ORDER)  # where each of the usual points went
SCHEMES = {
    "five": (
        LandmarkScheme("five", ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")),
        {(0, 1), (3, 4)},
    ),
    "nineteen in another order": (
        named("mine", 19, [(18 - i, i) for i in range(8)]),
        {(i, 18 - i) for i in range(8)},
    ),
    "68 in another order": (
        LandmarkScheme("ibug68", tuple(markup.IBUG68.points[i] for i in OTHER_ORDER)),
        {
            tuple(sorted((int(PLACE[a]),
                          int(PLACE[b]))))
            for a, b in markup.IBUG68.flip_pairs
        },
    ),
    "hand": (
        LandmarkScheme(
            "hand",
            ("wrist", *(f"{finger}_{i}" for finger in FINGERS for i in range(4))),
            flip_pairs=(),
        ),
        set(),
    ),
    "106": (named("dense", 106, [(i, 105 - i) for i in range(53)]),
            {(i, 105 - i) for i in range(53)}),
}  # fmt: skip

PROGRAM = """
import json, sys
import numpy as np
from tfalign.data.augment import AugmentConfig, RandomAugment
from tfalign.data.pipeline import CropCache

results = {}
for path in sys.argv[1:]:
    cache = CropCache.load(path)
    layer = RandomAugment(AugmentConfig(flip=1.0), cache.scheme, cache.image_size)
    out = layer({"image": cache.images, "landmarks": cache.landmarks,
                 "crop": cache.output_from_source})
    pixels = np.floor(np.asarray(out["landmarks"])[0] * cache.image_size[0]).astype(int)
    results[path] = np.asarray(out["image"])[0][pixels[:, 1], pixels[:, 0]].tolist()
print(json.dumps(results))
"""


@pytest.mark.slow
def test_a_fresh_process_mirrors_each_point_onto_its_partner(tmp_path):
    paths = {}
    for number, (name, (scheme, _)) in enumerate(SCHEMES.items()):
        rng = np.random.default_rng(number)
        count = scheme.num_points
        places = rng.permutation((SIDE - 8) ** 2)[:count]
        y, x = np.divmod(places, SIDE - 8)
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[y + 4, x + 4] = colours(count)
        points = np.stack([x, y], axis=1) + 4.5
        sample = Sample(
            image=image, landmarks=points.astype(np.float32), visible=np.ones(count, bool),
            box=np.array([0, 0, SIDE, SIDE], np.float32), name=name, scheme=scheme,
        )  # fmt: skip
        crop = geometry.CropConvention()
        paths[name] = tmp_path / str(number)
        CropCache.build([sample], crop, (SIDE, SIDE), margin=0.0, source_size=SIDE).save(
            paths[name]
        )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths.values())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    for name, (scheme, pairs) in SCHEMES.items():
        partner = np.arange(scheme.num_points)
        for i, j in pairs:
            partner[[i, j]] = j, i
        shown = np.array(results[str(paths[name])])
        np.testing.assert_array_equal(shown, colours(scheme.num_points)[partner], err_msg=name)


def colours(count):
    """(count, 3) different colours, none of them black."""
    index = np.arange(count)
    return np.stack([index + 50, 250 - index, 7 * index % 200 + 20], axis=1).astype(np.uint8)
