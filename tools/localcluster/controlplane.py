"""The control plane: etcd, API server, scheduler, controller manager and kwok, set up and started by kwokctl."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from localcluster import network
from localcluster.cache import state_dir
from localcluster.host import HostError, run
from localcluster.kubectl import kubeconfig, kubectl_environment
from localcluster.processes import GARBAGE, launched, members, tail
from localcluster.programs import bin_dir, version_of

CLUSTER = "vllm-multinode"
"""Name of the cluster and, with ``kwok-`` before it, of the context in its kubeconfig."""

SIMULATED_ANNOTATION = "kwok.x-k8s.io/node=fake"
"""Nodes with this annotation are kwok's; without the limit it would take the real ones over."""

ALONE = {"leader-elect": "false"}
"""Otherwise a program ends after the API server was away for a while, and is not started again."""

_CREATE_TIMEOUT_S = 120
_COMPONENTS: Mapping[str, str] = {
    "etcd": "etcd",
    "kube-apiserver": "kube-apiserver",
    "kube-controller-manager": "kube-controller-manager",
    "kube-scheduler": "kube-scheduler",
    "kwok-controller": "kwok",
}
"""kwokctl's name of a component -> its program."""


def create() -> None:
    """Create and start the control plane and write its kubeconfig.

    Raises:
        HostError: it doesn't come up; the logs' ends are in the message.
    """
    programs = bin_dir()
    work = _work_dir()
    work.mkdir(parents=True, exist_ok=True)
    settings = work / "kwokctl.yaml"
    wanted = configuration(_free_port())
    settings.write_text(yaml.safe_dump(wanted))
    draft = work / "kubeconfig"
    command: list[str | Path] = [programs / "kwokctl", "create", "cluster", "--name", CLUSTER, "--runtime", "binary"]
    command += ["--config", settings, "--kubeconfig", draft, "--wait", "60s"]
    for name, program in _COMPONENTS.items():
        command += [f"--{name}-binary", programs / program]
    try:
        run(launched(command), env=_environment(programs), timeout=_CREATE_TIMEOUT_S)
    except HostError as error:
        raise HostError(f"{error}{''.join(tail(log) for log in logs())}") from error
    made = yaml.safe_load_all((_cluster_dir() / "kwok.yaml").read_text())
    if ignored := ignored_flags(wanted, next(item for item in made if item["kind"] == wanted["kind"])):
        raise HostError(f"kwokctl has ignored {', '.join(ignored)}: it overrides only what it sets itself")
    flat = run([programs / "kubectl", "--kubeconfig", draft, "config", "view", "--raw", "--flatten"])
    _write_private(kubeconfig(), flat)
    _write_private(node_kubeconfig(), yaml.safe_dump(for_nodes(yaml.safe_load(flat))))


def configuration(api_port: int) -> dict[str, Any]:
    """Return kwokctl's configuration.

    Args:
        api_port: port of the API server, on all of this machine's addresses, as the nodes dial it too.
    """
    pki = _cluster_dir() / "pki"
    flags: dict[str, dict[str, str]] = {
        "kube-apiserver": {
            "advertise-address": network.HOST_ADDRESS,
            "service-cluster-ip-range": network.SERVICE_RANGE,
            "enable-aggregator-routing": "true",
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-client-certificate": str(pki / "admin.crt"),
            "kubelet-client-key": str(pki / "admin.key"),
        },
        "kube-controller-manager": {
            "flex-volume-plugin-dir": str(state_dir() / "volume-plugins"),
            "kube-api-qps": "200",  # its 20 make it half a minute until 200 new nodes lose their not-ready taint
            "kube-api-burst": "400",
            **ALONE,
        },
        "kube-scheduler": ALONE,
        "kwok-controller": {"manage-nodes-with-annotation-selector": SIMULATED_ANNOTATION},
    }
    overrides: dict[str, dict[str, str]] = {
        "kube-apiserver": {"bind-address": "0.0.0.0"},
        "kube-controller-manager": {"node-monitor-grace-period": "40s", "node-monitor-period": "5s"},
        "kwok-controller": {"manage-all-nodes": "false", "node-lease-duration-seconds": "40"},
    }
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "bindAddress": "127.0.0.1",
            "kubeApiserverPort": api_port,
            "kubeApiserverCertSANs": [network.HOST_ADDRESS, network.API_SERVICE],
        },
        "componentsPatches": [
            {
                "name": name,
                "extraArgs": [
                    *_extra_args(flags.get(name, {}), override=False),
                    *_extra_args(overrides.get(name, {}), override=True),
                ],
            }
            for name in sorted({*flags, *overrides})
        ],
    }


def ignored_flags(wanted: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Return the flags of a configuration that the cluster's programs did not get, each with its program."""
    words = {component["name"]: component["args"] for component in made["components"]}
    return [
        f"{patch['name']} --{entry['key']}={entry['value']}"
        for patch in wanted["componentsPatches"]
        for entry in patch["extraArgs"]
        if f"--{entry['key']}={entry['value']}" not in words[patch["name"]]
    ]


def for_nodes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kubeconfig whose server has the address that nodes dial."""
    clusters = [
        {**entry, "cluster": {**entry["cluster"], "server": _node_url(entry["cluster"]["server"])}}
        for entry in config["clusters"]
    ]
    return {**config, "clusters": clusters}


def node_kubeconfig() -> Path:
    """Return the kubeconfig of the kubelets and kube-proxies."""
    return state_dir() / "nodes" / "kubeconfig"


def certificate_authority() -> Path:
    """Return the certificate that signs the cluster's clients."""
    return _cluster_dir() / "pki" / "ca.crt"


def logs() -> list[Path]:
    """Return the logs of the control plane's programs."""
    return sorted((_cluster_dir() / "logs").glob("*.log"))


def running() -> dict[str, bool]:
    """Return for each program of the control plane whether it runs."""
    ours = members()
    return {name: recorded_pid(name) in ours for name in _COMPONENTS}


def recorded_pid(name: str) -> int:
    """Return the process id that kwokctl has of a program of the control plane, -1 when it has none."""
    try:
        return int((_cluster_dir() / "pids" / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return -1


def _work_dir() -> Path:
    return state_dir() / "kwok"


def _cluster_dir() -> Path:
    return _work_dir() / "clusters" / CLUSTER


def _environment(programs: Path) -> dict[str, str]:
    version = version_of("kubernetes")
    return {
        "KWOK_WORKDIR": str(_work_dir()),
        "KWOK_KUBE_VERSION": version,
        "KWOK_KUBECTL_BINARY": str(programs / "kubectl"),
        **kubectl_environment(),
        **GARBAGE,
    }


def _extra_args(flags: Mapping[str, str], *, override: bool) -> list[dict[str, Any]]:
    return [{"key": key, "value": value, "override": override} for key, value in flags.items()]


def _node_url(server: str) -> str:
    return f"https://{network.HOST_ADDRESS}:{server.rpartition(':')[2]}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
