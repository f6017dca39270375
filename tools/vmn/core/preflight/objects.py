"""Objects that the release uses and does not make."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.rendered import Reference, RenderedRelease, references
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped, warned

RELEASE = "meta.helm.sh/release-name"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}


def secrets(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 18: Secrets and ConfigMaps are there with the keys that pods name."""
    named = [item for spec in release.pod_specs for item in references(spec)]
    once = {(item.kind, item.name, item.key): item for item in reversed(named)}
    asked = [item for item in reversed(once.values()) if not release.renders(item.kind, item.name)]
    if not asked:
        yield skipped("secrets", "the release needs none but its own")
        return
    problems = [found for item in asked if (found := _missing(item, snapshot))]
    yield from problems
    if not problems:
        names = ", ".join(sorted({item.name for item in asked}))
        yield passed("secrets", f"there, with their keys: {names}")


def _missing(item: Reference, snapshot: Snapshot) -> CheckResult | None:
    plural = PLURALS[item.kind]
    if plural in snapshot.denied:
        return None
    found = snapshot.named(plural, item.name)
    what = f"{item.kind} {item.name}" if found is None else f"key {item.key} of {item.kind} {item.name}"
    if found is not None and (item.key is None or item.key in {**(found.get("data") or {})}):
        return None
    if item.optional:
        text = f"{what} is not there; pods start without it ({item.what})"
        return warned("secrets", text, _create(item))
    return failed("secrets", f"{what} is not there, and pods can't start without it ({item.what})", _create(item))


def _create(item: Reference) -> str:
    if item.what == "imagePullSecrets":
        return f"kubectl create secret docker-registry {item.name} --docker-server=... --docker-username=..."
    kind = "secret generic" if item.kind == "Secret" else "configmap"
    return f"kubectl create {kind} {item.name} --from-literal={item.key or 'KEY'}=..."


def classes(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Checks 19 and 23: the RuntimeClass and PriorityClass that pods name exist."""
    for check, plural, field in (
        ("runtime-class", "runtimeclasses", "runtimeClassName"),
        ("priority-class", "priorityclasses", "priorityClassName"),
    ):
        names = list(dict.fromkeys(pod.spec[field] for pod in release.pods if pod.spec.get(field)))
        missing = [name for name in names if not snapshot.named(plural, name)]
        if not names:
            yield skipped(check, f"pods name no {field}")
        elif missing and plural not in snapshot.denied:
            known = ", ".join(item["metadata"]["name"] for item in snapshot.all(plural)) or "none"
            yield failed(check, f"{missing[0]} does not exist", f"Use one that does: {known}.")
        elif not missing:
            yield passed(check, f"there: {', '.join(names)}")


def networks(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 12: the networks that pods are attached to exist."""
    asked = [pod.template["metadata"].get("annotations", {}).get(NETWORKS) for pod in release.pods]
    names = list(dict.fromkeys(part.strip() for text in asked if text for part in text.split(",") if "{" not in text))
    own = {f"{item['metadata'].get('namespace')}/{item['metadata']['name']}" for item in snapshot.all(NETWORK_PLURAL)}
    missing = [name for name in names if _full(name, release.namespace) not in own]
    if not names:
        yield skipped("networks", "pods ask for no network more")
    elif not snapshot.served(NETWORK_PLURAL):
        yield failed("networks", "the cluster has no NetworkAttachmentDefinitions", "Install Multus.")
    elif missing and NETWORK_PLURAL not in snapshot.denied:
        fix = f"kubectl get {NETWORK_PLURAL} --all-namespaces lists those there are."
        yield failed("networks", f"there is no network {missing[0]}", fix)
    elif not missing:
        yield passed("networks", f"there: {', '.join(names)}")


NETWORK_PLURAL = "network-attachment-definitions"


def _full(name: str, namespace: str) -> str:
    plain = name.partition("@")[0]
    return plain if "/" in plain else f"{namespace}/{plain}"


def collisions(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 20: no object of another owner has a name that the release takes."""
    taken = []
    wanted = {("services", item["metadata"]["name"]) for item in release.of_kind("Service")}
    wanted |= {("services", release.lws["metadata"]["name"])}  # LeaderWorkerSet's own headless Service
    wanted |= {("leaderworkersets", release.lws["metadata"]["name"])}
    for plural, name in sorted(wanted):
        found = snapshot.named(plural, name)
        if found and not _is_own(found, release):
            taken.append(f"{plural.removesuffix('s')} {name}")
    if taken:
        fix = "Use another release name, or remove what is there."
        yield failed("names", f"there already, and not of release {release.name}: {', '.join(taken)}", fix)
    else:
        yield passed("names", "no name is taken")


def _is_own(item: Object, release: RenderedRelease) -> bool:
    owners = item["metadata"].get("ownerReferences") or ()
    mine = release.lws["metadata"]["name"]
    if any(owner["kind"] == "LeaderWorkerSet" and owner["name"] == mine for owner in owners):
        return True
    return annotations_of(item).get(RELEASE) == release.name


def monitors(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 28: Prometheus' kinds are known where the release has some."""
    kinds = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
    used = [kind for kind in kinds if release.of_kind(kind)]
    missing = [kind for kind in used if not snapshot.served(kinds[kind])]
    if not used:
        yield skipped("monitoring", "the release has no PodMonitor")
    elif missing:
        fix = "Install the Prometheus operator, or turn it off in the values."
        yield failed("monitoring", f"the cluster does not know {missing[0]}", fix)
    else:
        yield passed("monitoring", f"known: {', '.join(used)}")
