"""Published results as data, printed beside ours. Every number stands as its source prints it.

``value`` is in the unit of the tables: per cent for ``"nme"`` and ``"failure_rate"``, a fraction
for ``"auc"``. The protocol says which normaliser; thresholds are in the metric's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

GREGLREF = "GRegLRef (CVPRW 2019)"
TSR = "TSR (CVPR 2017)"
CCNN = "CCNN (2018)"
DEEPREG = "DeepReg (2014)"
SURVEY = "the methods' own papers"


@dataclass(frozen=True)
class PublishedResult:
    """One published number.

    Attributes:
        method: Name as printed.
        protocol: Name of the protocol (``tfalign.evaluation.PROTOCOLS``).
        subset: Column: ``"full"``, ``"common"``, ``"pose"`` …
        metric: ``"nme"``, ``"failure_rate@10"``, ``"failure_rate@8"``, ``"auc@10"`` or ``"auc@8"``.
        value: Per cent; a fraction for ``auc``.
        source: Paper and table.
    """

    method: str
    protocol: str
    subset: str
    metric: str
    value: float
    source: str


_300W = ("common", "challenging", "full")
_WFLW = ("full", "pose", "expression", "illumination", "makeup", "occlusion", "blur")
_Row = tuple[float | None, ...]


def _rows(
    protocol: str,
    metric: str,
    subsets: tuple[str, ...],
    source: str,
    table: Mapping[str, _Row],
) -> Iterator[PublishedResult]:
    for method, values in table.items():
        for subset, value in zip(subsets, values, strict=True):
            if value is not None:
                yield PublishedResult(method, protocol, subset, metric, value, source)


_GREGLREF_TABLE_3_PUPIL: dict[str, _Row] = {
    "RCPR": (6.18, 17.26, 8.35),
    "CFAN": (5.5, 16.78, 7.69),
    "ESR": (5.28, 17.0, 7.58),
    "SDM": (5.57, 15.4, 7.5),
    "LBF": (4.95, 11.98, 6.32),
    "CFSS": (4.73, 9.98, 5.76),
    "3DDFA": (6.15, 10.59, 7.01),
    "MDM": (4.83, 10.14, 5.88),
    "DVLN": (3.94, 7.62, 4.66),
    "LAB": (3.42, 6.98, 4.12),
    "Wing (CNN6/7)": (3.27, 7.18, 4.04),
    "GRegNet": (4.11, 7.32, 4.74),
    "GRegLRef": (3.76, 6.89, 4.37),
}
_GREGLREF_TABLE_3_OCULAR: dict[str, _Row] = {
    "TCDCN": (4.8, 8.6, 5.54),
    "Two-Stage (TSR)": (4.36, 7.56, 4.99),
    "RAR": (4.12, 8.35, 4.94),
    "PCD-CNN": (3.67, 7.62, 4.44),
    "SAN": (3.34, 6.6, 3.98),
    "SBR": (3.28, 7.58, 4.1),
    "LAB": (2.98, 5.19, 3.49),
    "GRegNet": (2.97, 5.07, 3.38),
    "GRegLRef": (2.71, 4.78, 3.12),
}
# The text below Table 4 says 5.11 for the former best, which is the table's Wing row.
_GREGLREF_TABLE_4_NME: dict[str, _Row] = {
    "ESR": (11.13, 25.88, 11.47, 10.49, 11.05, 13.75, 12.20),
    "SDM": (10.29, 24.10, 11.45, 9.32, 9.38, 13.03, 11.28),
    "CFSS": (9.07, 21.36, 10.09, 8.30, 8.74, 11.76, 9.96),
    "DVLN": (6.08, 11.54, 6.78, 5.73, 5.98, 7.33, 6.88),
    "LAB": (5.27, 10.24, 5.51, 5.23, 5.15, 6.79, 6.32),
    "Wing (ResNet-50)": (5.11, 8.75, 5.36, 4.93, 5.41, 6.37, 5.81),
    "GRegNet": (5.09, 8.71, 5.62, 4.91, 5.22, 6.09, 5.63),
    "GRegLRef": (4.65, 7.99, 5.13, 4.49, 4.74, 5.67, 5.24),
}
_GREGLREF_TABLE_4_FAILURE: dict[str, _Row] = {
    "ESR": (35.24, 90.18, 42.04, 30.80, 38.84, 47.28, 41.40),
    "SDM": (29.40, 84.36, 33.44, 26.22, 27.67, 41.85, 35.32),
    "CFSS": (20.56, 66.26, 23.25, 17.34, 21.84, 32.88, 23.67),
    "DVLN": (10.84, 46.93, 11.15, 7.31, 11.65, 16.30, 13.71),
    "LAB": (7.56, 28.83, 6.37, 6.73, 7.77, 13.72, 10.74),
    "Wing (ResNet-50)": (6.00, 22.70, 4.78, 4.30, 7.77, 12.50, 7.76),
    "GRegNet": (6.44, 25.77, 6.37, 5.73, 5.83, 11.96, 8.02),
    "GRegLRef": (4.88, 18.40, 4.78, 4.44, 5.34, 9.65, 6.99),
}
_GREGLREF_TABLE_4_AUC: dict[str, _Row] = {
    "ESR": (0.2774, 0.0177, 0.1981, 0.2953, 0.2485, 0.1946, 0.2204),
    "SDM": (0.3002, 0.0226, 0.2293, 0.3237, 0.3125, 0.2060, 0.2398),
    "CFSS": (0.3659, 0.0632, 0.3157, 0.3854, 0.3691, 0.2688, 0.3037),
    "DVLN": (0.4551, 0.1474, 0.3889, 0.4743, 0.4494, 0.3794, 0.3973),
    "LAB": (0.5323, 0.2345, 0.4951, 0.5433, 0.5394, 0.4490, 0.4630),
    "Wing (ResNet-50)": (0.5504, 0.3100, 0.4959, 0.5408, 0.5582, 0.4885, 0.4918),
    "GRegNet": (0.5485, 0.3172, 0.4919, 0.5539, 0.5332, 0.4958, 0.5074),
    "GRegLRef": (0.5824, 0.3570, 0.5211, 0.5921, 0.5667, 0.5250, 0.5399),
}
# Later work, inter-ocular: WFLW full, and 300-W full.
_LATER_WFLW: dict[str, _Row] = {
    "Wing": (4.99,),
    "AWing": (4.36,),
    "HRNetV2-W18": (4.60,),
    "PIPNet-R18": (4.57,),
    "PIPNet-MobileNetV3": (4.65,),
    "ADNet": (4.14,),
    "SLPT": (4.14,),
    "STAR": (4.02,),
    "RTMPose-m": (4.01,),
    "PFLD GhostOne (112 px)": (5.21,),
    "PFLD (112 px)": (5.44,),
    "PFLD 0.25x (112 px)": (6.16,),
}
_LATER_300W: dict[str, _Row] = {
    "HRNet": (3.34,),
    "PIPNet-R18": (3.36,),
    "ADNet": (2.93,),
    "STAR": (2.87,),
}
_CCNN_TABLE_5_OCULAR: dict[str, _Row] = {
    "MDM": (None, None, 4.05),
    "k-Convuster": (3.34, 6.56, 3.97),
    "DAN": (3.19, 5.24, 3.59),
    "DAN-Menpo": (3.09, 4.88, 3.44),
    "CCNN": (3.23, 3.99, 3.44),
}
_CCNN_TABLE_5_PUPIL: dict[str, _Row] = {
    "TCDCN": (4.80, 8.60, 5.54),
    "RAR": (4.12, 8.35, 4.94),
    "DRR": (4.07, 8.29, 4.90),
    "Shao et al.": (4.45, 8.03, 5.15),
    "Chen et al.": (3.73, 7.12, 4.47),
    "DAN": (4.42, 7.57, 5.03),
    "DAN-Menpo": (4.29, 7.05, 4.83),
    "Robust FEC-CNN": (None, 6.56, None),
    "CCNN": (4.55, 5.67, 4.85),
}
_CCNN_TABLE_6_OCULAR: dict[str, _Row] = {
    "MDM": (5.05,),
    "DAN": (4.30,),
    "DAN-Menpo": (3.97,),
    "GAN": (3.96,),
    "CCNN": (3.33,),
}
# AUC@8 is printed in per cent there.
_CCNN_TABLE_7: dict[str, tuple[float, float]] = {
    "ESR": (43.12, 10.45),
    "SDM": (42.94, 10.89),
    "CFSS": (49.87, 5.08),
    "MDM": (52.12, 4.21),
    "DAN": (55.33, 1.16),
    "DAN-Menpo": (57.07, 0.58),
    "CCNN": (57.88, 0.58),
}
_CCNN_TABLE_7_PRIVATE: dict[str, tuple[float, float]] = {
    "ESR": (32.35, 17.00),
    "CFSS": (39.81, 12.30),
    "MDM": (45.32, 6.80),
    "DAN": (47.00, 2.67),
    "DAN-Menpo": (50.84, 1.83),
    "GAN": (53.64, 2.50),
    "CCNN": (58.67, 0.83),
}
_TSR_TABLE_3: dict[str, _Row] = {
    "TSR Baseline1": (5.43, 8.97, 6.12),
    "TSR Baseline2": (5.03, 8.43, 5.69),
    "TSR Proposed-": (4.56, 8.16, 5.27),
    "TSR Proposed": (4.36, 7.56, 4.99),
}
_DEEPREG_TABLE_1: dict[str, _Row] = {
    "SequentialReg": (5.11, 16.35, 7.31),
    "DeepRegLocal": (4.67, 14.30, 6.57),
    "DeepReg": (4.51, 13.80, 6.31),
}

RESULTS: tuple[PublishedResult, ...] = (
    *_rows("300w_inter_pupil", "nme", _300W, f"{GREGLREF}, Table 3", _GREGLREF_TABLE_3_PUPIL),
    *_rows("300w_inter_ocular", "nme", _300W, f"{GREGLREF}, Table 3", _GREGLREF_TABLE_3_OCULAR),
    *_rows("wflw_inter_ocular", "nme", _WFLW, f"{GREGLREF}, Table 4", _GREGLREF_TABLE_4_NME),
    *_rows(
        "wflw_inter_ocular",
        "failure_rate@10",
        _WFLW,
        f"{GREGLREF}, Table 4",
        _GREGLREF_TABLE_4_FAILURE,
    ),
    *_rows("wflw_inter_ocular", "auc@10", _WFLW, f"{GREGLREF}, Table 4", _GREGLREF_TABLE_4_AUC),
    *_rows(
        "cofw68_inter_ocular",
        "nme",
        ("all",),
        f"{GREGLREF}, section 4.4",
        {"GRegLRef": (4.40,), "LAB": (4.58,)},
    ),
    *_rows(
        "cofw68_inter_ocular_visible",
        "nme",
        ("all",),
        f"{GREGLREF}, section 4.4",
        {"GRegLRef": (3.68,), "LAB": (3.81,)},
    ),
    *_rows("wflw_inter_ocular", "nme", ("full",), SURVEY, _LATER_WFLW),
    *_rows("300w_inter_ocular", "nme", ("full",), SURVEY, _LATER_300W),
    # The text says inter-ocular, but the same table repeats other papers' inter-pupil figures.
    *_rows("300w_inter_ocular", "nme", _300W, f"{TSR}, Table 3", _TSR_TABLE_3),
    *_rows("300w_inter_pupil", "nme", _300W, f"{DEEPREG}, Table 1", _DEEPREG_TABLE_1),
    *_rows("300w_inter_ocular", "nme", _300W, f"{CCNN}, Table 5", _CCNN_TABLE_5_OCULAR),
    *_rows("300w_inter_pupil", "nme", _300W, f"{CCNN}, Table 5", _CCNN_TABLE_5_PUPIL),
    *_rows("300w_inter_ocular", "nme", ("private",), f"{CCNN}, Table 6", _CCNN_TABLE_6_OCULAR),
    *_rows("300w_inter_pupil", "nme", ("private",), f"{CCNN}, Table 6", {"CCNN": (4.74,)}),
    *(
        row
        for subset, table in (("full", _CCNN_TABLE_7), ("private", _CCNN_TABLE_7_PRIVATE))
        for index, (metric, scale) in enumerate((("auc@8", 100), ("failure_rate@8", 1)))
        for row in _rows(
            "300w_inter_ocular",
            metric,
            (subset,),
            f"{CCNN}, Table 7",
            {method: (round(values[index] / scale, 4),) for method, values in table.items()},
        )
    ),
)


def find(
    protocol: str, metric: str = "nme", source: str | None = None
) -> tuple[PublishedResult, ...]:
    """Returns the published numbers of one protocol and metric.

    Args:
        protocol: Protocol name.
        metric: See ``PublishedResult.metric``.
        source: Only sources that contain this text.
    """
    return tuple(
        result
        for result in RESULTS
        if result.protocol == protocol
        and result.metric == metric
        and (source is None or source in result.source)
    )
