"""Claims and storage classes that pods mount."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, Snapshot, annotations_of
from vmn.core.preflight.result import CheckResult, failed, passed, skipped

SHARED_MODES = ("ReadWriteMany", "ReadOnlyMany")
DEFAULT = "storageclass.kubernetes.io/is-default-class"


def claims(release: RenderedRelease, snapshot: Snapshot) -> Iterator[CheckResult]:
    """Check 17: claims are bound, and shared where several pods mount them; storage classes exist."""
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
        yield skipped("claims", "the release mounts no claim")
    elif not problems:
        yield passed("claims", f"usable: {', '.join([*names, *given])}")


def _claims_of(spec: Object) -> list[str]:
    volumes = spec.get("volumes") or ()
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def _storage_class(name: str, snapshot: Snapshot) -> CheckResult | None:
    if "storageclasses" in snapshot.denied or snapshot.named("storageclasses", name):
        return None
    known = ", ".join(item["metadata"]["name"] for item in snapshot.all("storageclasses")) or "none"
    return failed("claims", f"there is no StorageClass {name}", f"Use one that there is: {known}.")


def _default_class(snapshot: Snapshot) -> CheckResult | None:
    there = snapshot.all("storageclasses")
    if "storageclasses" in snapshot.denied or any(annotations_of(item).get(DEFAULT) == "true" for item in there):
        return None
    known = ", ".join(item["metadata"]["name"] for item in there) or "none"
    text = "the release makes a claim that names no StorageClass, and none is the default"
    return failed("claims", text, f"Set weights.volume.storageClassName to one that shares volumes: {known}.")


def _class_of(claim: Object) -> str | None:
    found: str | None = claim["spec"].get("storageClassName")
    return found


def _claim(name: str, release: RenderedRelease, snapshot: Snapshot) -> CheckResult | None:
    if "persistentvolumeclaims" in snapshot.denied:
        return None
    found = snapshot.named("persistentvolumeclaims", name)
    if found is None:
        return failed("claims", f"there is no claim {name}", f"Make a PersistentVolumeClaim {name} in its namespace.")
    modes = found["spec"].get("accessModes") or []
    pods = release.replicas * release.size
    if pods > 1 and not set(modes) & set(SHARED_MODES):
        text = f"claim {name} is {', '.join(modes)}, and {pods} pods on several nodes mount it"
        return failed("claims", text, "Use a claim with ReadWriteMany or ReadOnlyMany.")
    if modes == ["ReadOnlyMany"] and any(name in _claims_of(spec) for spec in release.jobs):
        text = f"claim {name} is ReadOnlyMany, and the download's Job writes to it"
        return failed("claims", text, "Use a claim with ReadWriteMany, or turn weights.download.enabled off.")
    phase = found.get("status", {}).get("phase")
    if phase == "Bound":
        return None
    if phase == "Pending" and _waits_for_consumer(found, snapshot):
        return None
    fix = f"kubectl describe persistentvolumeclaim {name} says why."
    return failed("claims", f"claim {name} is {phase or 'not bound'}", fix)


def _waits_for_consumer(claim: Object, snapshot: Snapshot) -> bool:
    found = snapshot.named("storageclasses", _class_of(claim) or "")
    return bool(found and found.get("volumeBindingMode") == "WaitForFirstConsumer")
