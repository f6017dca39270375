"""What became of a release's objects over a time, also of pods that are gone by its end."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from kit.cluster import LWS, Object, kubectl
from kit.release import GROUP_LABEL, Release


def watch_pods(release: Release, seconds: int) -> list[Object]:
    """Return the release's pods as they were after each change, over a time.

    Raises:
        json.JSONDecodeError: kubectl printed something else.
    """
    options = [f"--selector={GROUP_LABEL}={release.name}", "--watch", "--output=json"]
    bound = f"--request-timeout={seconds}s"  # the last one counts
    done = kubectl("get", "pods", *options, bound, namespace=release.namespace, limit=seconds + 30, check=False)
    return list(documents(done.stdout))


@contextmanager
def watched_group(release: Release) -> Iterator[list[Object]]:
    """Watch the LeaderWorkerSet; at the end, the list has it as it was after each change."""
    command = ["kubectl", "get", LWS, "--watch", "--output=json", f"--namespace={release.namespace}"]
    seen: list[Object] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file)
        try:
            yield seen
        finally:
            process.terminate()
            process.wait(10)
            file.seek(0)
            seen += documents(file.read())


def documents(text: str) -> Iterator[Object]:
    """Yield the JSON objects of a text that holds one after the other."""
    decoder = json.JSONDecoder()
    rest = text.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        yield found
        rest = rest[end:].lstrip()


def states(pod: Object, kind: str) -> list[Object]:
    """Return the states of one kind, ``terminated`` or ``waiting``, in which a pod's containers are or were before."""
    statuses = pod["status"].get("containerStatuses", [])
    found = [status.get(key, {}) for status in statuses for key in ("state", "lastState")]
    return [state[kind] for state in found if kind in state]
