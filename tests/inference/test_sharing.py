"""One aligner for several threads and processes, and any iterable of images."""

import multiprocessing
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from inference.eyes import picture

from tfalign.data import synthetic
from tfalign.inference import Aligner, KerasBackend, TFLiteBackend
from tfalign.inference.detectors import DETECTORS, blazeface
from tfalign.models import GRegNet

BOXES = np.array([[20.0, 30, 80, 90], [120, 40, 160, 80]])


@pytest.fixture(scope="module")
def pictures():
    """Rendered faces of several sizes; every picture is another."""
    return [
        synthetic.render(5, index, size).image for index, size in enumerate((160, 200, 240) * 4)
    ]


@pytest.fixture(scope="module")
def model():
    return GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", name="small")


@pytest.fixture(scope="module")
def lite(model, tmp_path_factory):
    import tensorflow as tf

    path = tmp_path_factory.mktemp("lite") / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def backend_of(kind, model, lite):
    if kind == "keras":
        return KerasBackend(model)
    pytest.importorskip("ai_edge_litert")
    return TFLiteBackend(lite, crop="300w", scheme="ibug68")


@pytest.mark.parametrize("threads", [2, 8])
@pytest.mark.parametrize(
    ("kind", "detector"),
    [("keras", "haar"), ("tflite", "haar"), ("tflite", "blazeface"), ("tflite", "blazeface-full")],
)
def test_threads_get_the_same_results(kind, detector, threads, model, lite, pictures):
    assert detector in DETECTORS
    if detector != "haar" and not blazeface.is_available():
        pytest.skip("needs the extra `detector`")
    aligner = Aligner(backend_of(kind, model, lite), detector, min_quality=0.0)
    expected = [aligner.align(image) for image in pictures]
    assert sum(len(faces) for faces in expected) > 0
    with ThreadPoolExecutor(threads) as pool:
        for faces, wanted in zip(pool.map(aligner.align, pictures * 2), expected * 2, strict=True):
            np.testing.assert_array_equal(faces.boxes, wanted.boxes)
            np.testing.assert_array_equal(faces.landmarks, wanted.landmarks)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["keras", "tflite"])
@pytest.mark.parametrize("detector", DETECTORS[1:])
def test_ninety_six_pictures_twenty_times(kind, detector, model, lite):
    try:
        aligner = Aligner(backend_of(kind, model, lite), detector, min_quality=0.0)
    except ImportError as error:
        pytest.skip(str(error))
    pictures = [synthetic.render(7, index, 96 + 16 * (index % 4)).image for index in range(96)]
    expected = [aligner.align(image) for image in pictures]
    assert sum(len(faces) for faces in expected) > 20
    differing = 0
    for threads in (1, 2, 4, 8) * 20:
        with ThreadPoolExecutor(threads) as pool:
            for faces, wanted in zip(pool.map(aligner.align, pictures), expected, strict=True):
                differing += not np.array_equal(faces.landmarks, wanted.landmarks)
    assert differing == 0


@pytest.mark.parametrize("kind", ["keras", "tflite"])
def test_pickled_aligners_are_the_same(kind, model, lite, pictures):
    aligner = Aligner(backend_of(kind, model, lite), "haar", min_quality=0.0)
    again = pickle.loads(pickle.dumps(aligner))
    for image in pictures[:3]:
        np.testing.assert_allclose(
            again.align(image).landmarks, aligner.align(image).landmarks, atol=1e-3
        )


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("kind", ["keras", "tflite"])
def test_after_a_fork_it_works_or_says_what_to_do(kind, model, lite, pictures):
    aligner = Aligner(backend_of(kind, model, lite), None)
    expected = aligner.align(pictures[0], BOXES).landmarks
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def work():
        try:
            answers.put(aligner.align(pictures[0], BOXES).landmarks)
        except RuntimeError as error:
            answers.put(str(error))

    child = context.Process(target=work)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    answer = answers.get()
    if kind == "keras":
        assert "get_context('spawn')" in answer
    else:
        np.testing.assert_array_equal(answer, expected)


def test_any_iterable_and_bad_pictures_by_name(backend, tmp_path):
    image = picture((120, 200), BOXES)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    aligner = Aligner(backend, BOXES)
    faces = aligner.align((item for item in (image, bad, image)), on_error="skip")
    assert [face.image for face in faces] == [0, 0, 2, 2]
    assert faces.errors[0] is None
    assert "bad.jpg" in faces.errors[1]
    assert [group.errors for group in faces.by_image()][2] == (None,)
    with pytest.raises(ValueError, match=r"bad\.jpg"):
        aligner.align([image, bad, image])
    with pytest.raises(ValueError, match="on_error"):
        aligner.align([image], on_error="ignore")
    with pytest.raises(ValueError, match="only 1 entries for more"):
        aligner.align(iter([image, image]), iter([BOXES]))
    with pytest.raises(ValueError, match="more entries for only 1"):
        aligner.align(iter([image]), iter([BOXES, BOXES]))


def test_streams_yield_as_they_go(backend):
    image = picture((120, 200), BOXES)
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield image

    stream = Aligner(backend, BOXES, batch_size=8).align_stream(endless())
    first = next(stream)
    assert len(first) == 2
    assert len(read) <= 8
    assert [next(stream).first for _ in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("whole", [True, False])
def test_one_buffer_for_all_pictures(backend, whole):
    shifts = (0, 5, 10)
    pictures = [picture((120, 200), BOXES + shift) for shift in shifts]
    boxes = [BOXES + shift for shift in shifts]
    expected = Aligner(backend, None).align(pictures, boxes)
    memory = np.zeros((120, 200, 3) if whole else (2, 120, 200, 3), np.uint8)
    buffer = memory if whole else memory[1]
    place = np.zeros((2, 4), np.float32)

    def filled():
        for image in pictures:
            buffer[:] = image
            yield buffer

    def moved():
        for box in boxes:
            place[:] = box
            yield place

    found = Aligner(backend, None).align(filled(), moved())
    np.testing.assert_array_equal(found.landmarks, expected.landmarks)
    np.testing.assert_array_equal(found.quality, expected.quality)


def test_pictures_that_lie_on_their_side(backend):
    upright = picture((120, 200), BOXES)
    for turn in range(4):
        image = np.ascontiguousarray(np.rot90(upright, turn))

        def detect(view, wanted=upright.shape):
            # The stand-in sees upright faces alone; the eyes' model knows no more.
            return BOXES if np.array_equal(view, upright) else BOXES[:0]

        faces = Aligner(backend, detect, rotations=True).align(image)
        assert len(faces) == 2
        expected = Aligner(backend, None).align(upright, BOXES).landmarks
        for _ in range(turn):
            wide = 200 if _ % 2 == 0 else 120
            expected = np.stack([expected[..., 1], wide - expected[..., 0]], axis=-1)
        np.testing.assert_allclose(faces.landmarks, expected, atol=1e-6)
        height, width = image.shape[:2]
        assert (faces.boxes[:, 2:] > faces.boxes[:, :2]).all()
        assert (faces.boxes <= [width, height] * 2).all()


def test_boxes_that_are_meant_otherwise(backend):
    image = picture((120, 200), BOXES)
    aligner = Aligner(backend, None)
    for box in ([0.1, 0.2, 0.4, 0.8], [300, 10, 400, 100]):
        with pytest.raises(ValueError, match="must lie in its image"):
            aligner.align(image, box)
    # A half of the face, or all of it if the numbers are a place and a size.
    square = picture((120, 200), [[30.0, 30, 90, 90]])
    with pytest.warns(UserWarning, match=r"\(x, y, width, height\)"):
        Aligner(backend, None, passes=1).align(square, [30, 30, 60, 60])
    with pytest.raises(ValueError, match=r"\(x, y, width, height\)"):
        aligner.align(image, [120, 40, 40, 40])
