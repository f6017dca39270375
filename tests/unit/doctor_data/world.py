"""A release on a healthy cluster, which tests break: what ``vmn doctor`` would have read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from vmn.adapters.signatures import load_signatures
from vmn.core.cluster.container_log import ContainerLog
from vmn.core.cluster.lws import CONTROLLER, CRD, GROUP, NAME, WORKER
from vmn.core.cluster.release import Pulse, Release
from vmn.core.cluster.snapshot import Snapshot
from vmn.core.doctor.diagnose import diagnose
from vmn.core.doctor.finding import Diagnosis, Finding, Severity

Object = dict[str, Any]
NOW = datetime(2026, 11, 26, 11, 0, tzinfo=UTC).timestamp()
HERE = "serving"
UP = (
    "vllm-multinode: rank 0 of 2 node(s), leader at 10.0.0.7, backend mp",
    "vllm-multinode: exec vllm serve tiny --max-model-len 512 --trust-remote-code --nnodes 2 --node-rank 0",
    "(APIServer pid=1) INFO 11-26 10:50:01 [model.py:587] Resolved architecture: DeepseekV3ForCausalLM",
    "(APIServer pid=1) WARNING 11-26 10:50:02 [config.py:1] Using fallback: could not find file; retrying",
    "(EngineCore_DP0 pid=60) INFO 11-26 10:50:20 [shm_broadcast.py:542] No available shared memory broadcast block "
    "found in 60 seconds. This typically happens when some processes are hanging or doing some time-consuming work",
    "(Worker_TP0 pid=81) Loading safetensors checkpoint shards: 100% Completed | 163/163 [01:10<00:00,  2.30it/s]",
    "(EngineCore_DP0 pid=60) INFO 11-26 10:52:00 [core.py:281] init engine took 61.20 seconds",
    "(APIServer pid=1) INFO 11-26 10:52:01 [entry.py:140] Starting vLLM server on http://0.0.0.0:8080",
    "(APIServer pid=1) INFO:     Application startup complete.",
    '(APIServer pid=1) INFO:     10.0.0.1:39544 - "GET /v1/models HTTP/1.1" 401 Unauthorized',
    '(APIServer pid=1) INFO:     10.0.0.1:39544 - "GET /health HTTP/1.1" 200 OK',
)
"""The log of a leader that serves, with lines that look bad but are not."""


def stamp(ago: float) -> str:
    """Return a Kubernetes timestamp some seconds before now."""
    return datetime.fromtimestamp(NOW - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def condition(name: str, status: bool | str, ago: float = 600, **more: str) -> Object:
    """Return a condition of a pod or node."""
    return {"type": name, "status": str(status), "lastTransitionTime": stamp(ago), **more}


def node(name: str) -> Object:
    """Return a ready node."""
    return {"metadata": {"name": name}, "spec": {}, "status": {"conditions": [condition("Ready", True)]}}


class NamedFinding(Finding):
    """A finding that also has its severity under its former name, which external cases use."""

    @property
    def role(self) -> Severity:
        """The severity."""
        return self.severity


class World:
    """A release that serves, which tests change; all times are seconds before now."""

    def __init__(self, groups: int = 1, size: int = 2) -> None:
        """Start with a healthy release."""
        self.logs: list[ContainerLog] = []
        self.unread: dict[str, str] = {}
        self.pulses: dict[str, Pulse] = {}
        self.silent: set[str] = set()
        self.denied: dict[str, str] = {}
        self.version = (1, 36)
        names = [f"node-{index}" for index in range(groups * size)]
        spec = {"replicas": groups, "startupPolicy": "LeaderCreated", "leaderWorkerTemplate": {"size": size}}
        metadata = {"name": "vllm", "namespace": HERE, "creationTimestamp": stamp(900)}
        self.objects: dict[str, list[Object]] = {
            "leaderworkersets": [{"metadata": metadata, "spec": spec}],
            "pods": [],
            "statefulsets": [{"metadata": {"name": "vllm"}, "spec": {"replicas": groups}}],
            "services": [{"metadata": {"name": "vllm"}, "spec": {"clusterIP": "None"}}],
            "events": [],
            "nodes": [node(name) for name in names],
            "leases": [{"metadata": {"name": name}, "spec": {"renewTime": stamp(3)}} for name in names],
            "customresourcedefinitions": [{"metadata": {"name": CRD}}],
            "deployments": [{"metadata": {"name": CONTROLLER, "namespace": "lws-system"}, "status": {}}],
            "poddisruptionbudgets": [],
            "endpointslices": [{"metadata": {"labels": {"kubernetes.io/service-name": "kube-dns"}}}],
        }
        self.objects["deployments"][0]["status"] = {"availableReplicas": 1}
        self.objects["endpointslices"][0]["endpoints"] = [{"conditions": {"ready": True}}]
        for group in range(groups):
            self.objects["statefulsets"].append({"metadata": {"name": f"vllm-{group}"}})
            for index in range(size):
                self._add_pod(group, index, names[group * size + index])

    def _add_pod(self, group: int, index: int, where: str) -> None:
        name = f"vllm-{group}-{index}" if index else f"vllm-{group}"
        role = "worker" if index else "leader"
        labels = {NAME: "vllm", GROUP: str(group), WORKER: str(index)}
        container = {"name": f"vllm-{role}", "ports": [] if index else [{"name": "http", "containerPort": 8080}]}
        running = {"name": f"vllm-{role}", "restartCount": 0, "state": {"running": {"startedAt": stamp(590)}}}
        self.objects["pods"].append(
            {
                "metadata": {"name": name, "labels": labels, "uid": f"uid-{name}", "creationTimestamp": stamp(600)},
                "spec": {"nodeName": where, "containers": [container]},
                "status": {
                    "phase": "Running",
                    "conditions": [condition("PodScheduled", True), condition("Ready", True, 480)],
                    "containerStatuses": [running],
                },
            }
        )
        self.log(name, *(UP if not index else UP[:6]), start=590)

    def pod(self, name: str) -> Object:
        """Return one pod."""
        return next(item for item in self.objects["pods"] if item["metadata"]["name"] == name)

    def main(self, name: str) -> Object:
        """Return the status of vLLM's container in a pod."""
        found: Object = self.pod(name)["status"]["containerStatuses"][0]
        return found

    def remove(self, *names: str) -> None:
        """Remove pods and their logs."""
        self.objects["pods"] = [item for item in self.objects["pods"] if item["metadata"]["name"] not in names]
        self.logs = [log for log in self.logs if log.pod not in names]

    def log(self, pod: str, *lines: str, start: float = 60, previous: bool = False) -> None:
        """Replace the log of a pod, with one line per second."""
        self.logs = [log for log in self.logs if (log.pod, log.previous) != (pod, previous)]
        split = [part for line in lines for part in line.split("\n")]
        raw = "\n".join(f"{stamp(start - index)} {line}" for index, line in enumerate(split))
        container = "vllm-worker" if pod.count("-") > 1 else "vllm-leader"
        self.logs.append(ContainerLog(pod, container, raw, previous))

    def down(self, name: str, ago: float = 60) -> None:
        """Make a pod unready."""
        self.set_condition(name, condition("Ready", False, ago))

    def set_condition(self, name: str, new: Object) -> None:
        """Replace a condition of a pod."""
        status = self.pod(name)["status"]
        status["conditions"] = [item for item in status["conditions"] if item["type"] != new["type"]] + [new]

    def state(self, name: str, word: str, last: bool = False, **fields: Any) -> None:
        """Make vLLM's container ``waiting`` or ``terminated``, now or in its last state."""
        self.main(name)["lastState" if last else "state"] = {word: fields}
        if not last:
            self.down(name)

    def pending(self, name: str, message: str, ago: float = 590) -> None:
        """Take a pod off its node."""
        pod = self.pod(name)
        pod["spec"].pop("nodeName")
        pod["status"] = {"phase": "Pending", "conditions": []}
        self.set_condition(name, condition("PodScheduled", False, ago, reason="Unschedulable", message=message))
        self.logs = [log for log in self.logs if log.pod != name]

    def event(self, kind: str, name: str, reason: str, message: str, ago: float = 60, **more: Any) -> None:
        """Add an event of the release."""
        about = {"kind": kind, "name": name, "uid": f"uid-{name}"}
        times = {"firstTimestamp": stamp(ago), "lastTimestamp": stamp(more.pop("last", ago))}
        count, uid = more.pop("count", 1), more.pop("uid", None)
        about |= {"uid": uid} if uid else {}
        entry = {"metadata": {"name": f"{name}.{len(self.objects['events'])}"}, "involvedObject": about, **times}
        self.objects["events"].append({**entry, "reason": reason, "message": message, "count": count})

    def recreated(self, pod: str = "vllm-0", ago: float = 300, count: int = 1) -> None:
        """Add the event that LeaderWorkerSet has recreated a group."""
        leader = "-".join(pod.split("-")[:2])
        message = f"Worker pod {pod} failed, deleted leader pod {leader} to recreate group {leader[-1]}"
        self.event("LeaderWorkerSet", "vllm", "RecreateGroup", message, ago, count=count)

    def release(self) -> Release:
        """Return the release as it was read."""
        objects = {plural: items for plural, items in self.objects.items() if plural not in self.denied}
        snapshot = Snapshot(self.version, objects, self.denied)
        return Release("vllm", HERE, snapshot, NOW, self.logs, self.unread, self.pulses, frozenset(self.silent))

    def say(self) -> Diagnosis:
        """Return what the doctor finds."""
        found = diagnose(self.release(), load_signatures())
        groups = [
            replace(group, findings=[NamedFinding(**vars(one)) for one in group.findings]) for group in found.groups
        ]
        return replace(found, groups=groups)

    def verdict(self) -> Finding:
        """Return the first finding."""
        return self.say().findings[0]
