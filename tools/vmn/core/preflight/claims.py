"""Checks of the volume claims and storage classes that pods use."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.claim_templates import differences
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped

SHARED_MODES = ("ReadWriteMany", "ReadOnlyMany")
DEFAULT = "storageclass.kubernetes.io/is-default-class"


def claims(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that claims are bound, and shared if several pods mount them, and that storage classes exist."""
    volumes = [volume for pod in release.pods for volume in pod.spec.get("volumes") or ()]
    mounted = [name for pod in release.pods for name in _claims_of(pod.spec)]
    made = [volume["ephemeral"]["volumeClaimTemplate"] for volume in volumes if "ephemeral" in volume]
    names = list(dict.fromkeys(mounted))
    classes = list(dict.fromkeys(_class_of(item) for item in [*made, *release.of_kind("PersistentVolumeClaim")]))
    given = [name for name in classes if name]
    foreign = [name for name in names if not release.renders("PersistentVolumeClaim", name)]
    problems = [found for name in foreign if (found := _claim(name, release, snapshot))]
    problems += [found for name in given if (found := _storage_class(name, snapshot))]
    if None in classes and (found := _default_class(snapshot)):
        problems.append(found)
    yield from problems
    if not names and not given:
        yield skipped("claims", "the release mounts no volume claim")
    elif not problems:
        yield passed("claims", f"usable: {', '.join([*names, *given])}")


def _claims_of(spec: Object) -> list[str]:
    volumes = spec.get("volumes") or ()
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def _storage_class(name: str, snapshot: Snapshot) -> CheckResult | None:
    if "storageclasses" in snapshot.denied or snapshot.named("storageclasses", name):
        return None
    known = ", ".join(item["metadata"]["name"] for item in snapshot.all("storageclasses")) or "none"
    return failed("claims", f"there is no StorageClass {name}", f"Use one of the existing classes: {known}.")


def _default_class(snapshot: Snapshot) -> CheckResult | None:
    existing = snapshot.all("storageclasses")
    if "storageclasses" in snapshot.denied or any(annotations_of(item).get(DEFAULT) == "true" for item in existing):
        return None
    known = ", ".join(item["metadata"]["name"] for item in existing) or "none"
    text = "the release creates a claim without a StorageClass, and the cluster has no default class"
    return failed("claims", text, f"Set weights.volume.storageClassName to a class with shared volumes: {known}.")


def _class_of(claim: Object) -> str | None:
    found: str | None = claim["spec"].get("storageClassName")
    return found


def _claim(name: str, release: RenderedRelease, snapshot: Snapshot) -> CheckResult | None:
    if "persistentvolumeclaims" in snapshot.denied:
        return None
    found = snapshot.named("persistentvolumeclaims", name)
    if found is None:
        return failed(
            "claims",
            f"claim {name} does not exist",
            f"Create a PersistentVolumeClaim {name} in the release's namespace.",
        )
    modes = found["spec"].get("accessModes") or []
    pods = release.replicas * release.size
    if pods > 1 and not set(modes) & set(SHARED_MODES):
        text = f"claim {name} is {', '.join(modes)}, but {pods} pods on several nodes mount it"
        return failed("claims", text, "Use a claim with ReadWriteMany or ReadOnlyMany.")
    if modes == ["ReadOnlyMany"] and any(name in _claims_of(spec) for spec in release.jobs):
        text = f"claim {name} is ReadOnlyMany, but the download Job writes to it"
        return failed("claims", text, "Use a claim with ReadWriteMany, or set weights.download.enabled to false.")
    phase = found.get("status", {}).get("phase")
    if phase == "Bound":
        return None
    if phase == "Pending" and _waits_for_consumer(found, snapshot):
        return None
    fix = f"Run kubectl describe persistentvolumeclaim {name} to see why."
    return failed("claims", f"claim {name} is {phase or 'not bound'}", fix)


def _waits_for_consumer(claim: Object, snapshot: Snapshot) -> bool:
    found = snapshot.named("storageclasses", _class_of(claim) or "")
    return bool(found and found.get("volumeBindingMode") == "WaitForFirstConsumer")


def unchanged(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check that an upgrade keeps the claims that LeaderWorkerSet creates: it accepts other ones, and then stops.

    Its StatefulSet has the claims that count. The LeaderWorkerSet may already ask for other ones.
    """
    name = release.lws["metadata"]["name"]
    existing = snapshot.named("statefulsets", name) or snapshot.named("leaderworkersets", name)
    if existing is None:
        yield skipped("cache-claims", "the release is not installed yet")
        return
    template = release.lws["spec"]["leaderWorkerTemplate"]
    spec = existing["spec"]
    had = (spec.get("leaderWorkerTemplate") or spec).get("volumeClaimTemplates")
    if changes := differences(had, template.get("volumeClaimTemplates")):
        text = (
            f"{'; '.join(changes)}. The claims of a StatefulSet can't be changed: LeaderWorkerSet accepts the upgrade, "
            "and then applies neither this change nor any later one"
        )
        fix = (
            "Keep cache.type, cache.size, and cache.storageClassName as they are, or uninstall the release, delete its "
            "claims, and install it again."
        )
        yield failed("cache-claims", text, fix)
    else:
        yield passed("cache-claims", "the upgrade keeps the claims that LeaderWorkerSet creates")
