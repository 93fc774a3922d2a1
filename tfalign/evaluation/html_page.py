"""The parts of a report: pages, sections, tables and pictures as HTML that loads nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import pandas as pd

from tfalign.evaluation.tables import format_cell

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1b; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:last-child { text-align: left; }
tr.ours td, tr.ours th { font-weight: 600; background: #f2f7fb; }
img { max-width: 100%; height: auto; }
.note { background: #fff6e5; border-left: 4px solid #e69f00; padding: .5rem .8rem; }
.key { color: #555; font-size: .9rem; }
figure { margin: 1rem 0; overflow-x: auto; }
"""


def section(title: str, body: str) -> str:
    """Returns a heading (escaped) and a body of HTML."""
    return f"<h2>{html.escape(title)}</h2>{body}"


def image(content: bytes, caption: str, kind: str = "png") -> str:
    """Returns a picture that is part of the page; ``kind`` is ``"png"`` or ``"jpeg"``."""
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(caption)}" src="data:image/{kind};base64,{data}"></figure>'
    )


def table(frame: pd.DataFrame, digits: int = 3, highlight: Sequence[str] = ()) -> str:
    """Returns a frame as a table; rows named in ``highlight`` stand out."""
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in frame.columns)
    rows = []
    for name, row in frame.iterrows():
        cells = "".join(f"<td>{html.escape(format_cell(value, digits))}</td>" for value in row)
        kind = ' class="ours"' if name in highlight else ""
        rows.append(f"<tr{kind}><th>{html.escape(str(name))}</th>{cells}</tr>")
    return f"<figure><table><tr><th></th>{head}</tr>{''.join(rows)}</table></figure>"


def key_values(values: Mapping[str, str]) -> str:
    """Returns names and values as a table of two columns."""
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
        for key, value in values.items()
    )
    return f"<table>{rows}</table>"


def page(title: str, sections: Sequence[str]) -> str:
    """Returns the whole page; ``title`` is escaped, ``sections`` are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{html.escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )
