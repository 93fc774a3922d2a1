"""`tfalign align` on photographs as people have them, folders, clips, and nasty names."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli.conftest import flat_png, is_one_line, with_orientation, write_rgb

import tfalign.cli.align as program
from tfalign.inference import read_image


@pytest.fixture
def align(tfalign, small_model):
    """Runs `tfalign align` with the small model, which is too coarse for the quality's limit."""

    def run(*words: object) -> Any:
        return tfalign("align", "--model", small_model, "--min-quality", 0, "--quiet", *words)

    return run


def stored(out: Path) -> dict[str, Any]:
    return json.loads((out / "landmarks.json").read_text(encoding="utf-8"))


def test_one_face(align, face, tmp_path):
    photo = write_rgb(tmp_path / "photo.png", face)
    outcome = align(photo, "--out", tmp_path / "out", "--pts")
    assert outcome.code == 0
    assert outcome.out == f"{photo}: 1 face\n"
    found = stored(tmp_path / "out")
    assert found["images"] == [{"image": 0, "source": str(photo)}]
    landmarks = np.array(found["faces"][0]["landmarks"])
    assert landmarks.shape == (68, 2)
    assert (landmarks > 0).all()
    assert (landmarks < 256).all()
    with (tmp_path / "out" / "landmarks.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["source"] == str(photo)
    assert float(row["x0"]) == pytest.approx(landmarks[0, 0], abs=1e-3)
    # The picture is the photograph, drawn upon.
    drawn = read_image(tmp_path / "out" / "photo_aligned.jpg").astype(float)
    assert drawn.shape == face.shape
    assert 1 < np.abs(drawn - face).mean() < 40
    assert "n_points: 68" in (tmp_path / "out" / "photo.pts").read_text()


def test_the_shipped_model_sits_on_the_face(tfalign, face, tmp_path):
    photo = write_rgb(tmp_path / "photo.png", face)
    found = tfalign("align", photo, "--out", tmp_path / "out", "--json").json["photographs"]
    (only,) = found["faces"]
    x0, y0, x1, y1 = only["box"]
    landmarks = np.array(only["landmarks"])
    inside = (landmarks >= (x0 - 30, y0 - 30)) & (landmarks <= (x1 + 30, y1 + 30))
    assert inside.all()
    left, right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    assert left[0] < right[0]
    assert landmarks[8, 1] > landmarks[48:68, 1].mean() > (left[1] + right[1]) / 2


def test_several_faces_and_none(align, face, tmp_path):
    write_rgb(tmp_path / "a.png", np.concatenate([face, face], axis=1))
    write_rgb(tmp_path / "b.png", np.full((80, 100, 3), 127, np.uint8))
    outcome = align(tmp_path, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0
    found = outcome.json["photographs"]
    # Both faces are found; with every quality admitted, the detector's mistakes are, too.
    assert {f["image"] for f in found["faces"]} == {0}
    centres = [(f["box"][0] + f["box"][2]) / 2 for f in found["faces"]]
    assert min(centres) < 256 < max(centres)
    assert found == stored(tmp_path / "out")
    assert f"{tmp_path / 'b.png'}: no face found" in outcome.err
    assert (tmp_path / "out" / "b_aligned.jpg").is_file()


def test_pts_are_named_as_the_library_names_them(align, face, tmp_path):
    from tfalign.data.readers.w300 import parse_pts

    one, two = tmp_path / "one", tmp_path / "two"
    for folder, image in ((one, face), (two, np.concatenate([face, face], axis=1))):
        folder.mkdir()
        write_rgb(folder / "a.png", image)
    (one / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    words = [one / "a.png", one / "broken.png", two / "a.png", "--no-overlay", "--pts"]
    align(*words, "--box", 60, 60, 190, 190, "--box", 20, 30, 120, 140, "--out", out)
    # Both pictures are a.png: the second one's files are a-2's, as its overlay would be.
    names = ["a_1.pts", "a_2.pts", "a-2_1.pts", "a-2_2.pts"]
    assert sorted(path.name for path in out.glob("*.pts")) == sorted(names)
    for name, found in zip(names, stored(out)["faces"], strict=True):
        points = parse_pts(out / name) - 0.5
        np.testing.assert_allclose(points, found["landmarks"], atol=1e-3)


def test_low_quality_is_told_and_the_option_reaches_clips(
    tfalign, small_model, face, clip, tmp_path
):
    """The untrained model is too coarse for every limit but 0."""
    photo = write_rgb(tmp_path / "photo.png", face)
    words = ["align", "--model", small_model, "--quiet", "--no-overlay", "--out", tmp_path / "out"]
    hint = "detection left out for low quality (--min-quality)"
    assert tfalign(*words, photo).out == f"{photo}: no face found; 1 {hint}\n"
    low = tfalign(*words, clip, "--max-frames", 3)
    assert low.code == 0
    assert "3 frames, 0 faces tracked; " in low.out
    assert "left out for low quality (--min-quality)" in low.out
    # Its shapes have no area, so nothing can be followed; quality is no longer the reason.
    all_of_them = tfalign(*words, clip, "--max-frames", 3, "--min-quality", 0)
    assert all_of_them.out == f"{clip}: 3 frames, 0 faces tracked\n"
    assert tfalign(*words, photo, "--min-quality", 1.5).code == 2


def test_above_the_usual_limit(align, tmp_path):
    large = flat_png(tmp_path / "large.png", 8200, 8200)
    small = write_rgb(tmp_path / "small.png", np.full((30, 30, 3), 90, np.uint8))
    assert align(large, "--out", tmp_path / "o").code == 2
    outcome = align(large, small, "--max-pixels", 10**8, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(stored(tmp_path / "out")["images"]) == 2
    assert (tmp_path / "out" / "large_aligned.jpg").is_file()


def test_a_picture_too_long_for_its_overlay_keeps_its_numbers(align, tmp_path):
    long = flat_png(tmp_path / "long.png", 66_000, 20)
    small = write_rgb(tmp_path / "small.png", np.full((30, 30, 3), 90, np.uint8))
    outcome = align(long, small, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "long_aligned.jpg cannot be written" in outcome.err
    assert [entry["source"] for entry in stored(tmp_path / "out")["images"]] == [
        str(long),
        str(small),
    ]
    assert (tmp_path / "out" / "small_aligned.jpg").is_file()


def test_no_face_anywhere_is_no_error(align, tmp_path):
    photo = write_rgb(tmp_path / "empty.png", np.full((80, 100, 3), 127, np.uint8))
    outcome = align(photo, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert stored(tmp_path / "out")["faces"] == []
    header, *rows = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()
    assert header.startswith("image,source")
    assert rows == []


def test_pixels_of_every_kind(align, face, tmp_path):
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    opaque = np.full((*face.shape[:2], 1), 255, np.uint8)
    folder = tmp_path / "in"
    folder.mkdir()
    write_rgb(folder / "0_rgb.png", face)
    write_rgb(folder / "1_rgba.png", np.concatenate([face, opaque], axis=-1))
    write_rgb(folder / "2_deep.png", face.astype(np.uint16) * 257)
    write_rgb(folder / "3_grey.png", grey)
    write_rgb(folder / "4_deep_grey.png", grey.astype(np.uint16) * 257)
    faces = align(folder, "--out", tmp_path / "out", "--json").json["photographs"]["faces"]
    assert [f["image"] for f in faces] == [0, 1, 2, 3, 4]
    points = np.array([f["landmarks"] for f in faces])
    # The same pixels in another format are the same face; a grey one has other pixels.
    np.testing.assert_allclose(points[1:3], points[[0, 0]], atol=1e-3)
    np.testing.assert_allclose(points[4], points[3], atol=1e-3)


def test_exif_rotated(align, face, tmp_path):
    upright = write_rgb(tmp_path / "upright.jpg", face)
    # Orientation 6: stored turned a quarter to the left, to be shown turned to the right.
    turned = write_rgb(tmp_path / "turned.jpg", np.rot90(face).copy())
    with_orientation(turned, 6)
    faces = align(upright, turned, "--out", tmp_path / "out", "--json").json["photographs"]["faces"]
    assert len(faces) == 2
    first, second = (np.array(f["landmarks"]) for f in faces)
    # JPEG loses other details of turned pixels, so the detector's box may differ a little.
    assert np.abs(first - second).max() < 12


def test_one_pixel(align, tmp_path):
    photo = write_rgb(tmp_path / "dot.png", np.full((1, 1, 3), 200, np.uint8))
    outcome = align(photo, "--out", tmp_path / "out")
    assert (outcome.code, outcome.out) == (0, f"{photo}: no face found\n")


def test_a_hundred_megapixels_are_refused_undecoded(align, tmp_path, monkeypatch):
    bomb = flat_png(tmp_path / "bomb.png", 10_000, 10_000)
    assert bomb.stat().st_size < 200_000
    decoded = []
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(arguments))
    outcome = align(bomb, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "10000×10000" in outcome.err
    assert not decoded


def test_boxes_of_ones_own(align, face, tmp_path):
    photo = write_rgb(tmp_path / "photo.png", face)
    boxes = [["--box", 60, 60, 190, 190], ["--box", 20, 30, 120, 140]]
    words = [word for box in boxes for word in box]
    faces = align(photo, *words, "--out", tmp_path / "o", "--json").json["photographs"]["faces"]
    assert [f["box"] for f in faces] == [[60, 60, 190, 190], [20, 30, 120, 140]]
    wrong = align(photo, "--box", 5, 5, 5, 9, "--out", tmp_path / "o")
    assert wrong.code == 2
    assert is_one_line(wrong.err)


def test_bad_pictures_among_good_ones(align, face, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_rgb(folder / "a.png", face)
    (folder / "b.png").write_bytes(b"no picture at all")
    (folder / "c.jpg").write_bytes((write_rgb(tmp_path / "c.jpg", face)).read_bytes()[:900])
    write_rgb(folder / "d.png", face)
    outcome = align(folder, "--out", tmp_path / "out", "--json")
    assert outcome.code == 2
    assert [f["image"] for f in outcome.json["photographs"]["faces"]] == [0, 1]
    assert len(outcome.json["errors"]) == 2
    told = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 2
    assert "b.png" in told[0]
    assert "c.jpg" in told[1]
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["empty"], "empty"),
        (["text.jpg"], "text.jpg"),
        (["text.mp4"], "text.mp4"),
        (["photo.png", "--model", "absent.keras"], "absent.keras"),
        (["photo.png", "--model", "text.jpg"], "presets"),
        (["photo.png", "--passes", "0"], "passes"),
        (["photo.png", "--out", "text.jpg"], "text.jpg"),
        (["photo.png", "--out", "text.jpg/deeper"], "text.jpg/deeper"),
    ],
)
def test_what_users_do_wrong(align, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.jpg").write_text("no picture")
    Path("text.mp4").write_text("no clip")
    write_rgb(Path("photo.png"), np.full((40, 40, 3), 90, np.uint8))
    outcome = align(*words)
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert told in outcome.err


def test_names_stay_inside_the_folder(align, tmp_path):
    inside = tmp_path / "in"
    blank = np.full((30, 30, 3), 90, np.uint8)
    names = ["..", "-rf", "a b;c", "x\ny", "…/../../up", "CON", "é" * 100, ".hidden", "a&<b>"]
    paths = []
    for index, name in enumerate(names):
        path = inside / str(index) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", blank)[1].tobytes())
        paths.append(path)
    again = inside / "other" / "-rf.png"
    again.parent.mkdir()
    again.write_bytes(paths[0].read_bytes())
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    out = tmp_path / "out"
    words = [str(path) for path in [*paths, again]]
    assert align(*words, "--out", out).code == 0
    made = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert len(made) == len(words) + 2
    assert {p.parent for p in made} == {out}
    for path in made:
        assert not path.name.startswith((".", "-"))
        assert not set(path.name) & set(" ;&<>\n/\\")
    sources = [entry["source"] for entry in stored(out)["images"]]
    assert sources == words


def test_out_beside_the_photograph_leaves_it_alone(align, tmp_path):
    photo = write_rgb(tmp_path / "a.jpg", np.full((30, 30, 3), 90, np.uint8))
    before = photo.read_bytes()
    assert align(photo, "--out", tmp_path).code == 0
    assert photo.read_bytes() == before


def test_interrupt_keeps_what_was_found(align, face, tmp_path, monkeypatch):
    for name in "abc":
        write_rgb(tmp_path / f"{name}.png", face)
    draw, drawn = program.draw_faces, []

    def interrupted(image, faces):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(len(faces))
        return draw(image, faces)

    monkeypatch.setattr(program, "draw_faces", interrupted)
    outcome = align(tmp_path, "--out", tmp_path / "out")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert len(stored(tmp_path / "out")["faces"]) == 2
    assert (tmp_path / "out" / "b_aligned.jpg").is_file()


@pytest.fixture
def clip(face, tmp_path):
    """Twelve frames of a face that moves a little."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (256, 256))
    assert writer.isOpened()
    for step in range(12):
        writer.write(np.roll(face[..., ::-1], step, axis=1))
    writer.release()
    return path


def test_clip(align, clip, tmp_path):
    out = tmp_path / "out"
    outcome = align(clip, "--out", out, "--max-frames", 8, "--json")
    assert outcome.code == 0
    (entry,) = outcome.json["clips"]
    assert entry["fps"] == pytest.approx(10.0)
    assert len(entry["images"]) == 8
    assert {p.name for p in out.iterdir()} == {
        "clip_aligned.mp4", "clip_aligned.json", "clip_aligned.csv",
    }  # fmt: skip
    assert json.loads((out / "clip_aligned.json").read_text())["faces"] == entry["faces"]


def test_a_clip_that_is_cut_off_is_told(align, clip, tmp_path):
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 3])
    outcome = align(clip, "--out", tmp_path / "out", "--json")
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "clip.avi is damaged or cut off: " in outcome.err
    assert "of 12 announced frames" in outcome.err
    # What could be read is there.
    assert 0 < len(outcome.json["clips"][0]["images"]) < 9
    assert (tmp_path / "out" / "clip_aligned.mp4").is_file()


def test_interrupted_clip_keeps_its_numbers(align, clip, tmp_path, monkeypatch):
    real = program.align_video

    def interrupted(*arguments, on_frame, **options):
        def stop(index, image, faces):
            on_frame(index, image, faces)
            if index == 4:
                raise KeyboardInterrupt

        return real(*arguments, on_frame=stop, **options)

    monkeypatch.setattr(program, "align_video", interrupted)
    outcome = align(clip, "--out", tmp_path / "out")
    assert outcome.code == 130
    found = json.loads((tmp_path / "out" / "clip_aligned.json").read_text())
    assert len(found["images"]) == 5
    assert not (tmp_path / "out" / "clip_aligned.mp4").exists()
