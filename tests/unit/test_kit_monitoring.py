"""The helpers that stand for what watches a release: the collector of traces, and the dashboard's picture."""

from __future__ import annotations

import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

import pytest

from kit.collector import PATH, collector
from kit.dashboardpicture import Span, legend, picture, scaled
from kit.prometheus import Prometheus, Series
from kit.schemas import Document

SVG = "{http://www.w3.org/2000/svg}"


class Answers(Prometheus):
    """A server that gives the same series to every query, and keeps what it was asked."""

    def __init__(self, *values: tuple[float, str]) -> None:
        """Give these values."""
        super().__init__("http://none.example")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "asked", [])

    def course(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Answer."""
        vars(self)["asked"].append(expression)
        return [{"metric": {"group": "0"}, "values": vars(self)["values"]}]


def panel(kind: str, x: int) -> Document:
    """Return a panel of four columns."""
    return {
        "type": kind,
        "title": "A & B",
        "gridPos": {"x": x, "y": 0, "w": 4, "h": 8},
        "fieldConfig": {"defaults": {"unit": "s"}},
        "targets": [{"expr": 'up{job=~"$job"}', "legendFormat": "group {{group}}", "refId": "A"}],
    }


def test_picture_has_a_line_for_each_unbroken_part_of_a_series() -> None:
    server = Answers((0, "1"), (1, "2"), (2, "NaN"), (200, "3"), (201, "4"))
    text = picture({"panels": [panel("timeseries", 0), panel("stat", 4)]}, server, Span(0, 240), {"job": "vllm"})
    drawing = ElementTree.fromstring(text)
    assert len(drawing.findall(f"{SVG}polyline")) == 2
    words = [element.text for element in drawing.iter(f"{SVG}text")]
    assert {"A & B", "group 0", "4 s"} <= set(words)
    assert "not a screenshot of Grafana" in str(words[-1])
    assert set(vars(server)["asked"]) == {'up{job=~"vllm"}'}


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.5, "percentunit", "50.0%"),
        (0.25, "s", "250 ms"),
        (12.0, "s", "12 s"),
        (3.0, "reqps", "3/s"),
        (7.0, "none", "7"),
        (695.0, "watt", "695 W"),
        (1.98e9, "hertz", "1.98 GHz"),
        (1.2e8, "Bps", "120 MB/s"),
    ],
)
def test_value_is_told_in_its_unit(value: float, unit: str, words: str) -> None:
    assert scaled(value, unit) == words


def test_legend_is_filled_in_with_labels_and_empty_without() -> None:
    assert legend("{{group}}/{{ engine }}", {"metric": {"group": "1"}}) == "1/"


def test_collector_keeps_traces_and_refuses_other_paths() -> None:
    with collector("127.0.0.1") as kept:
        url = f"http://127.0.0.1:{kept.port}"
        with urllib.request.urlopen(urllib.request.Request(url + PATH, b"span llm_request"), timeout=5) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url + "/v1/logs", b"other", timeout=5)
    assert kept.has(b"span", b"llm_request")
    assert not kept.has(b"span", b"other")
