"""What runs in the cluster from the start, all on its first node so that others can be lost: CoreDNS and LWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcluster import network
from localcluster.cache import built, content_key
from localcluster.host import HostError, run
from localcluster.images import archive, layer_of
from localcluster.kubectl import apply, kubeconfig, kubectl, kubectl_environment
from localcluster.node import FIRST
from localcluster.processes import wait_until
from localcluster.programs import chart_of, program, version_of

LWS_NAMESPACE = "lws-system"
HOME = {"kubernetes.io/hostname": FIRST.name}
"""Node selector of both."""

_NOBODY = 65532
"""User id of the LWS manager, as in its own image."""

_COREFILE = f""".:1053 {{
    errors
    ready :8181
    kubernetes {network.CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    loop
    reload
}}
"""
_DNS_LABELS = {"k8s-app": "kube-dns"}
_READY_TIMEOUT_S = 120


@dataclass(frozen=True)
class Image:
    """An image of one static program.

    Attributes:
        name: repository.
        program: name of the program.
        path: the program's path in the image.
        tag: version.
        user: user id that runs it.
    """

    name: str
    program: str
    path: str
    tag: str
    user: str = ""

    @property
    def repository(self) -> str:
        """Return the name without the tag."""
        return f"vllm-multinode/{self.name}"

    @property
    def reference(self) -> str:
        """Return the name with the tag."""
        return f"{self.repository}:{self.tag}"

    def file(self) -> Path:
        """Return the image as a docker-archive tar out of the cache.

        Raises:
            HostError: the program can't be built.
        """
        source = program(self.program).resolve()
        key = content_key([str(source), self.reference, self.path, self.user])
        return built("images", f"{self.name}-{key}", lambda out: self._write(source, out)) / "image.tar"

    def _write(self, source: Path, out: Path) -> None:
        layer = layer_of({self.path: source}, out / "layer.tar", {"tmp": 0o1777})
        archive(self.reference, layer, [f"/{self.path}"], {}, self.user, out / "image.tar")
        layer.unlink()


PAUSE = Image("pause", "pause", "pause", "1")
COREDNS = Image("coredns", "coredns", "coredns", version_of("coredns"))
LWS = Image("lws-manager", "lws-manager", "manager", version_of("lws"), str(_NOBODY))
IMAGES = (PAUSE, COREDNS, LWS)
"""Images that each node needs."""


def install_dns() -> None:
    """Install CoreDNS.

    Raises:
        HostError: the API server refuses it.
    """
    apply(dns_manifests())


def helm(namespace: str, arguments: Sequence[str | Path], *, stdin: str | None = None, timeout: float = 600) -> None:
    """Run Helm on the local cluster.

    Raises:
        HostError: it fails, or does not end in time.
    """
    command = [program("helm"), "--kubeconfig", kubeconfig(), "--namespace", namespace, *arguments]
    run(command, env=kubectl_environment(), stdin=stdin, timeout=timeout)


def install_lws() -> None:
    """Install LeaderWorkerSet from the Helm chart in its own module.

    Raises:
        HostError: Helm fails.
    """
    values: dict[str, Any] = {
        "image": {"manager": {"repository": LWS.repository, "tag": LWS.tag, "pullPolicy": "Never"}},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "podSecurityContext": {"runAsNonRoot": True, "runAsUser": _NOBODY},
        "nodeSelector": HOME,
        "enableDisaggregatedSet": True,
    }
    chart = chart_of("lws") / "charts" / "lws"
    install: list[str | Path] = ["upgrade", "--install", "--create-namespace", "lws", chart, "--values", "-"]
    helm(LWS_NAMESPACE, install, stdin=yaml.safe_dump(values))


def wait_ready() -> None:
    """Wait until names resolve and LWS's webhooks answer.

    Raises:
        HostError: not in time; the pods' state is in the message.
    """
    try:
        wait_until("ready CoreDNS", lambda: _available("kube-system", "coredns"), timeout=_READY_TIMEOUT_S)
        wait_until("answer from LWS's webhooks", _webhooks_answer, timeout=_READY_TIMEOUT_S)
    except HostError as error:
        pods = kubectl("get", "pods", "--all-namespaces", "-o", "wide")
        events = kubectl("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp")
        raise HostError(f"{error}\n{pods}\n{events[-3000:]}") from error


def available() -> dict[str, bool]:
    """Return for each addon whether it is available.

    Raises:
        HostError: the API server doesn't answer.
    """
    return {
        "coredns": _available("kube-system", "coredns"),
        "lws": _available(LWS_NAMESPACE, "lws-controller-manager"),
    }


def dns_manifests() -> list[dict[str, Any]]:
    """Return CoreDNS with its rights, configuration and Service."""
    metadata = {"name": "coredns", "namespace": "kube-system"}
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns"}
    subject = {"kind": "ServiceAccount", **metadata}
    ports = [
        {"name": "dns", "port": 53, "targetPort": 1053, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": 1053, "protocol": "TCP"},
    ]
    service = {"selector": _DNS_LABELS, "clusterIP": network.DNS_SERVICE, "ports": ports}
    deployment = {
        "replicas": 1,
        "selector": {"matchLabels": _DNS_LABELS},
        "template": {"metadata": {"labels": _DNS_LABELS}, "spec": _dns_pod()},
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        _rbac("ClusterRole", {"rules": rules}),
        _rbac("ClusterRoleBinding", {"roleRef": role, "subjects": [subject]}),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": _COREFILE}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {**metadata, "name": "kube-dns"}, "spec": service},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
    ]


def _rbac(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "coredns"}, **content}


def _dns_pod() -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": COREDNS.reference,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    return {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "nodeSelector": HOME,
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }


def _available(namespace: str, deployment: str) -> bool:
    return kubectl(*_status_query(namespace, deployment)).strip() == "True"


def _status_query(namespace: str, deployment: str) -> Sequence[str]:
    path = '{.status.conditions[?(@.type=="Available")].status}'
    return ["get", "deployment", deployment, "--namespace", namespace, "-o", f"jsonpath={path}"]


def _webhooks_answer() -> bool:
    template = {"spec": {"containers": [{"name": "probe", "image": PAUSE.reference}]}}
    probe = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"leaderWorkerTemplate": {"size": 1, "workerTemplate": template}},
    }
    kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(probe))
    return True
