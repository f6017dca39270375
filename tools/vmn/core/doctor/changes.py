"""Observations about changes of a release that LeaderWorkerSet has not applied."""

from __future__ import annotations

from collections.abc import Iterator

from vmn.core.cluster.claim_templates import differences
from vmn.core.cluster.lws import CONTROLLER
from vmn.core.cluster.release import INSTANCE, Release
from vmn.core.cluster.snapshot import Object, labels_of
from vmn.core.cluster.timestamps import seconds
from vmn.core.doctor.evidence import Observation

GRACE_SECONDS = 15.0
"""Seconds that the controller gets for a change; it takes 0.1 (measured)."""


def change_sources(release: Release, *, controller_away: bool) -> Iterator[Observation]:
    """Yield that the controller can't apply, or has not applied, what the LeaderWorkerSet asks for.

    Args:
        release: the release.
        controller_away: whether the controller has no available pod.
    """
    if release.lws is None:
        return
    if changes := _changed_claims(release, release.lws):
        instance = labels_of(release.lws).get(INSTANCE, release.name)
        fields = {"changes": "; ".join(changes), "instance": instance}
        text = f"LeaderWorkerSet {release.name} asks for other claims than StatefulSet {release.name} has: "
        yield _about(release, "claims-changed", text + fields["changes"], fields)
        return
    wanted, applied = release.lws["metadata"].get("generation"), _observed(release.lws)
    if applied is None or wanted is None or applied >= wanted:
        return
    if release.now - (_changed_at(release.lws) or 0.0) > GRACE_SECONDS:
        text = f"LeaderWorkerSet {release.name} has generation {wanted}, but {CONTROLLER} has observed only {applied}"
        fields = {"controller": "unavailable" if controller_away else "available"}
        yield _about(release, "change-not-applied", text, fields)


def _about(release: Release, kind: str, text: str, fields: dict[str, str]) -> Observation:
    at = _changed_at(release.lws or {})
    return Observation(kind, "cluster", f"LeaderWorkerSet {release.name}", text, fields, at=at)


def _changed_claims(release: Release, lws: Object) -> list[str]:
    """Return how the claims differ from those of the StatefulSet, which can't be changed."""
    existing = release.leader_statefulset
    wanted = lws["spec"].get("leaderWorkerTemplate", {}).get("volumeClaimTemplates")
    return differences(existing["spec"].get("volumeClaimTemplates"), wanted) if existing else []


def _observed(lws: Object) -> int | None:
    found: int | None = (lws.get("status") or {}).get("observedGeneration")
    return found


def _changed_at(lws: Object) -> float | None:
    """Return when the specification was last changed; None when the server's managed fields do not tell."""
    fields = lws.get("metadata", {}).get("managedFields") or ()
    times = [seconds(one.get("time")) for one in fields if "f:spec" in (one.get("fieldsV1") or {})]
    return max((at for at in times if at is not None), default=None)
