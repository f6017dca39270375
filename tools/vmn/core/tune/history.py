"""The revisions of a release, as ``helm history`` has them: which one was found, and whose the last one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmn.core.cluster.snapshot import Object, annotations_of, labels_of

MARK = "vmn tune: "
"""Beginning of the description of a revision that tries a setting."""
SETTLED = "deployed"
"""Status of a revision that is applied."""
KEEPERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "fleet.cattle.io/bundle-id": "Fleet",
}
"""Annotations and labels of what keeps a release as a repository describes it."""


@dataclass(frozen=True)
class Revision:
    """One revision of a release.

    Attributes:
        number: its number.
        status: Helm's word for its state.
        description: what Helm or the one who made it says about it.
    """

    number: int
    status: str
    description: str

    @property
    def is_trial(self) -> bool:
        """Whether ``vmn tune`` made it to try a setting."""
        return self.description.startswith(MARK)


def unfit(lws: Object, history: Sequence[Revision]) -> str:
    """Return why a release can't be tuned, empty if it can.

    Args:
        lws: its LeaderWorkerSet.
        history: its revisions, the last one at the end; empty if Helm does not know it.
    """
    name = lws["metadata"]["name"]
    if not history:
        return (
            f"Helm has no release for {name}. Settings are tried with `helm upgrade`, so Helm must have installed it."
        )
    last = history[-1]
    known = {**labels_of(lws), **annotations_of(lws)}
    keeper = next((program for key, program in KEEPERS.items() if key in known), None)
    if keeper:
        return f"{keeper} manages {name} and would undo each setting. Tune a copy of the release that Helm installed."
    if last.is_trial:
        before = next((one.number for one in reversed(history) if not one.is_trial), None)
        back = f"Put back revision {before} with `helm rollback`, or" if before else "To keep it,"
        return (
            f"Revision {last.number} is a setting ({last.description.removeprefix(MARK)}) of a `vmn tune` that was "
            f"killed. {back} upgrade the release to the values that you want."
        )
    if last.status != SETTLED:
        return f"Revision {last.number} is {last.status}. Correct that with `helm upgrade` or `helm rollback`."
    rollout = lws["spec"].get("rolloutStrategy", {}).get("rollingUpdateConfiguration") or {}
    if rollout.get("partition"):
        return (
            f"rollout.partition is {rollout['partition']}, so some groups would keep their old settings. Set it to 0."
        )
    return ""
