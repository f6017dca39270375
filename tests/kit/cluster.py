"""kubectl and the API on the cluster of KUBECONFIG: typed, without a shell, every call bounded."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from queue import Empty, Queue
from typing import IO, Any

from kit import api
from vmn.adapters.programs import Done

Object = api.Object

LWS = "leaderworkersets.leaderworkerset.x-k8s.io"
KINDS = (
    LWS,
    "controllerrevisions.apps",
    "statefulsets.apps",
    "pods",
    "services",
    "secrets",
    "configmaps",
    "serviceaccounts",
    "networkpolicies.networking.k8s.io",
    "poddisruptionbudgets.policy",
    "jobs.batch",
    "persistentvolumeclaims",
    "endpointslices.discovery.k8s.io",
)
"""Kinds of which a release, or what LeaderWorkerSet and Kubernetes make of it, may leave something."""
OF_EVERY_NAMESPACE = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
"""What Kubernetes puts into each namespace."""
REQUEST_LIMIT = "--request-timeout=30s"


class ProgramFailed(Exception):  # noqa: N818 - reads as what happened
    """A program ended with another status than 0, or not in time."""

    def __init__(self, command: Sequence[str], done: Done) -> None:
        """Keep how it ended; the message has the end of what it said."""
        said = f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}".strip()
        super().__init__(f"`{' '.join(command)}` ended with {done.code}:\n{said}")
        self.done = done


def run(*command: str, limit: float = 60, stdin: str | None = None, check: bool = True) -> Done:
    """Run a program to its end.

    Args:
        command: program and arguments.
        limit: seconds; 124 is the status of a program that took longer.
        stdin: its standard input, none by default.
        check: raise when the status is not 0.

    Raises:
        ProgramFailed: the status is not 0.
    """
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, **given)
        done = Done(ended.returncode, ended.stdout, ended.stderr)
    except subprocess.TimeoutExpired:
        done = Done(124, "", f"no end after {limit:.0f} s")
    if check and done.code:
        raise ProgramFailed(command, done)
    return done


def kubectl(
    *arguments: str, namespace: str | None = None, limit: float = 60, stdin: str | None = None, check: bool = True
) -> Done:
    """Run kubectl.

    Args:
        arguments: its arguments.
        namespace: the namespace, when they are about one.
        limit: seconds.
        stdin: its standard input.
        check: raise when the status is not 0.

    Raises:
        ProgramFailed: the status is not 0.
    """
    inside = ["--namespace", namespace] if namespace else []
    return run("kubectl", REQUEST_LIMIT, *inside, *arguments, limit=limit, stdin=stdin, check=check)


def objects(kinds: str, *, selector: str | None = None, namespace: str | None = None) -> list[Object]:
    """Return all objects of one or more kinds, such as ``pods`` or ``pods,services``.

    Args:
        kinds: names of kinds, as kubectl takes them.
        selector: a label selector.
        namespace: a namespace, all without one.

    Raises:
        Refused: the API server refuses the request.
    """
    server = api.server()
    return [one for kind in kinds.split(",") for one in server.objects(server.kind(kind), namespace, selector)]


def get(kind: str, name: str, namespace: str | None = None) -> Object | None:
    """Return one object, nothing when it is not there.

    Raises:
        Refused: the API server refuses the request.
    """
    server = api.server()
    return server.get(server.kind(kind), name, namespace or "default")


def create(document: Mapping[str, Any], namespace: str | None = None) -> None:
    """Create or update one object.

    Raises:
        Refused: the API server refuses it.
    """
    api.server().apply(document, namespace)


@contextlib.contextmanager
def present(documents: Sequence[Mapping[str, Any]], namespace: str) -> Iterator[None]:
    """Have objects in a namespace for a while.

    Raises:
        Refused: the API server refuses one.
    """
    try:
        for document in documents:
            create(document, namespace)
        yield
    finally:
        for document in documents:
            kubectl("delete", document["kind"], document["metadata"]["name"], "--now", namespace=namespace, check=False)


def inventory(namespace: str) -> set[tuple[str, str]]:
    """Return kind and name of all that is in a namespace beside what Kubernetes puts there.

    Raises:
        Refused: the API server refuses a request.
    """
    found = objects(",".join(KINDS), namespace=namespace)
    return {(item["kind"], item["metadata"]["name"]) for item in found} - OF_EVERY_NAMESPACE


def condition(item: Mapping[str, Any], kind: str) -> bool:
    """Return whether an object's status has a condition, such as ``Available``."""
    entries = (item.get("status") or {}).get("conditions") or []
    return any(entry["type"] == kind and entry["status"] == "True" for entry in entries)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod is ready and stays."""
    return condition(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]


@contextlib.contextmanager
def background(*command: str, ready: str, limit: float = 20) -> Iterator[re.Match[str]]:
    """Run a program such as ``kubectl proxy`` in the background, and end it at the end.

    Args:
        command: program and arguments.
        ready: pattern of the line, on either output, that says that it is ready; its match is given.
        limit: seconds until that line.

    Raises:
        ProgramFailed: the line does not come.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    lines: Queue[str] = Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    said: list[str] = []
    try:
        match = None
        while not match:
            try:
                line = lines.get(timeout=limit)
            except Empty:
                line = ""
            said.append(line)
            if not line:
                raise ProgramFailed(command, Done(process.poll() or 124, "".join(said), f"no line like {ready}"))
            match = re.search(ready, line)
        yield match
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        reader.join(10)
        process.stdout.close()


def _read(stream: IO[str], lines: Queue[str]) -> None:
    """Pass lines on, then an empty one."""
    for line in stream:
        lines.put(line)
    lines.put("")
