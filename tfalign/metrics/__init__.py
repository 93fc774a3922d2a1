"""Streaming Keras metrics of landmark errors, named after evaluation protocols."""

from tfalign.metrics.failure_rate import FailureRate
from tfalign.metrics.nme import NME
from tfalign.metrics.normalizers import (
    NORMALIZERS,
    AnchorDistance,
    BoxExtent,
)

__all__ = [
    "NME",
    "NORMALIZERS",
    "AnchorDistance",
    "BoxExtent",
    "FailureRate",
]
