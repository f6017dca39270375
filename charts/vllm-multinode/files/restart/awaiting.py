"""What comes before the first engine of a pod that keeps its weights: its weight daemons must hold them."""

from __future__ import annotations

import signal
import time

from daemons import WeightDaemons
from links import TICK, LeaderLink, WorkerLink
from state import PodFiles, say

SHARE = 0.9
"""Share of the startup budget that the daemons have. The rest is for the engine."""
TERMINATED = 128 + signal.SIGTERM


def await_weights(
    daemons: WeightDaemons,
    link: LeaderLink | WorkerLink,
    files: PodFiles,
    env: dict[str, str],
    asked: list[signal.Signals],
) -> int | None:
    """Start the daemons, and wait until they hold the weights.

    Args:
        daemons: of this pod.
        link: to the other pods, which must hear of this one meanwhile.
        files: for Kubernetes.
        env: variables of the engine.
        asked: signals that have come.

    Returns:
        Nothing once they hold the weights, otherwise the exit status of the pod.
    """
    begun = time.monotonic()
    limit = SHARE * float(env["MULTINODE_STARTUP_SECONDS"])
    daemons.start(env)
    while not daemons.healthy:
        list(link.poll(TICK))  # the group decides nothing before it has served
        daemons.look()
        if asked:
            daemons.kill()
            return TERMINATED
        late = time.monotonic() - begun > limit
        if daemons.lost or (late and not daemons.healthy):
            why = daemons.lost or f"not healthy within {limit:.0f} s"
            daemons.kill()
            _give_up(f"the weight daemons do not hold the weights ({why})", daemons, files)
            _pause(float(env["MULTINODE_BACKOFF_SECONDS"]), link, asked)
            return 1
    say(f"the weight daemons hold the weights after {time.monotonic() - begun:.0f} s")
    return None


def _give_up(why: str, daemons: WeightDaemons, files: PodFiles) -> None:
    """Say why in the log and in the termination message, as entrypoint.sh does."""
    files.explain("\n".join([why, *daemons.errors, "...", *daemons.tail, ""]))
    said = "; ".join([why, *daemons.errors[:1]])
    say(f"error: {said}")


def _pause(seconds: float, link: LeaderLink | WorkerLink, asked: list[signal.Signals]) -> None:
    """Wait, unless the pod is told to end."""
    say(f"the container ends in {seconds:.0f} s (startup.backoffSeconds): read the log above")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not asked:
        list(link.poll(TICK))
