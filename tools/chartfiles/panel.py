"""A panel of the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: what the panel shows.
        says: how to read it.
        unit: one of Grafana's units.
        queries: PromQL by legend.
        width: in columns.
        single: the latest number instead of a graph over time.
    """

    title: str
    says: str
    unit: str
    queries: Mapping[str, str]
    width: int = 8
    single: bool = False
