"""Waiting for the groups of a release after an upgrade."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmn.adapters.cluster import Read, gather
from vmn.adapters.programs import MissingError
from vmn.core.cluster.lws import API
from vmn.core.cluster.release import Pod, own_pods
from vmn.core.cluster.snapshot import Object
from vmn.core.reporting import Say
from vmn.core.tune.rollout import RolloutState, rollout_state

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PERIOD = 2.0
"""Seconds between two looks at the pods."""


@dataclass(frozen=True)
class Waited:
    """How waiting ended.

    Attributes:
        why: why the groups do not serve, empty if they do.
        failed: the pods of which one had failed, as they were at that moment: LeaderWorkerSet deletes them at once.
    """

    why: str = ""
    failed: Sequence[Pod] = ()


@dataclass(frozen=True)
class Groups:
    """The groups of a release.

    Attributes:
        client: client of the cluster.
        namespace: namespace of the release.
        name: name of its LeaderWorkerSet.
    """

    client: ApiClient
    namespace: str
    name: str

    def read(self) -> tuple[Object, list[Pod]]:
        """Return the LeaderWorkerSet and its pods.

        Raises:
            MissingError: the API server can't be reached, or the LeaderWorkerSet does not exist.
        """
        reads = [Read("leaderworkersets", API, self.namespace), Read("pods", "v1", self.namespace)]
        snapshot = gather(self.client, reads)
        lws = snapshot.named("leaderworkersets", self.name)
        if lws is None:
            raise MissingError(f"LeaderWorkerSet {self.name} does not exist any more.")
        return lws, own_pods(snapshot, self.name)

    def wait(self, limit: float, say: Say, *, give_up: bool = False, settled: float = 0.0) -> Waited:
        """Wait until all groups serve with the present template.

        Args:
            limit: seconds.
            say: takes lines about progress.
            give_up: whether to stop at the first failure of a pod, instead of waiting for its next attempt.
            settled: seconds for which they must serve: after two changes in a row, the first one may still come.
        """
        begun, last, since = time.monotonic(), "", None
        while True:
            state = self._state()
            now = time.monotonic()
            since = (since or now) if state.is_done else None
            if since is not None and now - since >= settled:
                return Waited()
            if state.words != last:
                say(f"{now - begun:.0f} s: {state.words}")
                last = state.words
            if state.failure and give_up:
                return Waited(state.failure, state.failed)
            if now - begun > limit:
                return Waited(f"not ready after {limit:.0f} s: {state.failure or state.words}", state.failed)
            time.sleep(PERIOD)

    def _state(self) -> RolloutState:
        """Return how far the groups are."""
        try:
            return rollout_state(*self.read())
        except MissingError as error:
            return RolloutState(False, "", str(error))
