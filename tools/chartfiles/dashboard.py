"""The Grafana dashboard of the chart, in the types of Grafana's own library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

UID = "vllm-multinode"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
SERIES = 'namespace="$namespace",job=~"$job",group=~"$group"'
LEADERS = 'namespace="$namespace",pod=~"$job-[0-9]+"'
"""Selects the leaders' pods in kube-state-metrics."""
WINDOW = "[$__rate_interval]"
WIDTH = 24
"""Columns of Grafana's grid."""
HEIGHT = 8
"""Rows of the grid per panel."""
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


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


def quantiles(metric: str) -> dict[str, str]:
    """Return the quantiles of a histogram by their names."""
    rate = f"sum by (le) (rate(vllm:{metric}_bucket{{{SERIES}}}{WINDOW}))"
    return {name: f"histogram_quantile({share}, {rate})" for name, share in QUANTILES.items()}


def by_group(expression: str, more: str = "") -> str:
    """Return a sum by group, and by additional labels."""
    return f"sum by (group{more}) ({expression})"


def rate(metric: str) -> str:
    """Return the rate of a counter of vLLM."""
    return f"rate(vllm:{metric}_total{{{SERIES}}}{WINDOW})"


def gauge(metric: str) -> str:
    """Return a gauge of vLLM."""
    return f"vllm:{metric}{{{SERIES}}}"


ROWS: Mapping[str, Sequence[Panel]] = {
    "Groups": (
        Panel(
            "Serving groups",
            "Leaders whose /metrics responds. If there are fewer than group.replicas, a group is down or starting.",
            "none",
            {"serving": f"count(up{{{SERIES}}} == 1) or vector(0)"},
            width=4,
            single=True,
        ),
        Panel(
            "Running requests",
            "Requests in vLLM's batches, over all groups.",
            "none",
            {"running": f"sum({gauge('num_requests_running')})"},
            width=4,
            single=True,
        ),
        Panel(
            "Serving",
            "1 while a group's leader responds.",
            "none",
            {"group {{group}}": f"max by (group) (up{{{SERIES}}})"},
        ),
        Panel(
            "Startup",
            "Seconds from the start of the leader's pod until it was ready, for the latest start (kube-state-metrics).",
            "s",
            {
                "{{pod}}": f"max by (pod) (kube_pod_status_ready_time{{{LEADERS}}} - on (namespace, pod, uid)"
                f" kube_pod_start_time{{{LEADERS}}})"
            },
            width=4,
        ),
        Panel(
            "Recreated",
            "How often a group was recreated within an hour (kube-state-metrics).",
            "none",
            {
                "{{pod}}": "count by (pod) (max by (namespace, pod, uid)"
                f" (last_over_time(kube_pod_created{{{LEADERS}}}[1h]))) - 1"
            },
            width=4,
        ),
    ),
    "Requests": (
        Panel(
            "Running and waiting",
            "If requests keep waiting, add groups, or raise max-num-seqs if the KV cache has room.",
            "none",
            {
                "running, group {{group}}": by_group(gauge("num_requests_running")),
                "waiting, group {{group}}": by_group(gauge("num_requests_waiting")),
            },
        ),
        Panel(
            "Finished requests",
            "Requests per second, by the reason they finished: stop, length, abort (the client left), or error.",
            "reqps",
            {"{{finished_reason}}": f"sum by (finished_reason) ({rate('request_success')})"},
        ),
        Panel(
            "Responses",
            "HTTP responses per second, by status.",
            "reqps",
            {"{{status}}": f"sum by (status) (rate(http_requests_total{{{SERIES}}}{WINDOW}))"},
        ),
        Panel(
            "First token",
            "Seconds from a request to its first token.",
            "s",
            quantiles("time_to_first_token_seconds"),
        ),
        Panel(
            "Between tokens", "Seconds between two tokens of an answer.", "s", quantiles("inter_token_latency_seconds")
        ),
        Panel(
            "Whole answer", "Seconds from a request to its last token.", "s", quantiles("e2e_request_latency_seconds")
        ),
    ),
    "Engine": (
        Panel(
            "Tokens",
            "Tokens per second. If there are none while requests are running, a rank is stuck.",
            "none",
            {
                "prompt, group {{group}}": by_group(rate("prompt_tokens")),
                "answer, group {{group}}": by_group(rate("generation_tokens")),
            },
        ),
        Panel(
            "KV cache in use",
            "Share of the KV cache in use, for each data-parallel replica. Near 100 %, requests wait or are preempted.",
            "percentunit",
            {"group {{group}}, rank {{engine}}": f"max by (group, engine) ({gauge('kv_cache_usage_perc')})"},
        ),
        Panel(
            "Prefix cache",
            "Share of prompt tokens that were found in the cache.",
            "percentunit",
            {"group {{group}}": f"{by_group(rate('prefix_cache_hits'))} / {by_group(rate('prefix_cache_queries'))}"},
        ),
        Panel(
            "Preemptions",
            "Requests per second that lost their KV cache and start over. The cache is then too small for the load.",
            "reqps",
            {"group {{group}}": by_group(rate("num_preemptions"))},
        ),
        Panel(
            "Time in the queue",
            "Seconds from a request until vLLM started to process it.",
            "s",
            quantiles("request_queue_time_seconds"),
        ),
        Panel(
            "Tokens per step",
            "Mean number of tokens per step of the engine. It shows how well requests are batched.",
            "none",
            {
                "group {{group}}": f"{by_group(f'rate(vllm:iteration_tokens_total_sum{{{SERIES}}}{WINDOW})')}"
                f" / {by_group(f'rate(vllm:iteration_tokens_total_count{{{SERIES}}}{WINDOW})')}"
            },
        ),
    ),
}


def dashboard_json() -> str:
    """Return the dashboard as Grafana imports it."""
    built = (
        dashboard.Dashboard("vLLM on several nodes")
        .uid(UID)
        .description("Groups, requests, and engine of releases of vllm-multinode. Written by make generate.")
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
