"""What is needed to understand a failure on a cluster: objects, events, logs, each cut to a readable length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kit.cluster import LWS, kubectl, objects
from vmn.adapters.programs import Done

LINES = 60
"""Lines of each part; the last ones are kept."""
LINE = 500
"""Characters of each line."""
Kubectl = Callable[..., Done]


def collect(namespace: str) -> str:
    """Return what there is to see in a namespace; never raises, as it is called when something has failed."""
    parts = [
        ("objects", ["get", f"{LWS},statefulsets,pods,services,jobs", "--output=wide"]),
        ("events", ["get", "events", "--sort-by=.lastTimestamp"]),
        ("LeaderWorkerSets", ["describe", LWS]),
        ("pods", ["describe", "pods"]),
    ]
    texts = [_part(f"{what} in {namespace}", namespace, command) for what, command in parts]
    texts += [_part(f"log of {what}", namespace, command) for what, command in _log_commands(namespace)]
    return "\n".join(texts)


def cut(text: str, lines: int = LINES, width: int = LINE) -> str:
    """Return a text's last lines, each of a bounded length, and say how many are left out."""
    every = text.rstrip().splitlines()
    kept = [line if len(line) <= width else f"{line[:width]} …" for line in every[-lines:]]
    left_out = len(every) - len(kept)
    return "\n".join([*([f"… {left_out} lines before"] if left_out else []), *kept])


def _part(title: str, namespace: str, command: list[str]) -> str:
    done = kubectl(*command, namespace=namespace, limit=40, check=False)
    lines = LINES * 4 if command[0] == "describe" else LINES
    return f"--- {title}\n{cut(done.stdout + done.stderr, lines)}"


def _log_commands(namespace: str) -> Iterator[tuple[str, list[str]]]:
    try:
        pods = objects("pods", namespace=namespace)
    except Exception as error:
        yield f"nothing, as the pods can't be listed: {error}", ["version"]
        return
    for pod in pods:
        yield from _logs_of(pod)


def _logs_of(pod: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for entry in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        command = ["logs", name, "--container", entry["name"], f"--tail={LINES}"]
        yield f"{name} {entry['name']}", command
        if entry.get("restartCount"):
            yield f"{name} {entry['name']}, its run before", [*command, "--previous"]
