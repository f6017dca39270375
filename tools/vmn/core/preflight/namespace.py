"""Checks of the namespace: quota, limits, admission, network policies, service mesh."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from vmn.core.cluster.quantity import quantity, written
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, Snapshot, labels_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped, warned

MESHES = {"istio-injection": "enabled", "istio.io/rev": None}
ENFORCE = "pod-security.kubernetes.io/enforce"


def quota(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the quota has room for all pods."""
    total: dict[str, Decimal] = {"pods": Decimal(0)}
    for pod in release.pods:
        total["pods"] += pod.count
        for name, amount in pod.requests.items():
            for key in (
                (f"requests.{name}", name) if name in ("cpu", "memory", "ephemeral-storage") else (f"requests.{name}",)
            ):
                total[key] = total.get(key, Decimal(0)) + amount * pod.count
    found = list(snapshot.all("resourcequotas"))
    problems = [
        failed(
            "quota",
            f"ResourceQuota {item['metadata']['name']} has {written(_plain(name), left)} of {name} left, but the pods "
            f"request {written(_plain(name), total[name])}",
            "Raise the quota, or use another namespace.",
        )
        for item in found
        for name, left in _left(item)
        if name in total and total[name] > left
    ]
    yield from problems
    if not found and "resourcequotas" not in snapshot.denied:
        yield skipped("quota", "the namespace has no quota")
    elif found and not problems:
        yield passed("quota", "the quota has room for the pods")


def _plain(name: str) -> str:
    return name.removeprefix("requests.")


def _left(item: Object) -> Iterator[tuple[str, Decimal]]:
    status = item.get("status") or {}
    used = status.get("used") or {}
    for name, hard in (status.get("hard") or item["spec"].get("hard") or {}).items():
        yield name, quantity(hard) - quantity(used.get(name, 0))


def limits(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that no LimitRange forbids the containers."""
    found = list(snapshot.all("limitranges"))
    problems = [
        failed(
            "limit-range",
            f"LimitRange {item['metadata']['name']} allows a {limit['type'].lower()} {written(name, quantity(most))} "
            f"of {name}, but the {pod.role} requests {written(name, pod.requests[name])}",
            "Raise the LimitRange, or use another namespace.",
        )
        for item in found
        for limit in item["spec"]["limits"]
        if limit["type"] in ("Container", "Pod")
        for name, most in (limit.get("max") or {}).items()
        for pod in release.pods[:1]
        if pod.requests.get(name, Decimal(0)) > quantity(most)
    ]
    yield from problems
    if not found and "limitranges" not in snapshot.denied:
        yield skipped("limit-range", "the namespace has no LimitRange")
    elif found and not problems:
        yield passed("limit-range", "the containers are within the LimitRange")


def security(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check with a dry run that admission accepts the pods."""
    answers = {pod.role: snapshot.dry_runs.get(f"Pod/{pod.role}") for pod in release.pods}
    refused = {role: text for role, text in answers.items() if text}
    if refused:
        role, text = next(iter(refused.items()))
        fix = "Change the values that the message names, or the namespace's label pod-security.kubernetes.io/enforce."
        yield failed("admission", f"the API server refuses the {role} pod: {text}", fix)
    elif not snapshot.all("namespaces") and "namespaces" not in snapshot.denied:
        fix = "Create the namespace first, or install with --create-namespace."
        yield warned(
            "admission", f"namespace {release.namespace} does not exist yet, so the pods could not be tried", fix
        )
    elif all(text is None for text in answers.values()):
        yield warned("admission", "the pods could not be tried", "Add the right to create pods, which a dry run needs.")
    else:
        level = next((labels_of(item).get(ENFORCE) for item in snapshot.all("namespaces")), None)
        yield passed("admission", f"the API server accepts the pods (dry run){f', at level {level}' if level else ''}")


def policies(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that no other NetworkPolicy denies the traffic between ranks."""
    own = {item["metadata"]["name"] for item in release.of_kind("NetworkPolicy")}
    denying = [
        item["metadata"]["name"]
        for item in snapshot.all("networkpolicies")
        if item["metadata"]["name"] not in own and not item["spec"].get("podSelector") and _denies(item)
    ]
    if denying and not own:
        fix = "Set networkPolicy.enabled to true: its rules are added to those of other policies."
        yield failed(
            "network-policy",
            f"NetworkPolicy {denying[0]} denies the traffic of all pods, including the traffic between ranks",
            fix,
        )
    elif denying:
        yield passed(
            "network-policy",
            f"NetworkPolicy {denying[0]} denies by default, and the release's own policy allows what it needs",
        )
    elif "networkpolicies" not in snapshot.denied:
        yield passed("network-policy", "no other NetworkPolicy denies traffic by default")


def _denies(item: Object) -> bool:
    spec = item["spec"]
    kinds = spec.get("policyTypes") or ["Ingress"]
    return ("Ingress" in kinds and not spec.get("ingress")) or ("Egress" in kinds and not spec.get("egress"))


def mesh(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that no service mesh injects a proxy, which breaks NCCL."""
    for item in snapshot.all("namespaces"):
        labels = labels_of(item)
        found = next((key for key, value in MESHES.items() if key in labels and value in (None, labels[key])), None)
        linkerd = (item["metadata"].get("annotations") or {}).get("linkerd.io/inject") == "enabled"
        if found or linkerd:
            out = all(
                pod.template["metadata"].get("labels", {}).get("sidecar.istio.io/inject") == "false"
                for pod in release.pods
            )
            name = found or "linkerd.io/inject"
            if out:
                yield passed("mesh", f"{name} is set on namespace {release.namespace}, and the pods opt out")
            else:
                fix = 'Set sidecar.istio.io/inject: "false" in podLabels: a proxy breaks the rendezvous and NCCL.'
                yield failed("mesh", f"{name} is set on namespace {release.namespace}", fix)
            return
    yield passed("mesh", "no service mesh injects proxies")
