"""Counts that papers print, and counts worked out by hand from their tables."""

import keras
import pytest

from tfalign import macc, models


def test_gregnet() -> None:
    report = macc.count(models.GRegNet(num_landmarks=98, scheme="wflw98"))
    assert report.macc == 1_743_038_976
    assert f"{report.macc / 1e9:.4f}" == "1.7430"  # Table 6
    assert f"{report.params / 1e6:.2f}" == "11.56"


def test_greglref_and_each_of_its_refinements() -> None:
    model = models.GRegLRef(num_landmarks=98, scheme="wflw98")
    report = macc.count(model)
    assert report.macc == 1_744_447_040
    assert f"{report.macc / 1e9:.4f}" == "1.7444"  # Table 6
    assert f"{report.params / 1e6:.2f}" == "12.97"
    assert report.params == sum(weight.numpy().size for weight in model.trainable_weights)
    for stage in (1, 2):
        rows = [r for r in report.layers if r.name in (f"local_{stage}", f"increment_{stage}")]
        assert sum(row.macc for row in rows) == 704_032
        assert sum(row.params for row in rows) == 704_620


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published_macc"),
    [
        ("MobileNet", 569e6),  # Howard et al. 2017, Table 4
        ("MobileNetV2", 300e6),  # Sandler et al., CVPR 2018, Table 4
        ("NASNetMobile", 564e6),  # Zoph et al., CVPR 2018, Table 3
        ("ResNet50", 3.8e9),  # He et al., CVPR 2016, Table 1, rounded down there
    ],
)
def test_published_networks(name: str, published_macc: float) -> None:
    model = getattr(keras.applications, name)(weights=None)
    report = macc.count(model)
    assert report.macc == pytest.approx(published_macc, rel=0.016)
    assert report.params == sum(weight.numpy().size for weight in model.trainable_weights)
