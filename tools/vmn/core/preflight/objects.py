"""Checks of objects that the release uses but does not create."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.rendered import Reference, RenderedRelease, references
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped, warned

RELEASE = "meta.helm.sh/release-name"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}


def secrets(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that Secrets and ConfigMaps exist, with the keys that pods use."""
    named = [item for spec in release.pod_specs for item in references(spec)]
    once = {(item.kind, item.name, item.key): item for item in reversed(named)}
    used = [item for item in reversed(once.values()) if not release.renders(item.kind, item.name)]
    if not used:
        yield skipped("secrets", "the release needs no other Secrets or ConfigMaps than its own")
        return
    problems = [found for item in used if (found := _missing(item, snapshot))]
    yield from problems
    if not problems:
        names = ", ".join(sorted({item.name for item in used}))
        yield passed("secrets", f"these exist, with their keys: {names}")


def _missing(item: Reference, snapshot: Snapshot) -> CheckResult | None:
    plural = PLURALS[item.kind]
    if plural in snapshot.denied:
        return None
    found = snapshot.named(plural, item.name)
    what = f"{item.kind} {item.name}" if found is None else f"key {item.key} of {item.kind} {item.name}"
    if found is not None and (item.key is None or item.key in {**(found.get("data") or {})}):
        return None
    if item.optional:
        text = f"{what} does not exist, and pods start without it ({item.what})"
        return warned("secrets", text, _create(item))
    return failed("secrets", f"{what} does not exist, and pods can't start without it ({item.what})", _create(item))


def _create(item: Reference) -> str:
    if item.what == "imagePullSecrets":
        return f"kubectl create secret docker-registry {item.name} --docker-server=... --docker-username=..."
    kind = "secret generic" if item.kind == "Secret" else "configmap"
    return f"kubectl create {kind} {item.name} --from-literal={item.key or 'KEY'}=..."


def classes(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the RuntimeClass and the PriorityClass of the pods exist."""
    for check, plural, field in (
        ("runtime-class", "runtimeclasses", "runtimeClassName"),
        ("priority-class", "priorityclasses", "priorityClassName"),
    ):
        names = list(dict.fromkeys(pod.spec[field] for pod in release.pods if pod.spec.get(field)))
        missing = [name for name in names if not snapshot.named(plural, name)]
        if not names:
            yield skipped(check, f"the pods set no {field}")
        elif missing and plural not in snapshot.denied:
            known = ", ".join(item["metadata"]["name"] for item in snapshot.all(plural)) or "none"
            yield failed(check, f"{missing[0]} does not exist", f"Use one of the existing classes: {known}.")
        elif not missing:
            yield passed(check, f"{', '.join(names)} exists")


def networks(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the networks that pods are attached to exist."""
    used = [pod.template["metadata"].get("annotations", {}).get(NETWORKS) for pod in release.pods]
    names = list(dict.fromkeys(part.strip() for text in used if text for part in text.split(",") if "{" not in text))
    own = {f"{item['metadata'].get('namespace')}/{item['metadata']['name']}" for item in snapshot.all(NETWORK_PLURAL)}
    missing = [name for name in names if _full(name, release.namespace) not in own]
    if not names:
        yield skipped("networks", "the pods use no additional networks")
    elif not snapshot.served(NETWORK_PLURAL):
        yield failed("networks", "the cluster does not know NetworkAttachmentDefinitions", "Install Multus.")
    elif missing and NETWORK_PLURAL not in snapshot.denied:
        fix = f"Use a network that kubectl get {NETWORK_PLURAL} --all-namespaces lists."
        yield failed("networks", f"network {missing[0]} does not exist", fix)
    elif not missing:
        yield passed("networks", f"these networks exist: {', '.join(names)}")


NETWORK_PLURAL = "network-attachment-definitions"


def _full(name: str, namespace: str) -> str:
    plain = name.partition("@")[0]
    return plain if "/" in plain else f"{namespace}/{plain}"


def collisions(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that no other owner has objects with the names that the release uses."""
    taken = []
    wanted = {("services", item["metadata"]["name"]) for item in release.of_kind("Service")}
    wanted |= {("services", release.lws["metadata"]["name"])}  # LeaderWorkerSet's own headless Service
    wanted |= {("leaderworkersets", release.lws["metadata"]["name"])}
    for plural, name in sorted(wanted):
        found = snapshot.named(plural, name)
        if found and not _is_own(found, release):
            taken.append(f"{plural.removesuffix('s')} {name}")
    if taken:
        fix = "Use another release name, or delete these objects."
        yield failed("names", f"these exist and do not belong to release {release.name}: {', '.join(taken)}", fix)
    else:
        yield passed("names", "the names of the release's objects are free")


def _is_own(item: Object, release: RenderedRelease) -> bool:
    owners = item["metadata"].get("ownerReferences") or ()
    mine = release.lws["metadata"]["name"]
    if any(owner["kind"] == "LeaderWorkerSet" and owner["name"] == mine for owner in owners):
        return True
    return annotations_of(item).get(RELEASE) == release.name


def monitors(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that the cluster knows the Prometheus operator's kinds if the release uses them."""
    kinds = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
    used = [kind for kind in kinds if release.of_kind(kind)]
    missing = [kind for kind in used if not snapshot.served(kinds[kind])]
    if not used:
        yield skipped("monitoring", "the release has no PodMonitor")
    elif missing:
        fix = "Install the Prometheus operator, or disable it in the values."
        yield failed("monitoring", f"the cluster does not know {missing[0]}", fix)
    else:
        yield passed("monitoring", f"the cluster knows {' and '.join(used)}")
