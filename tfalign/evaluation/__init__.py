"""Protocols, scores, tables, robustness, plots and reports.

``score`` and the protocols cost little to import; what needs pandas, Matplotlib or OpenCV is
imported when first used.

>>> result = tfalign.evaluation.score(predicted, truth, "300w_inter_ocular", threshold=0.08)
>>> result.nme, result.failure_rate, result.auc, result.ced(0.05)        # fractions
>>> evaluation = tfalign.evaluation.evaluate_model(model, reader, "300w_inter_ocular")
>>> print(evaluation.table())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfalign.evaluation.checks import EvaluationWarning
from tfalign.evaluation.protocols import (
    PROTOCOLS,
    Protocol,
    get_protocol,
    related_protocols,
)
from tfalign.evaluation.scores import Ced, Score, score

if TYPE_CHECKING:
    from tfalign.evaluation import (
        plots,
        published,
        report,
    )
    from tfalign.evaluation.baselines import mean_shape_predictor, shapes_in_crops
    from tfalign.evaluation.boxes import Perturbation, choose_boxes, tsr_table_2
    from tfalign.evaluation.evaluate import evaluate_cache, evaluate_model
    from tfalign.evaluation.result import Evaluation
    from tfalign.evaluation.robustness import Robustness, box_comparison, box_sweep
    from tfalign.evaluation.tables import (
        comparison_table,
        part_table,
        subset_table,
        w300_subsets,
        wflw_subsets,
    )
    from tfalign.inference.detectors import HaarDetector

_LAZY = {
    "Evaluation": "result",
    "HaarDetector": "boxes",
    "Perturbation": "boxes",
    "Robustness": "robustness",
    "box_comparison": "robustness",
    "box_sweep": "robustness",
    "choose_boxes": "boxes",
    "comparison_table": "tables",
    "evaluate_cache": "evaluate",
    "evaluate_model": "evaluate",
    "mean_shape_predictor": "baselines",
    "part_table": "tables",
    "shapes_in_crops": "baselines",
    "subset_table": "tables",
    "tsr_table_2": "boxes",
    "w300_subsets": "tables",
    "wflw_subsets": "tables",
}
_MODULES = (
    "plots",
    "published",
    "report",
)

__all__ = [
    "PROTOCOLS",
    "Ced",
    "Evaluation",
    "EvaluationWarning",
    "HaarDetector",
    "Perturbation",
    "Protocol",
    "Robustness",
    "Score",
    "box_comparison",
    "box_sweep",
    "choose_boxes",
    "comparison_table",
    "evaluate_cache",
    "evaluate_model",
    "get_protocol",
    "mean_shape_predictor",
    "part_table",
    "plots",
    "published",
    "related_protocols",
    "report",
    "score",
    "shapes_in_crops",
    "subset_table",
    "tsr_table_2",
    "w300_subsets",
    "wflw_subsets",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"tfalign.evaluation.{_LAZY[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"tfalign.evaluation.{name}")
    raise AttributeError(f"module 'tfalign.evaluation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
