"""The objects of a probe: a Job with one pod per node, which is like the release's pods, and what the pods need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vmn.core.cluster.lws import EXCLUSIVE, NAME
from vmn.core.cluster.release import INSTANCE
from vmn.core.cluster.rendered import RenderedRelease
from vmn.core.cluster.snapshot import Object, annotations_of
from vmn.core.preflight.probe.bandwidth import FOLDER, NODE
from vmn.core.preflight.probe.expectations import Expectations

PREFIX = "vmn-preflight-"
ROOT = "/vmn"
"""Directory of the program in the pods."""
SLACK = 30
"""Seconds that Kubernetes gives the Job in addition to the time that vmn waits."""
KEPT = 300
"""Seconds after which Kubernetes deletes a finished Job itself, in case vmn was killed."""
GRACE = 5
LEFT_OUT = ("initContainers", "priorityClassName", "hostname", "setHostnameAsFQDN", "resourceClaims")
"""Fields of the pod that are left out: init containers may download or wait for a long time, a priority could preempt
other pods, and the templates of claims come with the release. Daemons of a fabric stay if NCCL needs them."""
MIRRORED = ("image", "imagePullPolicy", "securityContext")
RENDERED = ("configMap", "secret")
"""Kinds of volumes that no check needs, and that the release may not have created yet."""


@dataclass(frozen=True)
class ProbeRun:
    """One run of a probe.

    Attributes:
        name: name of all its objects, different for each run.
        namespace: namespace of the release.
        objects: objects in the order of their creation; the first one is the Job, which owns the others.
        nodes: number of pods.
        container: name of the container whose log is read.
        marker: label whose value is the run's name.
    """

    name: str
    namespace: str
    objects: tuple[Object, ...]
    nodes: int
    container: str = "preflight"
    marker: str = INSTANCE

    @property
    def selector(self) -> str:
        """A label selector that matches its objects and no others."""
        return f"{self.marker}={self.name}"


def probe_run(
    release: RenderedRelease, expected: Expectations, program: Mapping[str, str], suffix: str, seconds: int
) -> ProbeRun:
    """Return the objects of a probe.

    Args:
        release: the release.
        expected: what the release's pods rely on.
        program: files that the pods run, by their path below ROOT.
        suffix: letters and digits that make the name unique.
        seconds: how long the probe may take.
    """
    name = PREFIX + suffix
    labels = {
        "app.kubernetes.io/name": "vmn-preflight",
        INSTANCE: name,
        "app.kubernetes.io/part-of": release.name,
        "app.kubernetes.io/managed-by": "vmn",
    }
    metadata = {"name": name, "namespace": release.namespace, "labels": labels}
    mine = {INSTANCE: name}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    job["spec"] = {
        "completionMode": "Indexed",
        "completions": expected.nodes,
        "parallelism": expected.nodes,
        "backoffLimit": 0,
        "activeDeadlineSeconds": seconds + SLACK,
        "ttlSecondsAfterFinished": KEPT,
        "template": _template(release, expected, _files(expected, program), labels, seconds),
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    service["spec"] = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": mine}
    data = {_key(path): text for path, text in _files(expected, program).items()}
    files = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    policies = [
        {**item, "metadata": {**metadata, "name": name if not number else f"{name}-{number}"}, "spec": spec}
        for number, item in enumerate(release.of_kind("NetworkPolicy"))
        for spec in [relabelled(item["spec"], mine)]
    ]
    return ProbeRun(name, release.namespace, (job, service, files, *policies), expected.nodes)


def _files(expected: Expectations, program: Mapping[str, str]) -> dict[str, str]:
    """Return all files of the pods by their path below ROOT."""
    check = expected.bandwidth
    return {**program, **({f"{FOLDER}/{name}": text for name, text in check.files.items()} if check else {})}


def _key(path: str) -> str:
    """Return the key of a file in a ConfigMap, which has no slashes."""
    return path.replace("/", ".")


def relabelled(content: Any, labels: Mapping[str, str]) -> Any:
    """Return selectors of the release's pods as selectors of the probe's pods."""
    if isinstance(content, list):
        return [relabelled(item, labels) for item in content]
    if not isinstance(content, Mapping):
        return content
    if NAME in (content.get("matchLabels") or {}):
        return {**{key: value for key, value in content.items() if key != "matchLabels"}, "matchLabels": dict(labels)}
    found = {key: relabelled(value, labels) for key, value in content.items()}
    if found != content and "matchLabelKeys" in found:  # these keys tell groups apart, and a probe is one group
        del found["matchLabelKeys"]
    return found


def _template(
    release: RenderedRelease, expected: Expectations, files: Iterable[str], labels: Mapping[str, str], seconds: int
) -> Object:
    original, name = release.pods[0].template, labels[INSTANCE]
    spec = {key: value for key, value in original["spec"].items() if key not in LEFT_OUT}
    daemons = _daemons(original["spec"]) if expected.bandwidth else []
    account = spec.get("serviceAccountName")
    if account and release.renders("ServiceAccount", account):  # it is created with the release
        del spec["serviceAccountName"]
    leader = f"{name}-0.{name}.{release.namespace}"  # like LWS_LEADER_ADDRESS, it relies on search domains
    container = _container(spec, expected.settings(leader, seconds))
    mounted = {item["name"] for one in (container, *daemons) for item in one.get("volumeMounts") or ()}
    volumes = [item for item in spec.get("volumes") or () if item["name"] in mounted]
    paths = [{"key": _key(path), "path": path} for path in files]
    spec |= {
        "containers": [container],
        "volumes": [*volumes, {"name": name, "configMap": {"name": name, "items": paths}}],
        "restartPolicy": "Never",
        "subdomain": name,
        "terminationGracePeriodSeconds": GRACE,
        "automountServiceAccountToken": False,
        "affinity": _affinity(release, {INSTANCE: name}),
    }
    if daemons:
        spec["initContainers"] = daemons
    if expected.bandwidth:
        container["env"].append({"name": NODE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})
    container["volumeMounts"].append({"name": name, "mountPath": ROOT, "readOnly": True})
    metadata = original.get("metadata") or {}
    return {
        "metadata": {
            "labels": {**_foreign(metadata.get("labels") or {}), **labels},
            "annotations": {
                key: value for key, value in (metadata.get("annotations") or {}).items() if "checksum/" not in key
            },
        },
        "spec": spec,
    }


def _daemons(spec: Object) -> list[Object]:
    """Return the init containers that run beside the others, such as the daemon of a fabric."""
    return [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]


def _foreign(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that no selector of the release or of LeaderWorkerSet's webhooks uses."""
    own = ("app.kubernetes.io/", "leaderworkerset.sigs.k8s.io/", "helm.sh/")
    return {key: value for key, value in labels.items() if key != "role" and not key.startswith(own)}


def _affinity(release: RenderedRelease, mine: Mapping[str, str]) -> Any:
    """Return the release's affinity for the probe's pods, with what LWS adds for an exclusive topology."""
    affinity = dict(relabelled(release.pods[0].spec.get("affinity") or {}, mine))
    domain = annotations_of(release.lws).get(EXCLUSIVE)
    if domain:
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        near = dict(affinity.get("podAffinity") or {})
        term = {"topologyKey": domain, "labelSelector": {"matchLabels": dict(mine)}}
        affinity["podAffinity"] = {**near, required: [*(near.get(required) or ()), term]}
    return affinity


def _container(spec: Object, settings: Mapping[str, Any]) -> dict[str, Any]:
    original = spec["containers"][0]
    sources = {item["name"]: item for item in spec.get("volumes") or ()}
    mounts = [
        item
        for item in original.get("volumeMounts") or ()
        if not any(kind in sources.get(item["name"], {}) for kind in RENDERED)
    ]
    resources = {key: value for key, value in (original.get("resources") or {}).items() if key != "claims"}
    plain = [item for item in original.get("env") or () if "value" in item or "fieldRef" in item.get("valueFrom", {})]
    return {
        **{key: original[key] for key in MIRRORED if key in original},
        "resources": resources,
        "name": "preflight",
        "command": ["python3", "-B", "-E", "-S", "-m", "probe_pod"],
        "workingDir": ROOT,
        "env": [*plain, {"name": "VMN_ACTIVE", "value": json.dumps(settings)}],
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
