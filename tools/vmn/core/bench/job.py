"""The Job of a benchmark: one pod of the release's own image, which asks through the Service as clients do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from random import Random
from typing import Any

from vmn.core.bench.points import Point
from vmn.core.bench.served import Served
from vmn.core.cluster.release import INSTANCE
from vmn.core.cluster.snapshot import Object
from vmn.core.preflight.probe.job import GRACE, KEPT, SLACK, ProbeRun

PREFIX = "vmn-bench-"
MARKER = "vmn/bench"
"""Label of one run's objects; their other labels are those of ``helm test``, which the NetworkPolicy lets in."""
NAMES = ("app.kubernetes.io/name", INSTANCE)
KEYS = {"VLLM_API_KEY": "OPENAI_API_KEY"}
"""What the client calls the variables of vLLM's server."""
COPIED = ("nodeSelector", "tolerations", "imagePullSecrets", "runtimeClassName", "schedulerName")
SEEDS = 2**31
"""Numbers from which the first seed of a run is taken."""
DROPPED = ("NCCL_", "GLOO_", "MULTINODE_", "VLLM_HOST_IP", "CUDA_")
"""Beginnings of variables that only the engine needs."""


def bench_run(
    served: Served, points: Sequence[Point], metrics: Sequence[str], program: str, suffix: str, seconds: int
) -> ProbeRun:
    """Return the Job of a benchmark.

    Args:
        served: the release.
        points: what to measure.
        metrics: addresses of the leaders' counters.
        program: the program that runs in the pod.
        suffix: letters and digits that make the name unique.
        seconds: how long the benchmark may take.
    """
    name = PREFIX + suffix
    template = served.template
    labels = {
        **{key: value for key, value in template["metadata"]["labels"].items() if key in NAMES},
        "app.kubernetes.io/component": "test",
        "app.kubernetes.io/managed-by": "vmn",
        MARKER: name,
    }
    first = Random(suffix).randrange(SEEDS)  # of this run alone: the prefix cache may hold the prompts of the last one
    settings = {
        "url": served.url,
        "model": served.name,
        "tokenizer": served.flags.get("tokenizer", served.model),
        "trust_remote_code": served.trusts_code,
        "metrics": list(metrics),
        "points": [{**asdict(point), "warmups": point.warmups, "seed": first + point.index} for point in points],
    }
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": served.namespace, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds + SLACK,
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                "metadata": {"labels": labels, "annotations": {"sidecar.istio.io/inject": "false"}},
                "spec": _pod(served, program, json.dumps(settings)),
            },
        },
    }
    return ProbeRun(name, served.namespace, (job,), 1, container="bench", marker=MARKER)


def _pod(served: Served, program: str, settings: str) -> Object:
    original = served.template["spec"]
    container = original["containers"][0]
    mounts = [item for item in container.get("volumeMounts") or () if item["name"] not in ("scripts", "dshm")]
    mounted = {item["name"] for item in mounts}
    preferred = {
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"leaderworkerset.sigs.k8s.io/name": served.release}},
        },
    }
    return {
        **{key: original[key] for key in COPIED if key in original},
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}},
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": original.get("securityContext") or {},
        "volumes": [item for item in original.get("volumes") or () if item["name"] in mounted],
        "containers": [
            {
                "name": "bench",
                "image": container["image"],
                "imagePullPolicy": container.get("imagePullPolicy", "IfNotPresent"),
                "command": ["python3", "-u", "-c", program],
                "env": [*_environment(container), {"name": "VMN_BENCH", "value": settings}],
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                "securityContext": container.get("securityContext") or {},
                "volumeMounts": mounts,
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }


def _environment(container: Object) -> list[Any]:
    """Return the variables that a client needs: those of caches and of the Hub, and the API key under its own name."""
    kept = [item for item in container.get("env") or () if not item["name"].startswith(DROPPED)]
    return [{**item, "name": KEYS.get(item["name"], item["name"])} for item in kept]
