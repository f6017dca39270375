"""The Grafana dashboard of the chart, in the types of Grafana's own library."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)

from chartfiles.panel import Panel
from chartfiles.panels import ROWS

UID = "vllm-multinode"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
"""Rows of the grid per panel."""


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it."""
    built = (
        dashboard.Dashboard("vLLM on several nodes")
        .uid(UID)
        .description("Groups, requests, engine, and GPUs of releases of vllm-multinode. Written by make generate.")
        .tags(["vllm", "vllm-multinode"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("namespace", "Namespace", "label_values(vllm:num_requests_running, namespace)"))
        .with_variable(
            variable("job", "Release", 'label_values(vllm:num_requests_running{namespace="$namespace"}, job)')
        )
        .with_variable(
            variable("group", "Group", 'label_values(up{namespace="$namespace",job=~"$job"}, group)')
            .include_all(True)
            .all_value(".*")
            .multi(True)
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
    )
    for title, panels in ROWS.items():
        built = built.with_row(dashboard.Row(title))
        for panel in panels:
            built = built.with_panel(graphic(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable with the values of a label."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def graphic(panel: Panel) -> stat.Panel | timeseries.Panel:
    """Return a panel in Grafana's types."""
    shape = number() if panel.single else graph()
    shape = shape.title(panel.title).description(panel.says).unit(panel.unit).datasource(SOURCE)
    shape = shape.span(panel.width).height(HEIGHT)
    for letter, (legend, query) in zip("ABCDEF", panel.queries.items(), strict=False):
        shape = shape.with_target(
            prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter).datasource(SOURCE)
        )
    return shape


def number() -> stat.Panel:
    """Return the options of a panel with a single number: the latest one."""
    return stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def graph() -> timeseries.Panel:
    """Return the options of a panel with a graph over time."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return (
        timeseries.Panel()
        .draw_style(GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(10)
        .min(0)
        .show_points(VisibilityMode.NEVER)
        .legend(legend.show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
