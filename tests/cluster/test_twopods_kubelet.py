"""The two pods of ``tests/gpu`` against a cluster: what a kubelet and LeaderWorkerSet do, and what stands for them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gpu.twopods.group import Group
from gpu.twopods.groupspec import GroupSpec
from gpu.twopods.machine import Machine
from gpu.twopods.podspec import LABELS
from gpu.twopods.render import pods_of
from kit import simulated
from kit.cluster import Object, kubectl, objects
from kit.paths import MAIN_PRESETS
from kit.progress import wait_until
from kit.release import Release
from localcluster.engine import image, rootfs

pytestmark = [pytest.mark.cluster, pytest.mark.alone]
NEAR = 0.8
"""Seconds by which the two may differ: a kubelet looks at its containers every second."""
RUN = 9
"""Seconds from the start until the pod is deleted."""
LIMIT = 60
SAY = 'say() { echo "$(date +%s.%N) $1" > /proc/1/fd/1; }; '
"""A line of the log, also from a probe."""
MAIN = (
    "say() { echo \"$(date +%s.%N) $1\"; }; trap 'say SIGTERM' TERM; say begin; while :; do say alive; sleep 0.1; done"
)
PATIENT: Object = {
    "command": ["bash", "-c", MAIN],
    "startupProbe": {
        "exec": {"command": ["bash", "-c", f"{SAY} say startup; echo x >> /tmp/n; [ $(wc -l < /tmp/n) = 3 ]"]},
        "periodSeconds": 1,
        "failureThreshold": 10,
    },
    "readinessProbe": {"exec": {"command": ["bash", "-c", f"{SAY} say readiness"]}, "periodSeconds": 1},
    "livenessProbe": {"exec": {"command": ["bash", "-c", f"{SAY} say liveness"]}, "periodSeconds": 2},
    "lifecycle": {"preStop": {"exec": {"command": ["bash", "-c", f"{SAY} say preStop; sleep 2.2"]}}},
}
"""A container whose third startup probe succeeds, and that ignores SIGTERM: the grace period is 5 s."""
SICK: Object = {
    "command": ["bash", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"],
    "livenessProbe": {
        "exec": {"command": ["bash", "-c", f"{SAY} say liveness; exit 1"]},
        "periodSeconds": 1,
        "failureThreshold": 3,
    },
    "lifecycle": {"preStop": {"exec": {"command": ["bash", "-c", f"{SAY} say preStop"]}}},
}
"""A container whose liveness probe always fails."""


def manifest(container: Object) -> Object:
    """Return a pod for a real node, which has the engine's image."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probed"},
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": REAL}},
            "containers": [{"name": "it", "image": image.REFERENCE, **container}],
        },
    }


REAL = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "type", "operator": "NotIn", "values": ["kwok"]}]}]}


@pytest.fixture(autouse=True)
def local_cluster() -> None:
    """Skip where the nodes' image and namespaces can't be had on this machine."""
    if not simulated.is_local_cluster():
        pytest.skip("compares with pods on this machine, in the engine's root file system")


def here(container: Object, folder: Path, seconds: float | None) -> tuple[str, Group]:
    """Run a pod here, delete it after some seconds, or wait until it has ended; return its log.

    The log has the line ``delete`` for the deletion.
    """
    content: Object = {
        "pods": [manifest(container)],
        "configMaps": {},
        "services": {},
        "test": None,
        "model": "",
        "port": 1,
    }
    machine = Machine(work=folder, root=rootfs.tree(), env=rootfs.ENVIRONMENT, user=rootfs.USER_ID)
    machine.prepare()
    group = Group(GroupSpec("probed", content), machine, folder / "group", folder / "caches", 200)
    try:
        group.start(60)
        time.sleep(seconds or 0)
        deleted = time.time()
        if seconds:
            group.delete()
        wait_until("end of the pod", lambda: not group.running, LIMIT, period=0.05)
        lines = [text for _, text in group.kubelets[0].container.log.lines]
        return "\n".join([*lines, f"{deleted} delete"]), group
    finally:
        group.destroy()


@pytest.fixture
def on_the_cluster(namespace: str) -> Iterator[Any]:
    """Give a function that makes a pod on the cluster."""

    def make(container: Object) -> None:
        kubectl("apply", "--filename=-", namespace=namespace, stdin=json.dumps(manifest(container)))
        wait_until("running pod", lambda: "running" in state(namespace), LIMIT, period=0.1)

    yield make
    kubectl("delete", "pod", "probed", "--ignore-not-found", "--force", "--grace-period=0", namespace=namespace)


def state(namespace: str) -> Object:
    """Return the state of the pod's container."""
    pods = objects("pods", namespace=namespace)
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", ())]
    found: Object = statuses[0]["state"] if statuses else {}
    return found


def there(namespace: str) -> str:
    """Follow the pod's log, delete the pod after some seconds, and return the log as ``here`` does."""
    with ThreadPoolExecutor(1) as pool:
        log = pool.submit(kubectl, "logs", "probed", "--follow", namespace=namespace, limit=LIMIT)
        time.sleep(RUN)
        deleted = time.time()
        kubectl("delete", "pod", "probed", "--wait=false", namespace=namespace)
        text = log.result(LIMIT).stdout
        return f"{text}\n{deleted} delete"


def summary(log: str) -> dict[str, float]:
    """Return what the lines of a log tell of a kubelet: counts, and seconds between lines."""
    lines = [(float(at), what) for at, what in re.findall(r"^(\d+\.\d+) (\w+)$", log, re.MULTILINE)]
    times: dict[str, list[float]] = {}
    for at, what in lines:
        times.setdefault(what, []).append(at)
    deleted = times["delete"][0]
    hook = times["preStop"][0]

    def gap(what: str) -> float:
        before = [at for at in times[what] if at < deleted]
        return (before[-1] - before[0]) / (len(before) - 1)

    return {
        "startup probes": len(times["startup"]),
        "first startup probe after begin": times["startup"][0] - times["begin"][0],
        "between startup probes": gap("startup"),
        "readiness after startup": times["readiness"][0] - times["startup"][-1],
        "between readiness probes": gap("readiness"),
        "between liveness probes": gap("liveness"),
        "liveness probes after the deletion": sum(at > hook + 0.5 for at in times["liveness"]),
        "SIGTERM after preStop": times["SIGTERM"][0] - hook,
        "end after preStop": times["alive"][-1] - hook,
    }


def test_probes_and_end_of_a_pod_are_those_of_a_kubelet(namespace: str, on_the_cluster: Any, tmp_path: Path) -> None:
    on_the_cluster(PATIENT)
    theirs = summary(there(namespace))
    log, group = here(PATIENT, tmp_path, RUN)
    ours = summary(log)
    assert ours == pytest.approx(theirs, abs=NEAR)
    assert ours["liveness probes after the deletion"] == 0
    assert (ours["startup probes"], group.kubelets[0].container.ended.status) == (3, 137)  # type: ignore[union-attr]


def test_container_that_fails_its_liveness_probe_ends_as_with_a_kubelet(
    namespace: str, on_the_cluster: Any, tmp_path: Path
) -> None:
    on_the_cluster(SICK)

    def last() -> Object:
        before: Object = objects("pods", namespace=namespace)[0]["status"]["containerStatuses"][0]["lastState"]
        found: Object = before.get("terminated", {})
        return found

    ended = wait_until("restart", last, LIMIT, period=0.2)
    theirs = kubectl("logs", "probed", "--previous", namespace=namespace).stdout
    events = {event["message"] for event in objects("events", namespace=namespace) if event["reason"] == "Killing"}
    ours, group = here(SICK, tmp_path, None)
    assert words(theirs) == words(ours)[: len(words(theirs))] == ["liveness", "liveness", "liveness", "preStop"]
    container = group.kubelets[0].container
    assert container.ended is not None
    assert container.ended.status == ended["exitCode"] == 7
    assert {event.message for event in group.kubelets[0].events if event.reason == "Killing"} <= events


def words(log: str) -> list[str]:
    """Return the words of a log's lines, without their times."""
    return re.findall(r"^\d+\.\d+ (\w+)$", log, re.MULTILINE)


def test_pods_are_those_that_leaderworkerset_makes(namespace: str) -> None:
    own = Release(namespace)
    with simulated.at_least(2):
        own.install(MAIN_PRESETS[0], values=simulated.VALUES)
        try:
            theirs = wait_until("both pods", lambda: pods_by_name(own), LIMIT)
            group = objects("leaderworkerset.leaderworkerset.x-k8s.io", namespace=namespace)[0]
        finally:
            own.uninstall()
    for pod in pods_of(group):
        other = theirs[pod["metadata"]["name"]]
        assert pod["spec"]["hostname"] == other["spec"]["hostname"]
        assert pod["spec"]["subdomain"] == other["spec"]["subdomain"]
        assert names(pod) == names(other)
        assert pod["spec"]["containers"][0]["env"][1:3] == other["spec"]["containers"][0]["env"][1:3]
        added = {name: value for name, value in pod["metadata"]["labels"].items() if name.startswith(LABELS)}
        added.pop(f"{LABELS}group-key")  # of the namespace
        assert added.items() <= other["metadata"]["labels"].items()
        assert pod["metadata"]["annotations"].items() <= other["metadata"]["annotations"].items()


def names(pod: Object) -> list[str]:
    """Return the names of a pod's variables."""
    variables: Sequence[Object] = pod["spec"]["containers"][0]["env"]
    return [item["name"] for item in variables]


def pods_by_name(release: Release) -> dict[str, Object]:
    """Return both pods of a group, nothing while there are fewer."""
    found = {pod["metadata"]["name"]: pod for pod in release.pods()}
    return found if len(found) == 2 else {}
