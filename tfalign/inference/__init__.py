"""Finding faces and their landmarks in photographs and films; running models.

>>> aligner = tfalign.inference.Aligner("300w")
>>> faces = aligner.align("photo.jpg")                    # landmarks, boxes, stages, quality
>>> faces.to_frame(), faces.write_json("faces.json")
>>> result = tfalign.inference.align_video("film.mp4", aligner, out="aligned.mp4")

From the bottom up: ``backends`` runs a model on crops, ``crops`` cuts them, ``predictor`` joins the
two and looks twice, and ``quality`` makes a figure of the difference; ``images`` and
``detectors`` say what is looked at; ``aligner`` is all of it in one call, with ``face`` and
``faces`` as its result; ``tracker``, ``shape_filter`` and ``one_euro`` follow faces, ``video``
through films; ``overlay`` draws them.
"""

from tfalign.data.readers.image import MAX_PIXELS
from tfalign.inference.aligner import Aligner
from tfalign.inference.backends import (
    Backend,
    CallableBackend,
    KerasBackend,
    TFLiteBackend,
    load_backend,
)
from tfalign.inference.detectors import (
    BlazeFaceDetector,
    Detector,
    HaarDetector,
    YuNetDetector,
)
from tfalign.inference.face import Face
from tfalign.inference.faces import Faces
from tfalign.inference.images import IMAGE_SUFFIXES, as_rgb, read_image, write_image
from tfalign.inference.jobs import find_inputs, picture_row
from tfalign.inference.names import Names
from tfalign.inference.one_euro import OneEuroFilter
from tfalign.inference.overlay import draw_faces, draw_landmarks
from tfalign.inference.predictor import Predictor, load_predictor
from tfalign.inference.quality import QualityCalibration
from tfalign.inference.shape_filter import ShapeFilter
from tfalign.inference.tracker import Tracker
from tfalign.inference.video import (
    VIDEO_SUFFIXES,
    VideoReader,
    VideoResult,
    VideoWriter,
    align_video,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "VIDEO_SUFFIXES",
    "Aligner",
    "Backend",
    "BlazeFaceDetector",
    "CallableBackend",
    "KerasBackend",
    "TFLiteBackend",
    "load_backend",
    "QualityCalibration",
    "Detector",
    "Face",
    "Faces",
    "HaarDetector",
    "OneEuroFilter",
    "Predictor",
    "ShapeFilter",
    "Tracker",
    "VideoReader",
    "VideoResult",
    "VideoWriter",
    "YuNetDetector",
    "align_video",
    "draw_faces",
    "draw_landmarks",
    "Names",
    "as_rgb",
    "find_inputs",
    "picture_row",
    "load_predictor",
    "read_image",
    "write_image",
]
