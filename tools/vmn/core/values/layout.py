"""The layout that values ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmn.core.planning.layout.sizes import Layout, derived_layout


def layout_of(values: Mapping[str, Any]) -> Layout:
    """Return the layout of values that include the chart's defaults, with unset sizes derived as the chart does."""
    group, sizes = values["group"], values["parallelism"]
    return derived_layout(
        group["nodes"],
        group["gpusPerNode"],
        tensor=sizes.get("tensor"),
        pipeline=sizes.get("pipeline"),
        data=sizes.get("data"),
        expert=sizes.get("expert"),
        decode_context=sizes.get("decodeContext"),
    )
