import base64
import re
from html.parser import HTMLParser

import pytest

from tfalign.evaluation import Perturbation, box_sweep, evaluate_model
from tfalign.evaluation.report import evaluation_report, robustness_report


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects addresses and text."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


@pytest.fixture
def faces(oracle_faces):
    return oracle_faces(count=3)


@pytest.fixture
def sweep(faces):
    spoiled = [Perturbation("none"), Perturbation("scale", 0.1)]
    return box_sweep(
        {"<mine>": faces.backend()}, faces.samples, "300w_inter_ocular", spoiled, progress=False
    )


def test_report_holds_everything_and_loads_nothing(faces, sweep):
    found = evaluate_model(
        faces.backend(error=2.0), faces.samples, "300w_inter_ocular", progress=False
    )
    baseline = evaluate_model(
        faces.backend(error=9.0), faces.samples, "300w_inter_ocular", worst=0, progress=False
    )
    page = read(evaluation_report(found, {"seed": 3, "who": "a & b"}, sweep, baseline))
    assert len(page.addresses) == 3  # CED, robustness, worst cases
    for address in page.addresses:
        kind, data = re.fullmatch(r"data:image/(png|jpeg);base64,(.+)", address).groups()
        start = {"png": b"\x89PNG", "jpeg": b"\xff\xd8"}[kind]
        assert base64.b64decode(data).startswith(start)
    assert f"{100 * found.nme:.3f} %" in page.text
    assert f"{100 * baseline.nme:.3f} %" in page.text
    assert "GRegLRef" not in page.text  # three faces are no published test set
    assert "a & b" in page.text
    assert "<mine>" in page.text


def test_robustness_report(sweep):
    page = read(robustness_report([sweep], {"seed": 0}))
    assert "scale, common, file boxes" in page.text
    assert "TSR Proposed" not in page.text  # three faces are not the paper's
    assert len(page.addresses) == 1
