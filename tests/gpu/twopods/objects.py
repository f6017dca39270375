"""A group as ``vmn doctor`` would read it from a cluster: the objects that an API server would have, and the logs.

The form is that of ``tests/unit/doctor_data/recorded``. What a person must add there is the verdict and its pod.
"""

from __future__ import annotations

import copy
import time
import uuid
from typing import Any

from gpu.twopods.group import Group
from gpu.twopods.kubelet import Kubelet
from gpu.twopods.log import wall
from gpu.twopods.podspec import LABELS
from gpu.twopods.results import cut

Object = dict[str, Any]


def recorded(says: str, group: Group) -> Object:
    """Return what the doctor would read now.

    Args:
        says: what has happened.
        group: whose pods are there.
    """
    logs = {}
    for kubelet in group.kubelets:
        pod = kubelet.container.pod
        logs[f"{pod.name}.{pod.container['name']}"] = cut(kubelet.container.log.text()).splitlines()
    return {
        "says": says,
        "now": _when(time.monotonic()),
        "silent": [],
        "objects": objects(group),
        "logs": logs,
    }


def objects(group: Group) -> dict[str, list[Object]]:
    """Return the objects, by their plural."""
    content, created = group.spec.content, _when(group.created_at)
    lws = copy.deepcopy(content["leaderworkerset"])
    lws["metadata"] |= {"namespace": _namespace(group), "uid": _uid(group, "lws"), "creationTimestamp": created}
    for role in ("leaderTemplate", "workerTemplate"):
        lws["spec"]["leaderWorkerTemplate"].pop(role, None)
    pods = [_pod(group, kubelet) for kubelet in group.kubelets]
    nodes = [_node(f"node-{index + 1}", created) for index, _ in enumerate(pods)]
    events = [
        event.item("Pod", kubelet.container.pod.name, _uid(group, kubelet.container.pod.name))
        for kubelet in group.kubelets
        for event in kubelet.events
    ]
    events += [event.item("LeaderWorkerSet", lws["metadata"]["name"], _uid(group, "lws")) for event in group.events]
    name = lws["metadata"]["name"]
    headless = {"metadata": {"name": name, "labels": {f"{LABELS}name": name}}, "spec": {"clusterIP": "None"}}
    return {
        "leaderworkersets": [lws],
        "statefulsets": [_set(group, name, created), _set(group, pods[0]["metadata"]["name"], created)],
        "pods": pods,
        "services": [headless, *(service["object"] for service in content["services"].values())],
        "nodes": nodes,
        "leases": [{"metadata": {"name": node["metadata"]["name"]}, "spec": {"renewTime": _now()}} for node in nodes],
        "deployments": [_manager()],
        "customresourcedefinitions": [{"metadata": {"name": "leaderworkersets.leaderworkerset.x-k8s.io"}}],
        "endpointslices": [_dns()],
        "poddisruptionbudgets": [],
        "events": events,
    }


def _set(group: Group, name: str, created: str) -> Object:
    """Return the StatefulSet of the leaders, or of the workers of a leader."""
    labels = {f"{LABELS}name": group.spec.content["leaderworkerset"]["metadata"]["name"]}
    metadata = {"name": name, "namespace": _namespace(group), "uid": _uid(group, f"set/{name}"), "labels": labels}
    return {"metadata": {**metadata, "creationTimestamp": created}, "spec": {"replicas": 1}}


def _pod(group: Group, kubelet: Kubelet) -> Object:
    """Return a pod with its status."""
    container, pod = kubelet.container, kubelet.container.pod
    name = pod.container["name"]
    metadata = copy.deepcopy(dict(pod.item["metadata"]))
    metadata |= {"namespace": pod.namespace, "uid": _uid(group, pod.name), "creationTimestamp": _when(group.created_at)}
    if group.deleted_at is not None:
        metadata |= {
            "deletionTimestamp": _when(group.deleted_at + pod.grace),
            "deletionGracePeriodSeconds": int(pod.grace),
        }
    running, ready = container.running(), kubelet.ready is not None
    state: Object = {"running": {"startedAt": _when(container.started_at)}}
    if container.ended:
        ended = container.ended
        state = {
            "terminated": {
                "exitCode": ended.status,
                "reason": "Completed" if ended.status == 0 else "Error",
                "startedAt": _when(container.started_at),
                "finishedAt": _when(ended.at),
                "message": ended.message,
            }
        }
    since = kubelet.ready or kubelet.unready or container.started_at
    status = {
        "name": name,
        "state": state,
        "lastState": {},
        "ready": ready and running,
        "restartCount": 0,
        "started": kubelet.started is not None and running,
    }
    return {
        "metadata": metadata,
        "spec": {"nodeName": f"node-{pod.index + 1}", "containers": [_container(pod.container)]},
        "status": {
            "phase": "Running",
            "podIP": container.sandbox.address,
            "conditions": _conditions(name, ready and running, group.created_at, since),
            "containerStatuses": [status],
        },
    }


def _container(container: Any) -> Object:
    return {key: container[key] for key in ("name", "image", "ports", "resources") if key in container}


def _conditions(name: str, ready: bool, created: float, since: float) -> list[Object]:
    found = [_condition(kind, True, created) for kind in ("PodReadyToStartContainers", "Initialized", "PodScheduled")]
    for kind in ("Ready", "ContainersReady"):
        one = _condition(kind, ready, since)
        if not ready:
            one |= {"reason": "ContainersNotReady", "message": f"containers with unready status: [{name}]"}
        found.append(one)
    return found


def _condition(kind: str, good: bool, since: float) -> Object:
    return {"type": kind, "status": str(good), "lastProbeTime": None, "lastTransitionTime": _when(since)}


def _node(name: str, created: str) -> Object:
    condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": _now(), "lastTransitionTime": created}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": {}, "status": {"conditions": [condition]}}


def _manager() -> Object:
    labels = {
        "control-plane": "controller-manager",
        "app.kubernetes.io/name": "lws",
        "app.kubernetes.io/version": "v0.9.0",
    }
    metadata = {"name": "lws-controller-manager", "namespace": "lws-system", "labels": labels}
    return {"metadata": metadata, "status": {"availableReplicas": 1}}


def _dns() -> Object:
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": "kube-dns"}},
        "endpoints": [{"conditions": {"ready": True, "serving": True, "terminating": False}}],
    }


def _namespace(group: Group) -> str:
    return group.spec.pods[0].namespace


def _uid(group: Group, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{group.spec.name}/{group.generation}/{name}"))


def _when(at: float) -> str:
    return wall(at)[:19] + "Z"


def _now() -> str:
    return wall(time.monotonic())
