import json
from dataclasses import replace

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data.pipeline import CropCache
from tfalign.data.readers import w300
from tfalign.evaluation import evaluate_cache, evaluate_model, mean_shape_predictor, shapes_in_crops
from tfalign.inference.backends import CallableBackend
from tfalign.inference.predictor import Predictor

PROTOCOL = "300w_inter_ocular"


@pytest.mark.parametrize("box", ["landmarks", "file"])
@pytest.mark.parametrize(
    "crop", ["300w", "wflw", geometry.CropConvention((0.3,) * 4, square=False)]
)
def test_an_oracle_has_no_error_whatever_the_crop(oracle_faces, box, crop):
    faces = oracle_faces(count=5)
    found = evaluate_model(
        faces.backend(crop=crop), faces.samples, PROTOCOL, box=box, batch_size=2, progress=False
    )
    # Colours are whole numbers: the oracle knows where it is to a few hundredths of a pixel.
    assert found.nme < 0.002
    np.testing.assert_allclose(found.predicted, found.truth, atol=0.15)


def test_the_error_is_measured_in_image_pixels(oracle_faces):
    faces = oracle_faces(count=5)
    small = evaluate_model(
        faces.backend(size=(24, 24), error=3.0), faces.samples, PROTOCOL, progress=False
    )
    assert small.nme == pytest.approx(3.0 / 30.0, rel=0.03)
    np.testing.assert_allclose(small.score.offset, [3, 0], atol=0.15)


def test_batches_do_not_matter(oracle_faces):
    faces = oracle_faces(count=5)
    found = [
        evaluate_model(faces.backend(), faces.samples, PROTOCOL, batch_size=b, progress=False)
        for b in (1, 3, 64)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.predicted, found[0].predicted, atol=1e-6)
        assert other.names == found[0].names


def test_98_points_are_scored_on_68(oracle_faces, rng):
    faces = oracle_faces("wflw98", count=3)
    backend = faces.backend(error=1.5)  # answers 98 points
    as_68 = [
        replace(s, landmarks=markup.convert(s.landmarks, "wflw98", "ibug68"), scheme="ibug68",
                visible=np.ones(68, bool), annotated=None)
        for s in faces.samples
    ]  # fmt: skip
    found = evaluate_model(backend, as_68, PROTOCOL, progress=False)
    assert found.predicted.shape == (3, 68, 2)
    assert found.nme == pytest.approx(1.5 / 30, rel=0.05)
    assert found.undefined == ()


def test_points_that_the_model_lacks_are_left_out_and_reported(oracle_faces):
    faces = oracle_faces("ibug68", count=3)
    as_29 = [
        replace(s, landmarks=markup.convert(s.landmarks, "ibug68", "cofw29", undefined="nan"),
                scheme="cofw29", visible=np.ones(29, bool), annotated=None)
        for s in faces.samples
    ]  # fmt: skip
    for sample in as_29:
        sample.landmarks[np.isnan(sample.landmarks)] = 50.0
    found = evaluate_model(
        faces.backend(), as_29, "cofw29_inter_ocular", progress=False, box="file"
    )
    lacking = markup.conversion("ibug68", "cofw29").undefined
    assert found.undefined == lacking
    assert found.nme < 0.005
    assert any("do not exist in the model's scheme" in note for note in found.notes)


def test_schemes_must_fit(oracle_faces):
    faces = oracle_faces("ibug68", count=1)
    with pytest.raises(ValueError, match=r"scores the scheme 'wflw98'.*annotations of ibug68"):
        evaluate_model(faces.backend(), faces.samples, "wflw_inter_ocular", progress=False)
    backend = faces.backend()
    backend.scheme = None
    with pytest.raises(ValueError, match="scheme is unknown"):
        evaluate_model(Predictor(backend), faces.samples, PROTOCOL, progress=False)
    with pytest.raises(ValueError, match="at least one face"):
        evaluate_model(faces.backend(), [], PROTOCOL, progress=False)


def test_detector_misses_are_counted(oracle_faces):
    faces = oracle_faces(count=3)

    def detector(image):
        if image[0, 0, 2] == 1:
            return np.zeros((0, 4), np.float32)
        box = geometry.box_from_landmarks(faces.samples[int(image[0, 0, 2])].landmarks)
        return np.asarray(box, np.float32)[None] + 2

    found = evaluate_model(
        faces.backend(), faces.samples, PROTOCOL, box="detector", detector=detector, progress=False
    )
    assert found.missed == ("helen/testset/1.png",)
    assert "missed 1 of 3 faces" in found.table()
    assert found.to_dict()["detector_misses"] == 1
    assert found.face_frame()["detector_missed"].tolist() == [False, True, False]


def test_box_protocols_use_annotated_boxes_only(oracle_faces):
    points = {"scheme": "aflw19", "count": 2}
    faces = oracle_faces(**points)
    found = evaluate_model(
        faces.backend(error=2.0), faces.samples, "aflw19_box_side", progress=False
    )
    sides = [geometry.box_size(s.box).max() for s in faces.samples]
    np.testing.assert_allclose(found.score.errors, 2.0 / np.array(sides), rtol=0.05)
    tight = [replace(s, box_source="landmarks") for s in faces.samples]
    with pytest.raises(ValueError, match="give `boxes`"):
        evaluate_model(faces.backend(), tight, "aflw19_box_side", progress=False)


def test_result_object(oracle_faces):
    faces = oracle_faces(count=6)
    found = evaluate_model(
        faces.backend(error=1.0), faces.samples, PROTOCOL, worst=2, split="test", progress=False
    )
    assert found.title == "oracle on 300w test, file boxes"
    assert list(found.subsets) == ["common", "all"]
    assert [s.protocol.name for s in found.related] == ["300w_inter_pupil"]
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["nme"] == found.nme
    assert content["subsets"]["common"]["faces"] == 6
    assert content["other_protocols"]["300w_inter_pupil"]["nme"] == found.related[0].nme
    assert content["parts"]["mouth"] == pytest.approx(found.nme, rel=0.05)
    table = found.table()
    assert "GRegLRef" not in table  # six faces are no published test set
    assert "never mix them" in table
    assert len(found.worst) == 2
    worst = found.names[int(found.score.errors.argmax())]
    assert found.worst[0].name == worst


def test_cache_gives_what_images_give(oracle_faces):
    faces = oracle_faces(count=4)
    size = (48, 48)
    shapes = shapes_in_crops([s.landmarks for s in faces.samples], "300w", size)
    model = mean_shape_predictor(shapes, "300w", "ibug68", size)
    cache = CropCache.build(faces.samples, "300w", size, workers=1)
    cached = evaluate_model(model, cache, PROTOCOL)
    direct = evaluate_model(model, faces.samples, PROTOCOL, box="file", progress=False)
    np.testing.assert_allclose(cached.predicted, direct.predicted, atol=1e-3)
    assert cached.nme == pytest.approx(direct.nme, rel=1e-5)
    oracle = evaluate_cache(faces.backend(size=size), cache, PROTOCOL)
    assert oracle.nme < 0.005
    with pytest.raises(ValueError, match=r"cut as model .* Received: image_size=\(48, 48\)"):
        evaluate_cache(faces.backend(size=(32, 32)), cache, PROTOCOL)
    with pytest.raises(ValueError, match="cut as model"):
        evaluate_cache(faces.backend(size=size, crop="wflw"), cache, PROTOCOL)


def test_a_reader_of_real_faces(real_data):
    reader = w300.read(real_data / "300w_subset", ["afw"])[:12]
    shapes = shapes_in_crops([r.landmarks for r in reader.records], "300w", (64, 64))
    model = mean_shape_predictor(shapes, "300w", "ibug68", (64, 64))
    found = evaluate_model(model, reader, PROTOCOL, progress=False)
    assert found.fingerprint == reader.fingerprint()
    # A mean shape is neither perfect nor off the face.
    assert 0.03 < found.nme < 0.4


def test_wrong_output_of_a_callable_is_refused(oracle_faces):
    faces = oracle_faces(count=2)
    backend = CallableBackend(
        lambda crops: np.zeros((len(crops), 51, 2)), (32, 32), "300w", "ibug68", "odd"
    )
    with pytest.raises(ValueError, match=r"'odd' must return \(2, 68, 2\).*\(2, 51, 2\)"):
        evaluate_model(backend, faces.samples, PROTOCOL, progress=False)


def test_crops_of_the_points_tight_box_are_not_divided_by_it(oracle_faces):
    """The set's protocol means the set's own box; a cache takes the tight one without a word."""
    faces = oracle_faces(scheme="aflw19", count=2)
    backend = faces.backend(error=2.0)
    tight = []
    for sample in faces.samples:
        box = geometry.box_from_landmarks(sample.landmarks[sample.annotated])
        tight.append(replace(sample, box=np.asarray(box), box_source="landmarks"))
    with pytest.raises(ValueError, match="tight box of 2 of 2 faces"):
        evaluate_cache(
            backend, CropCache.build(tight, backend.crop, backend.image_size), "aflw19_box_side"
        )
    own = CropCache.build(faces.samples, backend.crop, backend.image_size)
    evaluate_cache(backend, own, "aflw19_box_side")
