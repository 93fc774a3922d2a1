"""How Sphinx builds these pages, offline: ``python -m sphinx -W -b html docs build/docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "numpy")  # the smallest: docstrings need none of the others
DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import drawings  # noqa: E402 (after the path)

from tfalign.version import __version__  # noqa: E402

project = "tfalign"
author = "The tfalign authors"
copyright = f"2026, {author}"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
suppress_warnings = ["ref.python"]  # a type's bare name in a docstring may mean several
exclude_patterns = ["_generated"]
html_theme = "furo"
html_title = f"tfalign {__version__}"
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "imported-members": True,
    "show-inheritance": True,
}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# The docstrings' own headings, beside Google's.
napoleon_custom_sections = [
    ("Call arguments", "notes_style"),
    ("Output", "notes_style"),
    ("Input shape", "params_style"),
    ("Output shape", "params_style"),
    ("Reading", "notes_style"),
    ("Reference", "notes_style"),
]

drawings.write_all(DOCS / "_generated")
