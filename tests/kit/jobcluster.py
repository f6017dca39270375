"""An API server that also makes pods of a Job and takes them away: for ``vmn preflight --active``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kit.fakecluster import FakeCluster, Object
from vmn.core.preflight.probe.progress import INDEX

RUNNING: Mapping[str, Any] = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}
ENDED: Mapping[str, Any] = {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}


def pending(message: str) -> dict[str, Any]:
    """Return the status of a pod that the scheduler can't place."""
    return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}


class JobCluster(FakeCluster):
    """Objects that were there before, and those of one run.

    Attributes:
        statuses: of the Job's pods, by rank; None for one that is gone.
        later: what the statuses are from the third look on.
        facts: that the pods print, by rank.
        events: of the namespace.
        forbidden: (verb, resource) pairs that the user lacks.
        refused: by kind, what admission says.
        made: objects of the run that are there, by plural and name.
        most: all that were ever made, by plural.
        linger: looks for which pods stay after their Job is gone.
    """

    def __init__(self, objects: Mapping[str, Sequence[Object]], facts: Sequence[Mapping[str, Any]]) -> None:
        """Serve objects, and let pods print facts."""
        super().__init__(objects, {})
        self.facts = facts
        self.statuses: list[Mapping[str, Any] | None] = [ENDED] * len(facts)
        self.later: list[Mapping[str, Any] | None] | None = None
        self.looks = 0
        self.events: list[Object] = []
        self.forbidden: set[tuple[str, str]] = set()
        self.refused: dict[str, str] = {}
        self.made: dict[tuple[str, str], Object] = {}
        self.most: dict[str, Object] = {}
        self.linger = 2

    @property
    def job(self) -> str | None:
        """The Job's name, while it is there."""
        return next((name for plural, name in self.made if plural == "jobs"), None)

    def answer(self, address: str) -> tuple[int, str]:
        """Return status and body; pods by label are the Job's."""
        url = urlsplit(address)
        parts = url.path.strip("/").split("/")
        if parts[-1] == "pods" and "labelSelector" in parse_qs(url.query):
            self.asked.append(address)
            return 200, json.dumps({"items": self._pods(), "metadata": {}})
        if parts[-1] == "events":
            return 200, json.dumps({"items": [self._of_job(event) for event in self.events], "metadata": {}})
        if parts[-1] == "log" and parts[-2].startswith("vmn-preflight"):
            facts = self.facts[int(parts[-2].split("-")[3])]
            return 200, "".join(f"vmn-active {json.dumps({'check': name, **item})}\n" for name, item in facts.items())
        return super().answer(address)

    def _of_job(self, event: Object) -> Object:
        name = self.job or ""
        return {**event, "metadata": {}, "involvedObject": {"name": name, "uid": f"{name}{event.get('rank', '')}"}}

    def _pods(self) -> list[Object]:
        if "jobs" not in self.most:
            return []
        self.looks += 1
        if not self.job:
            self.linger -= 1
        name = self.most["jobs"]["metadata"]["name"]
        return [
            {
                "metadata": {"name": f"{name}-{rank}-x", "uid": f"{name}{rank}", "annotations": {INDEX: str(rank)}},
                "spec": {"nodeName": "" if "conditions" in status else f"node-{rank}"},
                "status": status,
            }
            for rank, status in enumerate(self.later if self.later and self.looks > 2 else self.statuses)
            if status and (self.job or self.linger > 0)
        ]

    def change(self, method: str, address: str, body: Object) -> tuple[int, str]:
        """Make or remove an object."""
        self.asked.append(f"{method} {address}")
        url = urlsplit(address)
        if url.path.endswith("selfsubjectaccessreviews"):
            return 201, json.dumps({"status": {"allowed": not self._forbids(body["spec"]["resourceAttributes"])}})
        if "dryRun" in url.query:
            return 200, "{}"
        plural, *name = url.path.partition("/namespaces/")[2].split("/")[1:]
        if method == "DELETE":
            found = self.made.pop((plural, name[0]), None)
            return (200, "{}") if found else (404, json.dumps({"message": "not found"}))
        if body["kind"] in self.refused:
            return 403, json.dumps({"message": self.refused[body["kind"]]})
        self.made[plural, body["metadata"]["name"]] = self.most[plural] = body
        return 201, json.dumps({**body, "metadata": {**body["metadata"], "uid": "uid-of-job"}})

    def _forbids(self, asked: Mapping[str, str]) -> bool:
        resource = "/".join(asked[key] for key in ("resource", "subresource") if key in asked)
        return (asked["verb"], resource) in self.forbidden
