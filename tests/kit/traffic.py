"""Continuous traffic on a release, and what it shows: requests lost, the time without an answer, hangs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kit.cluster import create, kubectl
from kit.progress import wait_until

Result = Literal["answered", "refused", "failed", "hung"]
DRIVER = Path(__file__).with_name("traffic_driver.py")
START_LIMIT = 90
"""Seconds until the driver's pod sends."""
FOLDER = "/etc/traffic"
WORKED_ON = 0.5
"""Seconds: the first token of the tiny model comes sooner, the end of a busy answer much later."""


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        clients: requests at once.
        tokens: of each answer.
        pause: seconds between an answer and the client's next request.
        limit: seconds until a client gives up.
    """

    clients: int
    tokens: int
    pause: float
    limit: float = 90


PROBE = Load(clients=1, tokens=4, pause=1)
"""One small request a second: shows when a release serves, and that it is idle else."""
BUSY = Load(clients=4, tokens=24, pause=0)
"""Requests in flight at any time, each for some seconds."""


@dataclass(frozen=True)
class Record:
    """One request; times are seconds since the epoch."""

    started: float
    seconds: float
    result: Result
    why: str = ""

    @property
    def ended(self) -> float:
        """When it was answered, or given up."""
        return self.started + self.seconds


@dataclass(frozen=True)
class Summary:
    """What happened to requests since an event.

    Attributes:
        answered: requests.
        refused: requests that no server accepted: there was none to connect to, or it was shutting down.
        lost: requests that were taken and then failed, or were never answered.
        dropped: those of them that were in work, for ``WORKED_ON`` or longer: the others came to a server that
            was just closing its door.
        outage: seconds from the first request that was not answered, or from the event when it was in flight then,
            until all was answered again; nothing when all was answered, or nothing since.
        longest_hang: seconds of the longest request among the lost.
    """

    answered: int
    refused: int
    lost: int
    dropped: int
    outage: float | None
    longest_hang: float
    reasons: tuple[str, ...] = field(default=())

    @property
    def unanswered_at_the_end(self) -> bool:
        """Whether nothing was answered after the last request that was not."""
        return bool(self.refused or self.lost) and self.outage is None


def parsed(log: str) -> list[Record]:
    """Return the requests out of the driver's log, in the order in which they were sent."""
    documents = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    records = [Record(**document) for document in documents if "result" in document]
    return sorted(records, key=lambda record: record.started)


def summary(records: Sequence[Record], since: float) -> Summary:
    """Return what became of the requests that were in flight at a time, or came after it."""
    later = [record for record in records if record.ended >= since]
    bad = [record for record in later if record.result != "answered"]
    lost = [record for record in bad if record.result != "refused"]
    begin = max(since, min((record.started for record in bad), default=since))
    return Summary(
        answered=sum(record.result == "answered" for record in later),
        refused=len(bad) - len(lost),
        lost=len(lost),
        dropped=sum(record.seconds >= WORKED_ON for record in lost),
        outage=max(0.0, back - begin) if bad and (back := recovery(later)) is not None else None,
        longest_hang=max((record.seconds for record in lost), default=0.0),
        reasons=tuple(dict.fromkeys(record.why for record in bad)),
    )


def recovery(records: Sequence[Record]) -> float | None:
    """Return when the first request was sent, after the last one that was not answered, that was."""
    last_bad = max((record.started for record in records if record.result != "answered"), default=0.0)
    good = [record.started for record in records if record.result == "answered" and record.started > last_bad]
    return min(good, default=None)


@dataclass(frozen=True)
class Traffic:
    """A driver's pod.

    Attributes:
        namespace: of the pod and of the Service.
        name: of the pod.
    """

    namespace: str
    name: str

    def records(self) -> list[Record]:
        """Return the requests so far that have ended.

        Raises:
            ProgramFailed: the log can't be read.
        """
        return parsed(kubectl("logs", self.name, namespace=self.namespace).stdout)

    def answered_since(self, moment: float) -> bool:
        """Return whether a request that was sent after a moment has been answered, and none has failed since."""
        records = [record for record in self.records() if record.started >= moment]
        return bool(records) and records[-1].result == "answered"

    def stop(self) -> list[Record]:
        """End the driver when the requests in flight have ended, and return all requests.

        Raises:
            ProgramFailed: the log can't be read.
            TooLate: requests stay in flight.
        """
        kubectl("exec", self.name, "--", "bash", "-c", "kill -TERM 1", namespace=self.namespace)
        wait_until("end of the requests in flight", self._ended, BUSY.limit + 30)
        return self.records()

    def _ended(self) -> bool:
        path = "--output=jsonpath={.status.phase}"
        return kubectl("get", "pod", self.name, path, namespace=self.namespace).stdout in ("Succeeded", "Failed")


@contextmanager
def traffic(
    namespace: str, container: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]], load: Load, node: str = ""
) -> Iterator[Traffic]:
    """Send requests to ``vllm-leader`` from a pod of its own.

    Args:
        namespace: where the Service is.
        container: fields of the pod's container that have the image and its mounts.
        volumes: of the pod.
        load: what is sent.
        node: where the pod runs, anywhere by default.

    Raises:
        Refused: the pod can't be made.
        TooLate: it does not start.
    """
    name = f"traffic-{secrets.token_hex(3)}"
    driver = Traffic(namespace, name)
    for document in _manifests(name, container, volumes, load, node):
        create(document, namespace)
    try:
        wait_until("driver of traffic", lambda: '"ready"' in _log(driver), START_LIMIT, state=lambda: _log(driver))
        yield driver
    finally:
        kubectl("delete", f"pod/{name}", f"configmap/{name}", "--grace-period=1", namespace=namespace, check=False)


def _log(driver: Traffic) -> str:
    return kubectl("logs", driver.name, namespace=driver.namespace, check=False).stdout


def _manifests(
    name: str, container: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]], load: Load, node: str
) -> Iterator[dict[str, Any]]:
    metadata = {"name": name, "labels": {"app": "traffic"}}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {DRIVER.name: DRIVER.read_text()}}
    env = {
        "URL": "http://vllm-leader:8080/v1",
        "MODEL": "tiny",
        "CLIENTS": load.clients,
        "TOKENS": load.tokens,
        "PAUSE": load.pause,
        "LIMIT": load.limit,
    }
    own = {
        "name": "driver",
        "command": ["python3", "-u", f"{FOLDER}/{DRIVER.name}"],
        "env": [{"name": key, "value": str(value)} for key, value in env.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    mounts = [*container.get("volumeMounts", ()), {"name": "driver", "mountPath": FOLDER}]
    source = {"name": "driver", "configMap": {"name": name}}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "enableServiceLinks": False,
        "containers": [{**container, **own, "volumeMounts": mounts}],
        "volumes": [*volumes, source],
        **({"nodeName": node} if node else {}),
    }
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
