"""What annotation tools write: COCO, imglab, .pts and CSV; the same faces through every door."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from tfalign import markup
from tfalign.data import sets
from tfalign.data.readers import coco, csv_table, imglab, pts, wflw

NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
MINE = markup.LandmarkScheme("mine", NAMES)


def test_the_same_faces_through_five_doors(tmp_path, rng):
    """98 points: written as WFLW, COCO, imglab, .pts and CSV, read as the same samples."""
    scheme, count = markup.WFLW98, 98
    pixels = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
    faces = {}
    for name in ("train/a.jpg", "train/b.jpg"):
        path = tmp_path / "WFLW_images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
        # Image space: the corner of the first pixel is 0; boxes in whole pixels, as imglab has it.
        faces[name] = rng.uniform(30, 90, (count, 2)), np.array([25.0, 28.0, 96.0, 97.0])
    (tmp_path / "images").symlink_to(tmp_path / "WFLW_images")

    lines, images, annotations, boxes = [], [], [], ["<dataset><images>"]
    table = [["image", *(f"box_{s}" for s in ("left", "top", "right", "bottom"))]]
    table[0] += [f"{point}_{c}" for point in scheme.points for c in "xy"]
    for number, (name, (points, box)) in enumerate(faces.items()):
        zero, one = points - 0.5, points + 0.5
        corners = box - 0.5  # a box of WFLW and of the table is in the points' convention
        text = [f"{value:.6f}" for value in zero.ravel()]
        rectangle = [f"{value:g}" for value in corners]
        lines.append(" ".join([*text, *rectangle, *"000000", name]))
        table.append([name, *rectangle, *text])
        images.append({"id": number, "file_name": name, "width": 160, "height": 120})
        x0, y0, x1, y1 = box
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0],
             "keypoints": np.column_stack([zero, np.full(count, 2)]).round(6).ravel().tolist()}
        )  # fmt: skip
        parts = "".join(f"<part name='{i}' x='{x:.6f}' y='{y:.6f}'/>"
                        for i, (x, y) in enumerate(zero))  # fmt: skip
        size = f"left='{x0:g}' top='{y0:g}' width='{x1 - x0:g}' height='{y1 - y0:g}'"
        boxes.append(f"<image file='images/{name}'><box {size}>{parts}</box></image>")
        rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in one)
        (tmp_path / "WFLW_images" / name).with_suffix(".pts").write_text(
            f"version: 1\nn_points: {count}\n{{\n{rows}\n}}\n"
        )
    listed = tmp_path / wflw.FILES["train"]
    listed.parent.mkdir(parents=True)
    listed.write_text("\n".join(lines) + "\n")
    category = {"id": 1, "name": "wflw98", "keypoints": scheme.points}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "train.xml").write_text("\n".join([*boxes, "</images></dataset>"]))
    (tmp_path / "train.csv").write_text("\n".join(map(",".join, table)) + "\n")

    official = sets.get("wflw").read(tmp_path, "train")
    expected = {sample.name: sample for sample in official}
    assert list(expected) == list(faces)
    for name in ("coco", "imglab", "pts", "csv"):
        folder = tmp_path / "WFLW_images" if name == "pts" else tmp_path
        reader = sets.get(name).read(folder, "train", scheme=None if name == "coco" else "wflw98")
        assert reader.scheme.points == scheme.points
        # A face is known by its points, whoever wrote them.
        assert reader.digests() == official.digests()
        for sample in reader:
            truth = expected[sample.name.removeprefix("images/")]
            np.testing.assert_allclose(sample.landmarks, truth.landmarks, rtol=0, atol=1e-3)
            np.testing.assert_allclose(sample.landmarks, faces[truth.name][0], rtol=0, atol=1e-3)
            np.testing.assert_array_equal(sample.image, truth.image)
            assert sample.visible.all()
            if name != "pts":
                np.testing.assert_allclose(sample.box, truth.box, rtol=0, atol=1e-3)
                np.testing.assert_allclose(sample.box, faces[truth.name][1], rtol=0, atol=1e-3)


@pytest.fixture
def content(formats, tmp_path, rng):
    """The COCO file of the native format, as data that a test may change."""
    formats["coco"].build(tmp_path, rng)
    return json.loads((tmp_path / "train.json").read_text())


def rewrite(root, content):
    (root / "train.json").write_text(json.dumps(content))
    return root


def test_coco_names_become_the_scheme(content, tmp_path):
    scheme = coco.read(tmp_path).scheme
    assert (scheme.name, scheme.points, scheme.edges) == ("face", NAMES, ((0, 1),))
    assert scheme.flip_map == (1, 0, 2, 4, 3)


def test_coco_entries_without_points_are_noted(content, tmp_path):
    empty = {**content["annotations"][0], "id": 9, "keypoints": [0] * 15, "num_keypoints": 0}
    crowd = {**content["annotations"][1], "id": 10, "iscrowd": 1}
    content["annotations"] += [empty, crowd]
    reader = coco.read(rewrite(tmp_path, content))
    assert len(reader) == 3
    assert [problem.kind for problem in reader.report.noted] == ["not-annotated"] * 2


def test_coco_boxes_far_beyond_the_picture_are_noted(content, tmp_path):
    for annotation in content["annotations"]:
        annotation["bbox"] = [1, 1, 60, 19]
    reader = coco.read(rewrite(tmp_path, content))
    assert len(list(reader)) == 3
    assert {problem.kind for problem in reader.report.noted} == {"box-outside-image"}
    assert len(reader.report.noted) == 3
    assert "box=[1.0, 1.0, 61.0, 20.0] in 24×20 pixels" in reader.report.table()


def test_coco_entries_of_other_categories_are_counted(content, tmp_path):
    content["categories"].append({"id": 8, "name": "hand"})
    change(content, category_id=8)
    reader = coco.read(rewrite(tmp_path, content))
    assert len(reader) == 2
    (problem,) = reader.report.noted
    assert str(problem).endswith("train.json: of other categories than 'face' are 1 annotations.")


def change(content, **values):
    content["annotations"][1].update(values)


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        ("wrong-number-of-points", lambda c: change(c, keypoints=[1, 2, 2])),
        ("wrong-number-of-points", lambda c: change(c, keypoints=[1, 2, 0, 4, 5, 0, 7, 8, 0, 9])),
        ("wrong-number-of-points", lambda c: change(c, num_keypoints=3)),
        ("malformed-line", lambda c: change(c, keypoints=[1, 2, 3] * 5)),
        ("malformed-line", lambda c: change(c, keypoints=[1, "2", 2] * 5)),
        ("malformed-line", lambda c: change(c, keypoints=[1, True, 2] * 5)),
        ("malformed-line", lambda c: change(c, bbox=[1, 2, 3])),
        ("malformed-line", lambda c: change(c, category_id=8)),
        ("malformed-line", lambda c: change(c, category_id="7")),
        ("malformed-line", lambda c: change(c, category_id=[7])),
        ("malformed-line", lambda c: c["annotations"][1].pop("category_id")),
        ("malformed-line", lambda c: change(c, image_id=77)),
        ("malformed-line", lambda c: change(c, image_id=[1])),
        ("empty-box", lambda c: change(c, bbox=[1, 2, 0, 4])),
        ("duplicate", lambda c: change(c, keypoints=c["annotations"][2]["keypoints"])),
        ("missing-image", lambda c: c["images"][1].update(file_name="none.png")),
        ("malformed-line", lambda c: c["images"][1].update(width=24.5)),
        ("malformed-line", lambda c: c["images"][1].update(width="wide")),
        ("malformed-line", lambda c: c["images"][1].update(height=-20)),
        ("malformed-line", lambda c: c["images"][1].pop("height")),
        ("malformed-line", lambda c: c["images"][1].update(file_name="../b.png")),
        ("malformed-line", lambda c: c["images"][1].update(file_name="C:\\b.png")),
    ],
)
def test_bad_coco_entries_are_named_or_skipped(content, tmp_path, kind, edit):
    edit(content)
    rewrite(tmp_path, content)
    with pytest.raises((ValueError, FileNotFoundError), match=r"train\.json: ") as caught:
        coco.read(tmp_path)
    assert caught.value.problem.kind == kind
    assert kind in coco.read(tmp_path, on_error="skip").report.counts


@pytest.mark.parametrize("width", [48, 48.0, "48", "48.0"])
def test_an_image_of_another_size_than_annotated_is_refused(content, tmp_path, width):
    content["images"][0]["width"] = width
    (sample, *_) = coco.read(rewrite(tmp_path, content), on_error="skip")
    assert sample.name == "b c.png"
    with pytest.raises(ValueError, match=r"annotation is for 48×20 pixels.*24×20"):
        list(coco.read(tmp_path))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("images"), "`images` must be a list"),
        (lambda c: c["images"].append(dict(c["images"][0])), "id must differ"),
        (lambda c: c["categories"].append({**c["categories"][0], "id": 8}), "one category"),
        (lambda c: c.update(categories=[]), "one category"),
        (lambda c: c["categories"][0].update(keypoints=["left_a", "b"]), "`scheme` must be given"),
    ],
)
def test_files_that_are_no_coco(content, tmp_path, edit, message):
    edit(content)
    with pytest.raises(ValueError, match=rf"train\.json.*{message}"):
        coco.read(rewrite(tmp_path, content), on_error="skip")


def test_coco_text_that_json_would_let_through(content, tmp_path):
    text = (tmp_path / "train.json").read_text()
    for bad in (re.sub(r'"num_keypoints": 5', '"num_keypoints": NaN', text, count=1),
                text.replace('"id": 1,', '"id": 1, "id": 2,', 1)):  # fmt: skip
        (tmp_path / "train.json").write_text(bad)
        with pytest.raises(ValueError, match=r"train\.json.*(finite|twice)"):
            coco.read(tmp_path)


def test_coco_category_scheme_and_splits(content, tmp_path):
    content["categories"].append({"id": 8, "name": "hand", "keypoints": ["a", "b"]})
    rewrite(tmp_path, content)
    assert coco.read(tmp_path, category="face").scheme.points == NAMES
    assert coco.read(tmp_path, category="face", scheme=MINE.to_config()).scheme == MINE
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train.json").rename(tmp_path / "annotations/train.json")
    (tmp_path / "val").mkdir()
    for path in (tmp_path / "images").iterdir():
        (tmp_path / "val" / path.name).write_bytes(path.read_bytes())
    roboflow = tmp_path / "val/_annotations.coco.json"
    roboflow.write_bytes((tmp_path / "annotations/train.json").read_bytes())
    found = sets.get("coco")
    assert len(found.read(tmp_path, "train", category="face")) == 3
    assert len(found.read(tmp_path, "val", category="face")) == 3
    assert len(coco.read(roboflow, category="face")) == 3
    with pytest.raises(FileNotFoundError, match=r"test\.json"):
        found.read(tmp_path, "test", category="face")
    with pytest.raises(ValueError, match="A single file has no splits"):
        found.read(roboflow, "test", category="face")


def test_coco_numbers_are_names_where_the_scheme_has_them(content, tmp_path):
    by_order = coco.read(tmp_path)[0].landmarks
    content["categories"][0]["keypoints"] = ["5", "4", "3", "2", "1"]
    rewrite(tmp_path, content)
    numbered = markup.LandmarkScheme("numbered", ("1", "2", "3", "4", "5"))
    found = coco.read(tmp_path, scheme=numbered)[0].landmarks
    np.testing.assert_array_equal(found, by_order[::-1])
    np.testing.assert_array_equal(coco.read(tmp_path, scheme=MINE)[0].landmarks, by_order)


def test_wholebody_faces_are_68_points(tmp_path, rng):
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(tmp_path / "a.png")
    points = rng.uniform(3, 17, (68, 2))
    annotation = {
        "image_id": 1, "category_id": 1, "keypoints": [0] * 51, "face_box": [2, 3, 16, 15],
        "face_kpts": np.column_stack([points, np.full(68, 2)]).ravel().tolist(), "face_valid": True,
    }  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [annotation, {**annotation, "face_valid": False}],
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose"] * 17}],
    }
    (sample,) = coco.read(rewrite(tmp_path, content), part="face")
    assert sample.scheme is markup.IBUG68
    np.testing.assert_allclose(sample.landmarks, points + 0.5, rtol=1e-6)
    np.testing.assert_array_equal(sample.box, [2, 3, 18, 18])


def sideways(path, pixels):
    """Writes pixels as a phone does: stored sideways, with EXIF's orientation 6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.rot90(pixels).copy()).save(buffer, "PNG", exif=exif)
    path.write_bytes(buffer.getvalue())


def test_points_lie_on_the_picture_as_tools_show_it(content, tmp_path):
    upright = coco.read(tmp_path)[0].image
    sideways(tmp_path / "images/a.png", upright)
    np.testing.assert_array_equal(coco.read(tmp_path)[0].image, upright)
    # A tool that ignores the orientation states the stored size.
    content["images"][0].update(width=20, height=24)
    assert coco.read(rewrite(tmp_path, content))[0].image.shape == (24, 20, 3)


@pytest.mark.parametrize(("name", "file"), [("pts", "ann/a.png"), ("imglab", "a.png")])
def test_where_nothing_tells_a_turned_picture_is_refused(formats, tmp_path, rng, name, file):
    formats[name].build(tmp_path, rng)
    dataset = sets.get(name)
    before = dataset.read(tmp_path, ())[0].image
    sideways(tmp_path / file, before)
    with pytest.raises(ValueError, match=r"a\.png: .*upright=true.*Received: EXIF orientation 6"):
        list(dataset.read(tmp_path, ()))
    shown = dataset.read(tmp_path, (), **dataset.parse_options(["upright=true"]))
    np.testing.assert_array_equal(shown[0].image, before)
    stored = dataset.read(tmp_path, (), on_error="skip", **dataset.parse_options(["upright=false"]))
    np.testing.assert_array_equal(stored.records[0].image.load(), np.rot90(before))


@pytest.fixture
def xml(formats, tmp_path, rng):
    formats["imglab"].build(tmp_path, rng)
    return tmp_path / "train.xml"


def test_imglab_parts_by_number_and_by_name(xml, tmp_path):
    plain = imglab.read(tmp_path)
    assert plain.scheme.points == ("00", "01", "02", "03", "04")
    assert plain.scheme.flip_map is None
    named = imglab.read(tmp_path, scheme=MINE)
    np.testing.assert_array_equal(named[0].landmarks, plain[0].landmarks)
    text = xml.read_text()
    for number, name in enumerate(NAMES):
        text = text.replace(f"name='0{number}'", f"name='{name}'")
    xml.write_text(text)
    np.testing.assert_array_equal(imglab.read(tmp_path, scheme=MINE)[0].landmarks,
                                  plain[0].landmarks)  # fmt: skip
    assert imglab.read(tmp_path).scheme.points == tuple(sorted(NAMES))
    with pytest.raises(ValueError, match="must be a point of the scheme 'ibug68'"):
        imglab.read(tmp_path, scheme="ibug68")


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("malformed-line", " x='", " z='"),
        ("malformed-line", "name='01'", "name='00'"),
        ("malformed-line", "left='2'", ""),
        ("malformed-line", "left='2'", "left='2a'"),
        ("missing-image", "file='a.png'", "file='c.png'"),
        ("empty-box", "width='20'", "width='0'"),
    ],
)
def test_bad_imglab_entries(xml, tmp_path, kind, old, new):
    xml.write_text(xml.read_text().replace(old, new, 1))
    with pytest.raises((ValueError, FileNotFoundError), match=r"train\.xml:[0-9]+: ") as caught:
        imglab.read(tmp_path)
    assert caught.value.problem.kind == kind
    assert len(imglab.read(tmp_path, on_error="skip")) == 2


def test_imglab_parts_that_are_probably_misspelt(tmp_path):
    """A name of its own makes a point of its own, which hardly any face has."""
    boxes = [["eye", "nose", "chin"] for _ in range(30)]
    boxes[7][2] = "Chin"

    def read(**options):
        text = ""
        for index, names in enumerate(boxes):
            Image.new("RGB", (50, 50)).save(tmp_path / f"{index}.png")
            parts = (f"<part name='{p}' x='{9 * i}' y='{9 + i * i}'/>" for i, p in enumerate(names))
            text += f"<image file='{index}.png'><box left='0' top='0' width='40' height='40'>"
            text += f"{''.join(parts)}</box></image>"
        (tmp_path / "a.xml").write_text(f"<images>{text}</images>")
        return imglab.read(tmp_path / "a.xml", **options)

    (noted,) = read().report.noted
    assert "the part 'Chin' is in 1 of 30 faces only: is it misspelt?" in noted.message
    boxes[7][2] = "chin"
    assert not read().report.noted
    boxes[:] = [["00", "01", "02"] for _ in range(30)]
    boxes[7][2] = "2"
    with pytest.raises(
        ValueError, match=r"one number in two ways. Received: .*'02', '2'|'2', '02'"
    ):
        read()
    # Where a scheme says what the numbers mean, both are its third point.
    assert read(scheme={"name": "own", "points": ["a", "b", "c"]}).records[7].annotated.all()


def test_imglab_files_that_could_do_harm_or_are_cut(xml, tmp_path):
    text = xml.read_text()
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa">]>'
    for bad in (text.replace("<dataset>", bomb + "<dataset>"), text[:300], "", "<html>"):
        xml.write_text(bad)
        with pytest.raises(ValueError, match=r"train\.xml:[0-9]+: an XML file of imglab"):
            imglab.read(tmp_path, on_error="skip")


def test_imglab_ignored_boxes_are_noted(xml, tmp_path):
    xml.write_text(xml.read_text().replace("<box ", "<box ignore='1' ", 1))
    reader = imglab.read(tmp_path)
    assert len(reader) == 2
    assert [problem.kind for problem in reader.report.noted] == ["not-annotated"]


def test_pts_of_any_number_with_names_and_folders(formats, tmp_path, rng):
    formats["pts"].build(tmp_path, rng)
    assert pts.read(tmp_path).scheme == markup.LandmarkScheme.unnamed(5)
    assert pts.read(tmp_path, scheme=MINE).scheme == MINE
    assert len(pts.read(tmp_path, "bob")) == 2
    assert len(pts.read(tmp_path, "train")) == 3
    np.testing.assert_allclose(
        pts.read(tmp_path, first_pixel=0)[0].landmarks, pts.read(tmp_path)[0].landmarks + 1
    )
    path = tmp_path / "bob/b.pts"
    path.write_text(re.sub(r"n_points: 5\n\{\n.*\n", "n_points: 4\n{\n", path.read_text()))
    with pytest.raises(ValueError, match=r"b\.pts: a face must have 5 points"):
        pts.read(tmp_path)
    assert pts.read(tmp_path, on_error="skip").report.counts == {"wrong-number-of-points": 1}
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there must be \.pts files"):
        pts.read(tmp_path, "empty", on_error="skip")


@pytest.mark.parametrize("divider", [" ", ",", ", ", "\t", "   "])
def test_bare_pts_may_be_divided_by_blanks_or_commas(formats, tmp_path, rng, divider):
    formats["pts_bare"].build(tmp_path, rng)
    before = pts.parse_pts(tmp_path / "ann/a.pts")
    path = tmp_path / "ann/a.pts"
    path.write_text(path.read_text().replace(", ", divider))
    np.testing.assert_array_equal(pts.parse_pts(path), before)


@pytest.fixture
def table(formats, tmp_path, rng):
    formats["csv"].build(tmp_path, rng)
    return tmp_path / "train.csv"


def test_csv_columns_become_points_and_attributes(table, tmp_path):
    reader = csv_table.read(tmp_path)
    assert reader.scheme.points == NAMES
    assert reader[0].attributes == {"person": "Ann"}
    other = csv_table.read(tmp_path, scheme=markup.LandmarkScheme("other", NAMES[::-1]))
    np.testing.assert_array_equal(other[0].landmarks, reader[0].landmarks[::-1])
    with pytest.raises(ValueError, match="the 68 points of the scheme 'ibug68'"):
        csv_table.read(tmp_path, scheme="ibug68")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv_may_be_divided_otherwise_and_quoted(table, tmp_path, delimiter):
    before = csv_table.read(tmp_path)[1].landmarks
    table.write_text(table.read_text().replace(",", delimiter).replace("b c.png", '"b c.png"'))
    np.testing.assert_array_equal(csv_table.read(tmp_path)[1].landmarks, before)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_row_may_start_or_end_with_empty_cells(tmp_path, delimiter):
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(tmp_path / "a.png")
    rows = ["image,a_x,a_y,b_x,b_y,c_x,c_y", "a.png,3,4,9,12,,", ",3,4,5,6,7,8"]
    (tmp_path / "f.csv").write_text("\n".join(rows).replace(",", delimiter) + "\n")
    reader = csv_table.read(tmp_path, on_error="skip")
    np.testing.assert_array_equal(reader[0].annotated, [True, True, False])
    (problem,) = reader.report.skipped
    assert problem.message == "a row must name its image."


def test_csv_splits_by_file_and_by_column(table, tmp_path):
    lines = table.read_text().splitlines()
    assert len(csv_table.read(table, "train")) == 3
    table.write_text("\n".join(
        f"{line},{end}" for line, end in zip(lines, ("split", "train", "val", "train"), strict=True)
    ) + "\n")  # fmt: skip
    assert len(csv_table.read(tmp_path)) == 3
    table.rename(tmp_path / "all.csv")
    assert [r.name for r in csv_table.read(tmp_path, "train").records] == ["a.png", "b c.png"]
    assert len(csv_table.read(tmp_path / "all.csv", "val")) == 1
    with pytest.raises(FileNotFoundError, match="no row has 'test'"):
        csv_table.read(tmp_path, "test")


def test_csv_rows_without_a_split_are_not_in_every_split(table, tmp_path):
    lines = table.read_text().splitlines()
    (tmp_path / "a.csv").write_text(f"{lines[0]},split\n{lines[1]},train\n{lines[1]},test\n")
    table.rename(tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"b\.csv: .*column 'split'.* give a\.csv alone"):
        csv_table.read(tmp_path, "train", on_error="skip")


@pytest.mark.parametrize(
    ("header", "points"),
    [
        (",0,1,2,3,4,5", 3),
        ("file,x_1,y_1,x_2,y_2,x_3,y_3", 3),
        ("file,x0,y0,x1,y1,x2,y2", 3),
        ("file,x0,x1,x2,y0,y1,y2", 3),
    ],
)
def test_common_csv_headers(tmp_path, header, points):
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "f.csv").write_text(f"{header}\na.png,3,4,5,6,7,9\n")
    (sample,) = csv_table.read(tmp_path)
    assert sample.scheme == markup.LandmarkScheme.unnamed(points)
    x = [3, 4, 5] if "x0,x1" in header else [3, 5, 7]
    np.testing.assert_array_equal(sample.landmarks[:, 0], np.array(x) + 0.5)


@pytest.mark.parametrize(
    "header",
    ["image", "image,a,b", "image,0,1,2", "image,1,0", "image,x0,y0,x1", "image,x0,y0,x2,y2",
     "image,x0,y0,x0,y0", "image,left_x,left_y,nose_x,nose_y", "image,a_x,a_y,a_v,b_x,b_y",
     "image,a_y,a_x", "image,a_x,a_y,b_x"],
)  # fmt: skip
def test_headers_that_tell_no_points(tmp_path, header):
    (tmp_path / "f.csv").write_text(f"{header}\n")
    with pytest.raises(ValueError, match=r"f\.csv"):
        csv_table.read(tmp_path)


@pytest.mark.parametrize(
    "box",
    ["x1,y1,x2,y2", "x0,y0,x1,y1", "0,1,2,3", "x,y,w,h", "left,top,width,height",
     "xmin,ymin,xmax,ymax", "box_x,box_y,box_w,box_h", "box_left,box_top", "bbox",
     "bbox_x1,bbox_y1,bbox_x2,bbox_y2",
     "BBox_X,BBox_Y,BBox_Width,BBox_Height", "face_x,face_y,face_w,face_h"],
)  # fmt: skip
def test_a_box_by_other_names_is_not_taken_for_points_or_dropped(tmp_path, box):
    (tmp_path / "f.csv").write_text(f"image,{box},left_eye_x,left_eye_y,right_eye_x,right_eye_y\n")
    with pytest.raises(ValueError, match=r"f\.csv:1: .* box_left, box_top, box_right, box_bottom"):
        csv_table.read(tmp_path, on_error="skip")


def test_a_csv_box_may_have_a_width_and_a_height(table, tmp_path):
    before = csv_table.read(tmp_path)[0]
    lines = [line.split(",") for line in table.read_text().splitlines()]
    lines[0][4:6] = "box_width", "box_height"
    for row in lines[1:]:
        left, top, right, bottom = map(float, row[2:6])
        row[4:6] = str(right - left), str(bottom - top)
    table.write_text("\n".join(map(",".join, lines)) + "\n")
    sample = csv_table.read(tmp_path)[0]
    np.testing.assert_allclose(sample.box, before.box, rtol=1e-6)
    assert (sample.box_source, sample.attributes) == ("file", before.attributes)


def test_csv_numbers_may_have_visibilities(tmp_path):
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(tmp_path / "a.png")
    head = "image," + ",".join(f"x{i},y{i},v{i}" for i in range(4))
    (tmp_path / "f.csv").write_text(f"{head}\na.png,3,4,2,0,0,0,5,6,1,7,9,2\n")
    (sample,) = csv_table.read(tmp_path)
    np.testing.assert_array_equal(sample.annotated, [True, False, True, True])
    np.testing.assert_array_equal(sample.visible, [True, False, False, True])
    assert sample.attributes == {}
    (tmp_path / "f.csv").write_text(f"{head}\na.png,3,4,0.9,0,0,0,5,6,1,7,9,2\n")
    with pytest.raises(ValueError, match=r"f\.csv:2: v must be 0, 1 or 2\. Received: '0\.9'"):
        csv_table.read(tmp_path)


@pytest.mark.parametrize(
    "header",
    ["x0,y0,v0,x1,y1", "x0,y0,vis0,x1,y1,vis1", "0,1,v0,2,3,v1", "a_x,a_y,a_visible,b_x,b_y",
     "a_x,a_y,a_visibility,b_x,b_y,b_visibility", "a_x,a_y,a_V,b_x,b_y,b_V"],
)  # fmt: skip
def test_visibilities_by_other_names_are_not_dropped(tmp_path, header):
    (tmp_path / "f.csv").write_text(f"image,is_visible,{header}\n")
    with pytest.raises(ValueError, match=r"f\.csv:1: .*(NAME_v|none of \['v1'\])"):
        csv_table.read(tmp_path, on_error="skip")


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        ("malformed-line", lambda row: row[:-1]),
        ("malformed-line", lambda row: ["", *row[1:]]),
        ("malformed-line", lambda row: [*row[:-1], "3"]),
        ("malformed-line", lambda row: [*row[:-3], "", "5.0", "2"]),
        ("not-finite", lambda row: [*row[:-3], "nan", "5.0", "2"]),
        ("missing-image", lambda row: ["c.png", *row[1:]]),
        ("empty-box", lambda row: [*row[:2], "5", "5", "5", "9", *row[6:]]),
    ],
)
def test_bad_rows(table, tmp_path, kind, edit):
    lines = table.read_text().splitlines()
    lines[1] = ",".join(edit(lines[1].split(",")))
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises((ValueError, FileNotFoundError), match=r"train\.csv:2: ") as caught:
        csv_table.read(tmp_path)
    assert caught.value.problem.kind == kind
    assert csv_table.read(tmp_path, on_error="skip").report.counts == {kind: 1}
