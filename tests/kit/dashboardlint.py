"""House rules for Grafana dashboards, after those of Grafana's dashboard-linter, which the Go proxy does not have.

Named as there. Left out: ``template-instance-rule`` and ``target-instance-rule``, as a group's address changes with
every new leader, so that panels go by ``group``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kit.schemas import Document

UNITS = frozenset({"none", "s", "reqps", "percentunit", "watt", "hertz", "Bps"})
"""Of Grafana's units those that the chart's panels need."""
RANGE = re.compile(r"\b(rate|irate|increase)\(([^()]*?)\[([^\]]*)\]")
SELECTOR = re.compile(r"\b(?:vllm:\w+|up|http_\w+)(\{[^}]*\})?")
OF_GPUS = re.compile(r"\bDCGM_\w+(\{[^}]*\})?")
COUNTER = re.compile(r"\b((?:vllm|http)[\w:]*_(?:total|bucket|count|sum))\b")


def problems(dashboard: Document) -> list[str]:
    """Return what the rules have against a dashboard, each line with the rule's name and the panel."""
    found = [*_templates(dashboard)]
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            found += [f"{rule}: panel {panel.get('title')!r} {why}" for rule, why in _panel(panel)]
    titles = [panel.get("title") for panel in dashboard["panels"]]
    found += [f"panel-title-description-rule: two panels {title!r}" for title in {*titles} if titles.count(title) > 1]
    return found


def _templates(dashboard: Document) -> Iterator[str]:
    variables = {entry["name"]: entry for entry in dashboard["templating"]["list"]}
    if variables.get("datasource", {}).get("query") != "prometheus":
        yield "template-datasource-rule: no variable datasource of type prometheus"
    if "job" not in variables:
        yield "template-job-rule: no variable job"
    for name, entry in variables.items():
        if entry["type"] == "query" and entry.get("refresh") != 2:
            yield f"template-on-time-change-reload-rule: {name} is not read again when the time changes"
        if entry["type"] == "query" and entry["datasource"]["uid"] != "${datasource}":
            yield f"template-datasource-rule: {name} has a data source of its own"
    if dashboard.get("editable", True):
        yield "uneditable-dashboard-rule: it can be edited, and edits are lost"


def _panel(panel: Document) -> Iterator[tuple[str, str]]:
    if not panel.get("title") or not panel.get("description"):
        yield "panel-title-description-rule", "has no title or no description"
    if panel.get("datasource", {}).get("uid") != "${datasource}":
        yield "panel-datasource-rule", "does not use the variable datasource"
    if panel.get("fieldConfig", {}).get("defaults", {}).get("unit") not in UNITS:
        yield "panel-units-rule", f"has no unit of {sorted(UNITS)}"
    if not panel.get("targets"):
        yield "panel-no-targets-rule", "has no query"
    for target in panel.get("targets", ()):
        yield from _query(target.get("expr", ""), target.get("legendFormat", ""))


def _query(expression: str, legend: str) -> Iterator[tuple[str, str]]:
    if not expression.strip():
        yield "target-promql-rule", "has an empty query"
    if not legend:
        yield "target-legend-rule", "has a query without a legend"
    for function, _, window in RANGE.findall(expression):
        if window != "$__rate_interval":
            yield "target-rate-interval-rule", f"takes {function} over {window} instead of $__rate_interval"
    for match in SELECTOR.finditer(expression):
        if 'job=~"$job"' not in (match[1] or ""):
            yield "target-job-rule", f"does not select the release: {match[0]}"
    for match in OF_GPUS.finditer(expression):  # its job is the exporter's
        if not re.search(r'namespace="\$namespace".*pod=~"\$job-', match[1] or ""):
            yield "target-job-rule", f"does not select the pods of the release: {match[0]}"
    ranged = {match[1] for match in re.finditer(r"(?:rate|increase|resets)\(([\w:]+)", expression)}
    for counter in COUNTER.findall(expression):
        if counter not in ranged:
            yield "target-counter-agg-rule", f"shows the counter {counter} itself"
