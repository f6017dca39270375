"""Charts, presets, and values files on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from vmn.core.values.yaml import Values, parse_values

_PACKAGE = Path(__file__).resolve().parent.parent


def default_chart() -> Path:
    """Return the chart of the checkout that has this code, or else the chart that is installed with the package."""
    checkout = _PACKAGE.parent.parent / "charts" / "vllm-multinode"
    return checkout if checkout.is_dir() else _PACKAGE / "chart"


def presets_of(chart: Path) -> list[Path]:
    """Return the presets of a checkout, by name."""
    return sorted((chart.resolve().parent.parent / "values").glob("*.yaml"))


def read_values(path: Path) -> Values:
    """Return the content of a values file.

    Raises:
        OSError: the file can't be read.
        ValuesError: the file is not a values file.
    """
    return parse_values(path.read_text(encoding="utf-8"))


def read_app_version(chart: Path) -> str:
    """Return the version of vLLM that a chart installs by default.

    Raises:
        OSError: the chart can't be read.
    """
    return str(_chart_yaml(chart).get("appVersion") or "")


def read_identity(chart: Path) -> tuple[str, str]:
    """Return the name and the version of a chart.

    Raises:
        OSError: the chart can't be read.
    """
    content = _chart_yaml(chart)
    return str(content.get("name") or ""), str(content.get("version") or "")


def _chart_yaml(chart: Path) -> Values:
    return parse_values((chart / "Chart.yaml").read_text(encoding="utf-8"))


def read_schema(chart: Path) -> dict[str, Any]:
    """Return the chart's schema.

    Raises:
        OSError: the chart has none.
    """
    return cast("dict[str, Any]", json.loads((chart / "values.schema.json").read_text(encoding="utf-8")))
