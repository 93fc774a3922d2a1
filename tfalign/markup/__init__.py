"""Landmark schemes: names, parts, mirror pairs, normalisers and conversions, as data that travels.

"left" and "right" are always the **subject's**: the right eye of a frontal face is in the left
half of an image that is not mirrored. Mirror pairs are made from these names or given, see
``LandmarkScheme``. A number of points never chooses a scheme. Coordinates themselves are described
in ``tfalign.geometry``.
"""

from tfalign.markup.aflw19 import AFLW19
from tfalign.markup.cofw29 import COFW29
from tfalign.markup.convert import Conversion, conversion, convert
from tfalign.markup.helen194 import HELEN194
from tfalign.markup.ibug68 import IBUG51, IBUG68
from tfalign.markup.lfpw29 import LFPW29
from tfalign.markup.registry import SCHEMES, get
from tfalign.markup.scheme import LOCAL_PART_NAMES, LandmarkScheme
from tfalign.markup.wflw98 import WFLW98

__all__ = [
    "AFLW19",
    "COFW29",
    "HELEN194",
    "IBUG51",
    "IBUG68",
    "LFPW29",
    "LOCAL_PART_NAMES",
    "SCHEMES",
    "WFLW98",
    "Conversion",
    "LandmarkScheme",
    "conversion",
    "convert",
    "get",
]
