"""Logs of containers, through the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmn.adapters.cluster import ask_text
from vmn.adapters.programs import MissingError
from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.release import Pod

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOG_TIMEOUT = 6
"""Seconds: the API server forwards these requests to the kubelet, which does not answer on a lost node."""
LOG_BYTES = 2 * 2**20
"""Bytes that are read from the beginning of a log, as the first error matters most."""
LOG_LINES = 2000
"""Lines that are read from the end of a longer log."""


@dataclass(frozen=True)
class UnreadLog:
    """A log that can't be read, and why."""

    pod: str
    reason: str


def read_log(
    client: ApiClient, namespace: str, pod: Pod, container: str, previous: bool
) -> ContainerLog | UnreadLog | None:
    """Return a container's log, None when there is none.

    Args:
        client: client of the cluster.
        namespace: namespace of the pod.
        pod: the pod.
        container: name of the container.
        previous: whether to read the log of the previous container.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod.name}/log"
    query = [("container", container), ("timestamps", "true"), ("previous", str(previous).lower())]
    try:
        status, text = ask_text(client, path, [*query, ("limitBytes", str(LOG_BYTES))], LOG_TIMEOUT)
        if status == 200 and len(text.encode()) >= LOG_BYTES:
            _, end = ask_text(client, path, [*query, ("tailLines", str(LOG_LINES))], LOG_TIMEOUT)
            text = f"{text.rpartition(chr(10))[0]}\n{end}"
    except MissingError:  # the API server answers other requests, so it is the node that does not
        return UnreadLog(pod.name, f"no answer from its node in {LOG_TIMEOUT} s")
    if status == 200:
        return ContainerLog(pod.name, container, text, previous)
    return None if previous or status in (400, 404) else UnreadLog(pod.name, text[:300])
