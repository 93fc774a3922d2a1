"""The page for apps: its numbers are the library's, and its Kotlin does what Python does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tfalign import geometry
from tfalign.data.synthetic import render
from tfalign.inference.crops import cut_crops
from tfalign.inference.one_euro import OneEuroFilter

PADDING = (0.1, 0.1, 0.1, 0.1)


def numbers(cell: str) -> list[float]:
    return [float(word) for word in re.split(r"[ ,]+", cell.replace("−", "-").strip())]


def test_the_table_to_check_against_is_what_geometry_computes(repository: Path) -> None:
    page = (repository / "android_demo_assets/README.md").read_text(encoding="utf-8")
    table = page.split("| box | region |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 3
    convention = geometry.CropConvention(PADDING, square=True)
    for line in table:
        box, region, scale, tx, ty, unit, place = map(numbers, line.strip("| ").split("|"))
        np.testing.assert_allclose(convention.region(np.array(box)), region, atol=1e-5)
        matrix = np.asarray(convention.crop_from_image(np.array(box), (112, 112)))
        expected = [[scale[0], 0, tx[0]], [0, scale[0], ty[0]]]
        np.testing.assert_allclose(matrix, expected, atol=1e-5)
        back = geometry.transform_points(geometry.invert(matrix), np.array([unit]) * 112)
        np.testing.assert_allclose(back, [place], atol=1e-4)


def test_the_page_names_what_the_folder_holds(repository: Path) -> None:
    folder = repository / "android_demo_assets"
    page = (folder / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page):
        assert (folder / target).exists(), target
    for name in ("points_ibug68.png", "points_wflw98.png", "demo.png", "demo.json"):
        assert (folder / name).is_file()
        assert name in page


MAIN = """
package tfalign
import java.io.File

fun main(arguments: Array<String>) {
    val file = File(arguments[0]).readBytes()
    val width = arguments[1].toInt()
    val argb = IntArray(file.size / 3) { i ->
        val rgb = (0..2).map { file[3 * i + it].toInt() and 0xff }
        (rgb[0] shl 16) or (rgb[1] shl 8) or rgb[2]
    }
    val picture = Picture(argb, width, argb.size / width)
    val crop = Crop(doubleArrayOf(0.1, 0.1, 0.1, 0.1), true, 56, 56)
    val b = arguments[2].split(",").map { it.toDouble() }
    val part = region(Box(b[0], b[1], b[2], b[3]), crop)
    File(arguments[3]).writeBytes(cut(picture, part, crop))
    val own = Crop(crop.padding, true, 56, 56, doubleArrayOf(0.1, 0.2, 0.1, 0.05))
    val found = landmarks(picture, Box(b[0], b[1], b[2], b[3]), own, 2) {
        floatArrayOf(0.25f, 0.25f, 0.75f, 0.875f)
    }
    val filter = OneEuroFilter()
    filter.filter(found, 0.0, 100.0)
    val moved = filter.filter(found.map { Point(it.x + 3, it.y - 1) }, 0.04, 100.0)
    println((found + moved).joinToString(" ") { "${it.x} ${it.y}" })
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 512])
def test_kotlin_cuts_and_filters_as_python(size: int, repository: Path, tmp_path: Path) -> None:
    if shutil.which("kotlinc") is None:
        pytest.skip("no Kotlin compiler here: apt-get install kotlin")
    source = repository / "android_demo_assets/kotlin/Alignment.kt"
    (tmp_path / "Main.kt").write_text(MAIN, encoding="utf-8")
    jar = tmp_path / "alignment.jar"
    files = [str(source), str(tmp_path / "Main.kt")]
    command = ["kotlinc", *files, "-include-runtime", "-d", str(jar)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sample = render(3, 1, size)
    (tmp_path / "picture.rgb").write_bytes(sample.image.tobytes())
    box = ",".join(str(float(v)) for v in sample.box)
    arguments = [str(tmp_path / "picture.rgb"), str(size), box, str(tmp_path / "crop.rgb")]
    command = ["java", "-cp", str(jar), "tfalign.MainKt", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    convention = geometry.CropConvention(PADDING, square=True)
    crops, _ = cut_crops([sample.image], sample.box[None], convention, (56, 56))
    found = np.frombuffer((tmp_path / "crop.rgb").read_bytes(), np.uint8).reshape(56, 56, 3)
    # Rounding alone, also where a large face is reduced first.
    difference = np.abs(found.astype(int) - crops[0])
    assert difference.mean() < 1.0
    assert np.percentile(difference, 99) <= 3

    unit = np.array([[0.25, 0.25], [0.75, 0.875]])
    box = sample.box
    for _ in range(2):
        crop_from_image = np.asarray(convention.crop_from_image(np.asarray(box), (56, 56)))
        points = geometry.transform_points(geometry.invert(crop_from_image), unit * 56)
        points = np.asarray(points)
        tight = np.concatenate([points.min(axis=0), points.max(axis=0)])
        box = np.asarray(geometry.pad_box(tight, (0.1, 0.2, 0.1, 0.05)))
    smooth = OneEuroFilter()
    smooth(points, 0.0, 100.0)
    moved = smooth(points + [3, -1], 0.04, 100.0)
    printed = np.array(done.stdout.split(), float).reshape(-1, 2)
    np.testing.assert_allclose(printed, np.concatenate([points, moved]), atol=1e-3)
