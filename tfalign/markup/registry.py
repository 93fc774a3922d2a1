"""The schemes that come with the library, and how others are named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tfalign.markup.aflw19 import AFLW19
from tfalign.markup.cofw29 import COFW29
from tfalign.markup.helen194 import HELEN194
from tfalign.markup.ibug68 import IBUG51, IBUG68
from tfalign.markup.lfpw29 import LFPW29
from tfalign.markup.scheme import LandmarkScheme
from tfalign.markup.wflw98 import WFLW98

SCHEMES: dict[str, LandmarkScheme] = {
    scheme.name: scheme for scheme in (WFLW98, IBUG68, IBUG51, COFW29, AFLW19, LFPW29, HELEN194)
}
"""Every scheme by its name."""


def get(
    scheme: str | os.PathLike[str] | Mapping[str, Any] | LandmarkScheme,
) -> LandmarkScheme:
    """Returns a scheme from its name, its plain data (``to_config``), the path of a ``.json``
    file (``LandmarkScheme.from_json``), or itself.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the name is unknown, or the data or the file make no scheme.
    """
    if isinstance(scheme, LandmarkScheme):
        return scheme
    if isinstance(scheme, Mapping):
        found = LandmarkScheme.from_config(scheme)
        known = SCHEMES.get(found.name)
        return known if known == found else found
    if isinstance(scheme, os.PathLike) or (isinstance(scheme, str) and scheme.endswith(".json")):
        return LandmarkScheme.from_json(scheme)
    if scheme not in SCHEMES:
        raise ValueError(
            f"A landmark scheme must be one of {', '.join(SCHEMES)}, or the path of a .json file "
            f"that describes one. Received: scheme={scheme!r}"
        )
    return SCHEMES[scheme]
