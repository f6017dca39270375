"""Whether a pod can run on a node, as the scheduler decides it: readiness, labels, node affinity, taints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmn.core.cluster.snapshot import Object, condition_of, labels_of


def bars(node: Object, spec: Object) -> Iterator[str]:
    """Yield why a pod can't run on a node."""
    if condition_of(node, "Ready").get("status", "True") != "True":
        yield "not ready"
    for name, value in (spec.get("nodeSelector") or {}).items():
        if labels_of(node).get(name) != value:
            yield f"no label {name}={value}"
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if required and not any(_term_matches(term, node) for term in required["nodeSelectorTerms"]):
        yield "outside nodeAffinity"
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not _tolerated(taint, spec.get("tolerations") or ()):
            yield _why(taint)


def _why(taint: Mapping[str, Any]) -> str:
    """Return what a taint means; taints for a node's state, which Kubernetes sets, should not be tolerated."""
    domain, _, state = taint["key"].rpartition("/")
    if domain != "node.kubernetes.io":
        return f"taint {_taint(taint)}"
    return "cordoned" if state == "unschedulable" else state.replace("-", " ")


def _taint(taint: Mapping[str, Any]) -> str:
    return f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}"


def _tolerated(taint: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        entry.get("effect") in (None, "", taint["effect"])
        and (
            (entry.get("operator") == "Exists" and entry.get("key") in (None, "", taint["key"]))
            or (entry.get("key") == taint["key"] and (entry.get("value") or "") == (taint.get("value") or ""))
        )
        for entry in tolerations
    )


def _term_matches(term: Mapping[str, Any], node: Object) -> bool:
    fields = {"metadata.name": node["metadata"]["name"]}
    return all(_matches(rule, labels_of(node)) for rule in term.get("matchExpressions") or ()) and all(
        _matches(rule, fields) for rule in term.get("matchFields") or ()
    )


def _matches(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(rule["key"])
    values: Sequence[str] = rule.get("values") or []
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case _:
            return value is not None and int(value) < int(values[0])
