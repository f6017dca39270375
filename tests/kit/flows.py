"""Ask cyclonus, which implements the semantics of NetworkPolicies, whether they allow a connection."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kit.render import Manifests
from localcluster.programs import program

LIMIT = 60
"""Limit in seconds. A run takes less than one."""
VERDICT = re.compile(r"^\| IS ALLOWED\? \|\s+(TRUE|FALSE)", re.MULTILINE)


@dataclass(frozen=True)
class Peer:
    """An end of a connection.

    Attributes:
        labels: labels of the pod.
        namespace: namespace of the pod, or None for an address outside the cluster.
        namespace_labels: labels of the namespace, without the name that Kubernetes sets.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = "default"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)

    def seen(self, address: str) -> Mapping[str, Any]:
        """Return the peer in cyclonus' form."""
        if self.namespace is None:
            return {"Internal": None, "IP": address}
        labels = {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}
        pod = {"PodLabels": dict(self.labels), "NamespaceLabels": labels, "Namespace": self.namespace}
        return {"Internal": pod, "IP": address}


@dataclass(frozen=True)
class Flow:
    """A connection from one peer to a port of another."""

    source: Peer
    target: Peer
    port: int
    protocol: str = "TCP"


def pod(manifests: Manifests, role: str) -> Peer:
    """Return a pod of the LeaderWorkerSet, with the label that the controller adds."""
    group = manifests.one("LeaderWorkerSet")["metadata"]
    labels = manifests.templates()[role]["metadata"]["labels"]
    return Peer({**labels, "leaderworkerset.sigs.k8s.io/name": group["name"]}, group["namespace"])


def allowed(policies: Sequence[Mapping[str, Any]], flows: Sequence[Flow]) -> list[bool]:
    """Return for each connection whether the policies of both ends allow it."""
    traffic = [
        {
            **{"Source": flow.source.seen("192.0.2.1"), "Destination": flow.target.seen("198.51.100.2")},
            **{"ResolvedPort": flow.port, "ResolvedPortName": "", "Protocol": flow.protocol},
        }
        for flow in flows
    ]
    with tempfile.TemporaryDirectory() as directory:
        rules, asked = Path(directory, "policies.yaml"), Path(directory, "traffic.json")
        rules.write_text(yaml.safe_dump_all(policies), encoding="utf-8")
        asked.write_text(json.dumps(traffic), encoding="utf-8")
        command = [str(program("cyclonus")), "analyze", "--mode", "query-traffic"]
        command += ["--policy-path", str(rules), "--traffic-path", str(asked)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    found = [verdict == "TRUE" for verdict in VERDICT.findall(done.stdout)]
    assert len(found) == len(flows), done.stdout + done.stderr
    return found
