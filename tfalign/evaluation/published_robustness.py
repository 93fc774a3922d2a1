"""TSR's Tables 1 and 2 as data: the published growth of the error with worse face boxes.

Lv et al., "A Deep Regression Architecture with Two-Stage Re-initialization for High Performance
Facial Landmark Detection", CVPR 2017. 300-W, 68 points, NME in per cent. The paper says inter-
ocular, but its Table 3 has other papers' inter-pupil figures beside these: the distance may be that
of the pupils.
"""

from __future__ import annotations

from collections.abc import Mapping

METHODS = ("Baseline1", "Baseline2", "Proposed-", "Proposed")

DETECTOR_TABLE: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    # (common, challenging, full); VJ: Viola–Jones, OD: official detector, GT: landmarks' box.
    "VJ": {
        "Baseline1": (8.90, 14.39, 9.98),
        "Baseline2": (6.19, 10.15, 6.96),
        "Proposed-": (4.95, 8.36, 5.62),
        "Proposed": (4.50, 7.89, 5.16),
    },
    "Dlib": {
        "Baseline1": (6.88, 12.40, 7.96),
        "Baseline2": (5.30, 9.13, 6.05),
        "Proposed-": (4.87, 8.30, 5.55),
        "Proposed": (4.42, 7.80, 5.09),
    },
    "OD": {
        "Baseline1": (5.43, 8.97, 6.12),
        "Baseline2": (5.03, 8.43, 5.69),
        "Proposed-": (4.56, 8.16, 5.27),
        "Proposed": (4.36, 7.56, 4.99),
    },
    "GT": {
        "Baseline1": (5.24, 7.65, 5.71),
        "Baseline2": (5.04, 7.64, 5.55),
        "Proposed-": (4.43, 7.08, 5.05),
        "Proposed": (4.36, 7.42, 4.96),
    },
}
"""Table 1: detector → method → NME % on the common, challenging and full sets."""

SCALES = (0.1, 0.2, 0.3, 0.4, 0.5)
TRANSLATIONS = (0.05, 0.10, 0.15, 0.20, 0.25)
ROTATIONS = (5.0, 10.0, 15.0, 20.0, 25.0)

PERTURBATION_TABLE: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "scale": {
        "Baseline1": (6.12, 7.11, 9.98, 15.67, 24.43),
        "Baseline2": (5.69, 6.27, 7.05, 9.59, 13.54),
        "Proposed-": (5.27, 5.17, 5.30, 5.65, 6.13),
        "Proposed": (4.99, 5.03, 5.11, 5.39, 5.93),
    },
    "translation": {
        "Baseline1": (6.29, 6.96, 8.51, 11.86, 18.67),
        "Baseline2": (5.75, 6.01, 6.91, 8.48, 12.84),
        "Proposed-": (5.28, 5.46, 5.61, 5.96, 6.46),
        "Proposed": (5.01, 5.15, 5.26, 5.36, 5.77),
    },
    "rotation": {
        "Baseline1": (6.35, 6.98, 7.91, 9.35, 11.71),
        "Baseline2": (6.11, 6.57, 7.36, 8.40, 9.90),
        "Proposed-": (5.48, 5.60, 5.75, 6.03, 6.43),
        "Proposed": (5.13, 5.24, 5.42, 5.77, 6.20),
    },
}
"""Table 2: perturbation → method → full-set NME % at ``SCALES``, ``TRANSLATIONS``, ``ROTATIONS``.

The printed column heads stand out of order in the text layer; the rows grow in the order 0.1 … 0.5,
and the first scale column repeats Table 1's official-detector row.
"""

# Table 1's detectors by the box sources of ``tfalign.evaluation.boxes``.
_SOURCES = {"detector": "VJ", "dlib": "Dlib", "file": "OD", "landmarks": "GT"}
_AMOUNTS = {"scale": SCALES, "translation": TRANSLATIONS, "rotation": ROTATIONS}


def rows(kind: str) -> dict[str, dict[str | float, float]]:
    """Returns the published full-set NME % as method → condition → value.

    Args:
        kind: ``"box"`` (Table 1: conditions are box sources), ``"scale"``, ``"translation"`` or
            ``"rotation"`` (Table 2: amounts); others give nothing.
    """
    if kind == "box":
        return {
            f"TSR {method}": {s: DETECTOR_TABLE[d][method][2] for s, d in _SOURCES.items()}
            for method in METHODS
        }
    if kind not in _AMOUNTS:
        return {}
    return {
        f"TSR {method}": dict(zip(_AMOUNTS[kind], values, strict=True))
        for method, values in PERTURBATION_TABLE[kind].items()
    }
