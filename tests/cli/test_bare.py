"""What each command needs beside the bare install: none asks for a package that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tfalign.extras import EXTRAS, how_to_install
from tfalign_command import COMMANDS

BARE = """
import shlex, sys

for name in sys.argv[1:]:
    sys.modules[name] = None  # importing it then fails, and it cannot be found
from tfalign_command import main
for line in sys.stdin.read().splitlines():
    print("====", line, flush=True)
    print("\\nexit", main(shlex.split(line)), flush=True)
"""
# Keras and TensorFlow bring these two themselves.
MISSING = sorted(EXTRAS.keys() - {"h5py", "tensorboard"})
PTS = "version: 1\nn_points: 2\n{\n10 12\n20 12.5\n}\n"
SCHEME = {"name": "two", "points": ["right_eye", "left_eye"], "flip_pairs": [[0, 1]]}

WORK = [
    "data",
    "data coco",
    "models",
    "models 300w",
    "schedule greglref",
    "macc GRegNet --num-landmarks 5 --set trunk=mobile --totals --no-tflite",
    "inspect pts --data {0} --scheme {0}/two.json --out {0}/look",
    "align {0}/face.png --box 8 8 24 24 --out {0}/aligned --quiet",
]
LACK = {
    "train wflw --out {0}/run": "train",
    "evaluate --model 300w --dataset 300w --data {0} --out {0}/evaluated": "train",
    "robustness --model 300w --dataset 300w --data {0} --out {0}/robust": "train",
    "paper": "train",
    "render --out {0}/faces --train 1 --test 1": "train",
    "macc GRegNet --num-landmarks 5 --set trunk=mobile --width 0.25": "mobile",
    "export 300w --out {0}/exported": "mobile",
    "demo --out {0}/demo": "train",
    "benchmark {0}/model.tflite": "mobile",
}


@pytest.mark.slow
def test_bare_install(repository, tmp_path):
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "face.png"), np.full((32, 32, 3), 99, np.uint8))
    (tmp_path / "face.pts").write_text(PTS)
    (tmp_path / "two.json").write_text(json.dumps(SCHEME))
    (tmp_path / "model.tflite").write_bytes(bytes(4) + b"TFL3" + bytes(64))
    lines = [line.format(tmp_path) for line in (*WORK, *LACK)]
    assert {line.split()[0] for line in lines} == set(COMMANDS)
    done = subprocess.run(
        [sys.executable, "-c", BARE, *MISSING], input="\n".join(lines), cwd=repository,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    found = dict(block.split("\n", 1) for block in done.stdout.split("==== ")[1:])
    for line in WORK:
        assert "\nexit 0\n" in found[line.format(tmp_path)], found[line.format(tmp_path)]
    for line, extra in LACK.items():
        told = found[line.format(tmp_path)]
        assert how_to_install(extra) in told, told
        assert "\nexit 2\n" in told
        assert told.count("error:") == 1
