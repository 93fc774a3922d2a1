"""`tfalign align` on photographs as people have them, folders, clips, and nasty names."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli.conftest import flat_png, is_one_line, with_orientation, write_rgb
from PIL import Image, ImageFile

import tfalign.cli.align_clips as clips
import tfalign.cli.align_photographs as photographs
from tfalign.inference import Aligner, read_image
from tfalign.inference.detectors import blazeface


@pytest.fixture
def align(tfalign, small_model):
    """Runs `tfalign align` with the small model, which is too coarse for the quality's limit."""

    def run(*words: object) -> Any:
        fixed = ["--model", small_model, "--detector", "haar", "--min-quality", 0, "--quiet"]
        return tfalign("align", *fixed, *words)

    return run


def stored(out: Path) -> list[dict[str, Any]]:
    """The rows of the photographs."""
    return [json.loads(line) for line in (out / "landmarks.jsonl").read_text().splitlines()]


def faces_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [face for row in rows for face in row["faces"]]


def test_one_face(align, face, tmp_path):
    photo = write_rgb(tmp_path / "photo.png", face)
    outcome = align(photo, "--out", tmp_path / "out", "--pts")
    assert outcome.code == 0
    assert outcome.out == f"{photo}: 1 face\n"
    (found,) = stored(tmp_path / "out")
    assert (found["source"], found["error"], found["scheme"]) == (str(photo), None, "ibug68")
    assert found["files"] == {
        "name": "photo", "pts": ["photo.pts"], "overlay": "photo_aligned.jpg",
        "source": [photo.stat().st_size, photo.stat().st_mtime_ns],
    }  # fmt: skip
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
    words = ["--detector", "haar", "--out", tmp_path / "out", "--json"]
    (only,) = faces_of(tfalign("align", photo, *words).json["photographs"])
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
    assert not found[1]["faces"]
    centres = [(f["box"][0] + f["box"][2]) / 2 for f in found[0]["faces"]]
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
    # Both pictures are a.png: the second one's files tell its folder, too.
    names = ["a.1.pts", "a.2.pts", "two_a.1.pts", "two_a.2.pts"]
    assert sorted(path.name for path in out.glob("*.pts")) == sorted(names)
    for name, found in zip(names, faces_of(stored(out)), strict=True):
        points = parse_pts(out / name) - 0.5
        np.testing.assert_allclose(points, found["landmarks"], atol=1e-3)


@pytest.mark.slow
def test_low_quality_is_told_and_the_option_reaches_clips(
    tfalign, small_model, face, clip, tmp_path
):
    """The untrained model is too coarse for every limit but 0."""
    photo = write_rgb(tmp_path / "photo.png", face)
    words = ["align", "--model", small_model, "--quiet", "--no-overlay", "--detector", "haar"]
    hint = "detection left out for low quality (--min-quality)"
    shown = tfalign(*words, photo, "--out", tmp_path / "o1")
    assert shown.out == f"{photo}: no face found; 1 {hint}\n"
    assert "--rotations" in shown.err
    low = tfalign(*words, clip, "--max-frames", 3, "--out", tmp_path / "o2")
    assert low.code == 0
    assert "3 frames, 0 faces tracked; " in low.out
    assert "left out for low quality (--min-quality)" in low.out
    # Its shapes have no area, so nothing can be followed; quality is no longer the reason.
    all_of_them = tfalign(
        *words, clip, "--max-frames", 3, "--min-quality", 0, "--out", tmp_path / "o3"
    )
    assert all_of_them.out == f"{clip}: 3 frames, 0 faces tracked\n"
    assert tfalign(*words, photo, "--min-quality", 1.5, "--out", tmp_path / "o4").code == 2


@pytest.mark.slow
def test_above_the_usual_limit(align, tmp_path):
    large = flat_png(tmp_path / "large.png", 8200, 8200)
    small = write_rgb(tmp_path / "small.png", np.full((30, 30, 3), 90, np.uint8))
    assert align(large, "--out", tmp_path / "o").code == 2
    outcome = align(large, small, "--max-pixels", 10**8, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert len(stored(tmp_path / "out")) == 2
    assert (tmp_path / "out" / "large_aligned.jpg").is_file()


def test_a_picture_too_long_for_its_overlay_keeps_its_numbers(align, tmp_path):
    long = flat_png(tmp_path / "long.png", 66_000, 20)
    small = write_rgb(tmp_path / "small.png", np.full((30, 30, 3), 90, np.uint8))
    outcome = align(long, small, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "long_aligned.jpg cannot be written" in outcome.err
    rows = stored(tmp_path / "out")
    assert [row["source"] for row in rows] == [str(long), str(small)]
    assert "long_aligned.jpg" in rows[0]["error"]
    assert rows[1]["error"] is None
    assert (tmp_path / "out" / "small_aligned.jpg").is_file()


def test_no_face_anywhere_is_no_error(align, tmp_path):
    photo = write_rgb(tmp_path / "empty.png", np.full((80, 100, 3), 127, np.uint8))
    outcome = align(photo, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "error" not in outcome.err
    assert faces_of(stored(tmp_path / "out")) == []
    header, *rows = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()
    assert header.startswith("source,face")
    assert rows == []


def test_the_summary_counts_all_that_the_folder_holds(align, face, clip, tmp_path):
    out, broken = tmp_path / "out", tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    one = write_rgb(tmp_path / "one.png", face)
    empty = write_rgb(tmp_path / "empty.png", np.full((80, 100, 3), 127, np.uint8))
    common = ["--out", out, "--no-overlay", "--max-frames", 2]
    assert align(one, broken, clip, *common).code == 2
    # What another command could not read says nothing of what this one has looked at.
    assert "no face found: --rotations" in align(empty, *common).err
    for word in (one, broken):
        align(word, *common)
    rows = stored(out)
    assert json.loads((out / "summary.json").read_text()) == {
        "inputs": 1,
        "done_before": 0,
        "left_out": [],
        "photographs": 3,
        "with_a_face": 1,
        "faces": 1,
        "clips": 1,
        "errors": [row["error"] for row in rows if row["error"]],
    }


def test_a_face_that_lies_on_its_side(align, face, tmp_path):
    photo = write_rgb(tmp_path / "a.png", np.ascontiguousarray(np.rot90(face)))
    outcome = align(photo, "--out", tmp_path / "plain")
    assert "no face found" in outcome.out
    assert "--rotations" in outcome.err
    turned = align(photo, "--rotations", "--out", tmp_path / "turned")
    assert "--rotations" not in turned.err
    assert faces_of(stored(tmp_path / "turned"))


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
    rows = align(folder, "--out", tmp_path / "out", "--json").json["photographs"]
    assert [len(row["faces"]) for row in rows] == [1] * 5
    faces = faces_of(rows)
    points = np.array([f["landmarks"] for f in faces])
    # The same pixels in another format are the same face; a grey one has other pixels.
    np.testing.assert_allclose(points[1:3], points[[0, 0]], atol=1e-3)
    np.testing.assert_allclose(points[4], points[3], atol=1e-3)


def test_exif_rotated(align, face, tmp_path):
    upright = write_rgb(tmp_path / "upright.jpg", face)
    # Orientation 6: stored turned a quarter to the left, to be shown turned to the right.
    turned = write_rgb(tmp_path / "turned.jpg", np.rot90(face).copy())
    with_orientation(turned, 6)
    outcome = align(upright, turned, "--out", tmp_path / "out", "--json")
    faces = faces_of(outcome.json["photographs"])
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
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *arguments: decoded.append(arguments))
    outcome = align(bomb, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "10000×10000" in outcome.err
    assert not decoded


def test_boxes_of_ones_own(align, face, tmp_path):
    photo = write_rgb(tmp_path / "photo.png", face)
    boxes = [["--box", 60, 60, 190, 190], ["--box", 20, 30, 120, 140]]
    words = [word for box in boxes for word in box]
    outcome = align(photo, *words, "--out", tmp_path / "o", "--json")
    faces = faces_of(outcome.json["photographs"])
    assert [f["box"] for f in faces] == [[60, 60, 190, 190], [20, 30, 120, 140]]
    wrong = align(photo, "--box", 5, 5, 5, 9, "--out", tmp_path / "p")
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
    assert [len(row["faces"]) for row in outcome.json["photographs"]] == [1, 0, 0, 1]
    assert [row["error"] is None for row in stored(tmp_path / "out")] == [True, False, False, True]
    assert len(outcome.json["errors"]) == 2
    told = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 2
    assert "b.png" in told[0]
    assert "c.jpg" in told[1]
    assert "Traceback" not in outcome.err
    # Mended, a picture is looked at by the same command; the one that is still broken is told.
    before = stored(tmp_path / "out")
    write_rgb(folder / "b.png", face)
    again = align(folder, "--out", tmp_path / "out", "--json")
    assert again.code == 2
    assert again.json["summary"]["done_before"] == 2
    rows = {Path(row["source"]).name: row for row in stored(tmp_path / "out")}
    assert sorted(rows) == ["a.png", "b.png", "c.jpg", "d.png"]
    assert rows["a.png"] == before[0]
    assert len(rows["b.png"]["faces"]) == 1
    assert [row for row in again.json["errors"] if "c.jpg" not in row] == []
    write_rgb(folder / "c.jpg", face)
    assert align(folder, "--out", tmp_path / "out").code == 0


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
        (["photo.png", "text.mp4", "--detect-every", "0"], "--detect-every"),
        (["photo.png", "text.mp4", "--max-frames", "0"], "--max-frames"),
        (["photo.png", "text.mp4", "--box", "1", "1", "9", "9"], "text.mp4"),
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
    assert "--rotations" not in outcome.err  # advice for pictures that were searched
    if words[0] == "photo.png" and len(words) > 1 and "text.jpg" not in words[-1]:
        assert not Path("aligned").exists()  # told before anything is written


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
    made -= {out / ".lock"}
    assert len(made) == len(words) + 4
    assert {p.parent for p in made} == {out}
    for path in made:
        assert not path.name.startswith((".", "-"))
        assert not set(path.name) & set(" ;&<>\n/\\")
    assert [row["source"] for row in stored(out)] == words


def test_out_beside_the_photograph_leaves_it_alone(align, tmp_path):
    photo = write_rgb(tmp_path / "a.jpg", np.full((30, 30, 3), 90, np.uint8))
    before = photo.read_bytes()
    assert align(photo, "--out", tmp_path).code == 0
    assert photo.read_bytes() == before


def test_interrupt_keeps_what_was_found(align, face, tmp_path, monkeypatch):
    for name in "abc":
        write_rgb(tmp_path / f"{name}.png", face)
    draw, drawn = photographs.draw_faces, []

    def interrupted(image, faces):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(len(faces))
        return draw(image, faces)

    monkeypatch.setattr(photographs, "draw_faces", interrupted)
    outcome = align(tmp_path, "--out", tmp_path / "out")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert len(stored(tmp_path / "out")) == 2
    assert (tmp_path / "out" / "b_aligned.jpg").is_file()
    # The same command goes on where it stopped.
    monkeypatch.setattr(photographs, "draw_faces", draw)
    again = align(tmp_path, "--out", tmp_path / "out")
    assert again.code == 0
    assert "2 of 3 inputs are done already" in again.out
    assert [Path(row["source"]).name for row in stored(tmp_path / "out")] == [
        "a.png", "b.png", "c.png",
    ]  # fmt: skip


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
    assert entry["frames"] == 8
    assert entry["files"] == ["clip_aligned.csv", "clip_aligned.jsonl", "clip_aligned.mp4"]
    rows = [json.loads(line) for line in (out / "clip_aligned.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(8))
    assert [row["seconds"] for row in rows] == pytest.approx([k / 10 for k in range(8)])
    assert sum(len(row["faces"]) for row in rows) == entry["faces"]


def test_a_clip_of_other_options_is_not_taken_for_done(tfalign, align, small_model, clip, tmp_path):
    out = tmp_path / "out"
    fixed = [clip, "--out", out, "--no-overlay"]
    assert align(*fixed, "--max-frames", 2).code == 0
    before = (out / "clip_aligned.jsonl").read_bytes()
    for words, told in (
        (["--max-frames", 4], "max_frames: there 2, wanted 4"),
        (["--max-frames", 2, "--detect-every", 3], "detect_every: there 10, wanted 3"),
        (["--max-frames", 2, "--no-smooth"], "smooth: there True, wanted False"),
    ):
        other = align(*fixed, *words)
        assert other.code == 2
        assert told in other.err
    assert (out / "clip_aligned.jsonl").read_bytes() == before
    assert "1 of 1 inputs are done already" in align(*fixed, "--max-frames", 2).out
    # Photographs take 0.2 where it is left out, clips another value: given, it is a change.
    words = ["align", clip, "--model", small_model, "--detector", "haar", "--max-frames", 1]
    words += ["--no-overlay", "--quiet", "--out", tmp_path / "other"]
    assert tfalign(*words).code == 0
    assert "clips.min_quality: there None, wanted 0.2" in tfalign(*words, "--min-quality", 0.2).err


def test_a_clip_that_is_cut_off_is_told(align, clip, tmp_path):
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 3])
    outcome = align(clip, "--out", tmp_path / "out", "--json")
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "clip.avi: " in outcome.err
    # What could be read is there.
    assert 0 < outcome.json["clips"][0]["frames"] < 9
    assert (tmp_path / "out" / "clip_aligned.mp4").is_file()


def test_interrupted_clip_keeps_its_numbers(align, clip, tmp_path, monkeypatch):
    real = clips.align_video

    def interrupted(*arguments, on_frame, **options):
        def stop(index, image, faces):
            on_frame(index, image, faces)
            if index == 4:
                raise KeyboardInterrupt

        return real(*arguments, on_frame=stop, **options)

    monkeypatch.setattr(clips, "align_video", interrupted)
    outcome = align(clip, "--out", tmp_path / "out")
    assert outcome.code == 130
    lines = (tmp_path / "out" / "clip_aligned.jsonl").read_text().splitlines()
    assert len(lines) == 5
    assert not (tmp_path / "out" / "clip_aligned.mp4").exists()


def test_the_row_of_a_clip_counts_what_was_left_out(align, clip, tmp_path):
    """A detection in each frame, none of which is good enough."""
    words = [clip, "--max-frames", 3, "--no-overlay", "--min-quality", 1]
    outcome = align(*words, "--out", tmp_path / "out")
    assert "0 faces tracked; 3 detections left out" in outcome.out
    (row,) = stored(tmp_path / "out")
    assert row["left_out"] == 3


def test_folders_clips_and_all_that_is_left_out(align, face, clip, tmp_path):
    """As `album/` of the reported cases, made anew."""
    album = tmp_path / "album"
    (album / "sub").mkdir(parents=True)
    picture = Image.fromarray(face)
    picture.save(album / "IMG_0001.JPG")
    picture.save(album / "g.gif")
    picture.save(album / "scan.tif")
    picture.save(album / "web.jfif", "JPEG")
    picture.save(album / "sub" / "IMG_0003.jpg")
    (album / "IMG_0002.HEIC").write_bytes(bytes.fromhex("00000018") + b"ftypheic" + bytes(12))
    (album / "VID_0004.avi").write_bytes(clip.read_bytes())
    (album / "._IMG_0001.JPG").write_bytes(b"Mac")
    (album / "notes.txt").write_text("no picture")
    words = [album, "--max-frames", 2, "--no-overlay"]
    outcome = align(*words, "--out", tmp_path / "flat")
    assert outcome.code == 2
    assert [Path(row["source"]).name for row in stored(tmp_path / "flat")] == [
        "IMG_0001.JPG", "IMG_0002.HEIC", "g.gif", "scan.tif", "web.jfif", "VID_0004.avi",
    ]  # fmt: skip
    assert "IMG_0002.HEIC" in outcome.err
    summary = json.loads((tmp_path / "flat" / "summary.json").read_text())
    left_out = {Path(entry["path"]).name: entry["reason"] for entry in summary["left_out"]}
    assert set(left_out) == {"._IMG_0001.JPG", "notes.txt", "sub"}
    assert "--recursive" in left_out["sub"]
    assert "left out: 3 entries" in outcome.err
    deep = align(*words, "--recursive", "--out", tmp_path / "deep")
    assert "IMG_0003.jpg: 1 face" in deep.out


@pytest.mark.slow
def test_patterns_and_lists(align, face, tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c d.png"):
        write_rgb(tmp_path / name, face)
    monkeypatch.chdir(tmp_path)
    assert align("[ab].png", "--out", "o1").code == 0
    # Absolute: the same names in another folder are other pictures.
    expected = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert [row["source"] for row in stored(Path("o1"))] == expected
    for number, separator in enumerate((b"\n", b"\0")):
        Path("list").write_bytes(separator.join([b"c d.png", b"a.png", b""]))
        assert align("--list", "list", "--out", f"l{number}").code == 0
        assert [Path(row["source"]).name for row in stored(Path(f"l{number}"))] == [
            "c d.png",
            "a.png",
        ]
    assert align("--out", "o2").code == 2
    Path("none").write_text("\n")
    assert "no name in none" in align("--list", "none", "--out", "o2").err
    assert align("*.gif", "--out", "o3").code == 2


@pytest.mark.slow
def test_results_of_another_run_are_not_replaced_nor_read(align, face, tmp_path):
    photo = write_rgb(tmp_path / "in.png", face)
    out = tmp_path / "out"
    assert align(photo, "--out", out).code == 0
    before = (out / "landmarks.jsonl").read_bytes()
    other = align(photo, "--passes", 1, "--out", out)
    assert other.code == 2
    assert "passes: there 2, wanted 1" in other.err
    assert (out / "landmarks.jsonl").read_bytes() == before
    assert align(photo, "--passes", 1, "--out", out, "--overwrite").code == 0
    assert len(stored(out)) == 1
    # A folder that holds its own output.
    again = align(tmp_path, out, "--passes", 1, "--out", out)
    assert again.code == 0
    assert [row["source"] for row in stored(out)] == [str(photo)]
    assert "written by this command" in again.err


def test_names_that_are_no_utf8_or_very_long(align, face, tmp_path):
    odd = os.path.join(os.fsencode(tmp_path), b"Andr\xe9.png")
    content = write_rgb(tmp_path / "plain.png", face).read_bytes()
    try:
        with open(odd, "wb") as file:
            file.write(content)
    except OSError:
        pytest.skip("this file system takes no such name")
    (tmp_path / f"{'語' * 81}.png").write_bytes(content)
    outcome = align(tmp_path, "--out", tmp_path / "out", "--pts")
    assert outcome.code == 0
    rows = stored(tmp_path / "out")
    assert [len(row["faces"]) for row in rows] == [1, 1, 1]
    assert [row["source_bytes"] for row in rows] == [odd.hex(), None, None]
    assert len(list((tmp_path / "out").glob("*.pts"))) == 3
    with (tmp_path / "out" / "landmarks.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert "3 of 3 inputs are done" in align(tmp_path, "--out", tmp_path / "out", "--pts").out
    assert len(stored(tmp_path / "out")) == 3


def test_overwriting_leaves_nothing_of_the_run_before(align, face, clip, tmp_path):
    out = tmp_path / "out"
    two = write_rgb(tmp_path / "two.png", np.concatenate([face, face], axis=1))
    (tmp_path / "out").mkdir()
    (out / "two.9.pts").write_text("of another program")
    words = [two, clip, "--out", out, "--max-frames", 2, "--pts", "--crops"]
    assert align(*words, "--parquet").code == 0
    written = {path.name for path in out.iterdir()}
    assert {"two.1.pts", "two.crop1.png", "two_aligned.jpg", "clip_aligned.mp4"} <= written
    one = write_rgb(tmp_path / "one.png", face)
    assert align(one, "--out", out, "--no-overlay", "--overwrite").code == 0
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        "landmarks.csv", "landmarks.jsonl", "settings.json", "summary.json", "two.9.pts",
    }  # fmt: skip


def test_pictures_and_clips_that_have_changed_are_done_anew(align, face, clip, tmp_path):
    """As frames that were extracted again into the same names: they kept the old ones' points."""
    photo, other = tmp_path / "in.png", write_rgb(tmp_path / "other.png", face)
    words = [photo, other, clip, "--pts", "--min-quality", 0, "--out"]
    write_rgb(photo, np.hstack([face, face]))
    assert align(*words, tmp_path / "out").code == 0
    assert (tmp_path / "out" / "in.2.pts").exists()
    first = stored(tmp_path / "out")
    assert "3 of 3 inputs are done already" in align(*words, tmp_path / "out").out
    assert stored(tmp_path / "out") == first
    write_rgb(photo, np.fliplr(face))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    again = align(*words, tmp_path / "out")
    assert "2 of 3 inputs have changed and are done anew" in again.out
    align(*words, tmp_path / "new")

    def by_source(out):
        return {row["source"]: row for row in stored(out)}

    assert by_source(tmp_path / "out") == by_source(tmp_path / "new")
    assert by_source(tmp_path / "out")[str(other)] == first[1]

    def files(out):
        kept = [path for path in out.iterdir() if path.suffix in (".jpg", ".pts", ".mp4")]
        return {path.name: path.read_bytes() for path in kept}

    assert files(tmp_path / "out") == files(tmp_path / "new")


def test_points_of_others_are_not_replaced(align, face, tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    write_rgb(album / "a.png", face)
    annotation = album / "a.pts"
    annotation.write_text("by hand")
    words = [album, "--out", album, "--no-overlay"]
    for more in (["--pts"], ["--pts", "--overwrite"]):
        outcome = align(*words, *more)
        assert outcome.code == 2
        assert str(annotation) in outcome.err
        assert annotation.read_text() == "by hand"
    assert align(*words).code == 0
    outcome = align(*words, "--pts", "--overwrite")
    assert outcome.code == 2
    assert annotation.read_text() == "by hand"
    assert len(stored(album)) == 1  # what would not be replaced is kept, too
    annotation.rename(tmp_path / "a.pts")
    assert align(*words, "--pts", "--overwrite").code == 0
    assert annotation.read_text().startswith("version: 1")
    assert align(*words, "--pts", "--overwrite").code == 0  # one's own points may be


def test_a_camera_keeps_what_it_has_shown_before(align, clip, tmp_path, monkeypatch):
    usual = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: usual(str(clip)))
    out = tmp_path / "out"
    words = ["--camera", 0, "--headless", "--out", out, "--no-overlay", "--max-frames", 2]
    assert align(*words).code == 0
    first = (out / "camera0_aligned.jsonl").read_text()
    assert align(*words).code == 0
    assert (out / "camera0_aligned.jsonl").read_text() == first
    assert len(list(out.glob("*_aligned.jsonl"))) == 2


def test_a_table_that_lies_there_gets_the_rows_of_a_later_run(align, face, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    for name, words in (("a.png", ["--parquet"]), ("b.png", [])):
        photo = write_rgb(tmp_path / name, face)
        assert align(photo, "--out", out, "--no-overlay", *words).code == 0
    table = parquet.read_table(out / "landmarks.parquet").to_pylist()
    assert [row["source"] for row in table] == [row["source"] for row in stored(out)]
    assert len(table) == 2


def test_parquet_has_the_same_rows(align, face, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rgb(tmp_path / "a.png", face)
    (tmp_path / "b.png").write_bytes(b"no picture")
    align(tmp_path, "--out", tmp_path / "out", "--parquet")
    table = parquet.read_table(tmp_path / "out" / "landmarks.parquet").to_pylist()
    for row, expected in zip(table, stored(tmp_path / "out"), strict=True):
        assert row == {key: expected[key] for key in row}


def test_crops_are_what_the_model_sees(align, face, tmp_path):
    photo = write_rgb(tmp_path / "a.png", face)
    align(photo, "--out", tmp_path / "out", "--crops")
    (row,) = stored(tmp_path / "out")
    assert row["files"]["crops"] == ["a.crop1.png"]
    assert read_image(tmp_path / "out" / "a.crop1.png").shape == (32, 32, 3)


@pytest.mark.slow
def test_a_killed_run_continues_and_does_nothing_twice(small_model, face, tmp_path):
    """Killed by SIGKILL at a random row, with two workers; then one by SIGTERM, then to the end."""
    folder = tmp_path / "in"
    folder.mkdir()
    first = write_rgb(folder / "0000.png", face)
    for number in range(1, 60):
        os.link(first, folder / f"{number:04}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "tfalign", "align", folder, "--model", small_model, "--out", out,
        "--workers", 2, "--detector", "haar", "--no-overlay", "--quiet",
    ]  # fmt: skip
    for stop in (signal.SIGKILL, signal.SIGTERM):
        rows = out / "landmarks.jsonl"
        before = rows.read_bytes().count(b"\n") if rows.exists() else 0
        with subprocess.Popen([str(word) for word in command], start_new_session=True) as process:
            begin = time.monotonic()
            while process.poll() is None and time.monotonic() - begin < 240:
                if rows.exists() and rows.read_bytes().count(b"\n") > before + 5:
                    # Only the parent is told, as by `docker stop`: its workers end with it.
                    process.send_signal(stop)
                    break
                time.sleep(0.05)
        with rows.open("ab") as file:
            file.write(b'{"source": "half a li')
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    assert done.returncode == 2  # for the picture that is none
    sources = [Path(row["source"]).name for row in stored(out)]
    assert sorted(sources) == sorted(path.name for path in folder.iterdir())
    points = {json.dumps(row["faces"]) for row in stored(out) if row["error"] is None}
    assert len(points) == 1


@pytest.mark.parametrize("case", ["rot90_noexif.jpg", "pts_clash", "audio_only.mp4"])
def test_reported_cases(tfalign, cases, case, tmp_path):
    pytest.importorskip("av")
    words = ["--rotations", "--pts", "--quiet", "--no-overlay", "--out", tmp_path / "out"]
    outcome = tfalign("align", cases / case, *words)
    rows = stored(tmp_path / "out")
    if case == "audio_only.mp4":
        assert outcome.code == 2
        assert is_one_line(outcome.err)
        return
    assert outcome.code == 0
    assert all(row["faces"] for row in rows)
    names = [name for row in rows for name in row["files"]["pts"]]
    assert len({name.lower() for name in names}) == sum(len(row["faces"]) for row in rows)
    assert sorted(names) == sorted(path.name for path in (tmp_path / "out").glob("*.pts"))


@pytest.mark.slow
def test_the_reported_album(tfalign, cases, tmp_path):
    pytest.importorskip("av")
    out = tmp_path / "out"
    tfalign("align", cases / "album", "--recursive", "--max-frames", 2, "--quiet", "--out", out)
    named = {row["source"] for row in stored(out)}
    summary = json.loads((out / "summary.json").read_text())
    named |= {entry["path"] for entry in summary["left_out"]}
    assert named == {str(path) for path in (cases / "album").rglob("*") if path.is_file()}
    assert len(summary["errors"]) == 1  # the HEIC file, which is a header alone


@pytest.mark.slow
def test_a_group_of_thirty_in_24_megapixels(cases):
    if not blazeface.is_available():
        pytest.skip("needs the extra `detector`")
    faces = Aligner().align(cases / "group30_24mp.jpg")
    assert 29 <= len(faces) <= 31
