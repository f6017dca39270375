"""An API server of a test's own, for what it can't do to one that others use: there after three seconds, with nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.cluster import run
from kit.simulated import is_local_cluster
from localcluster import simulated
from localcluster.processes import launched
from localcluster.programs import bin_dir, version_of

NAME = "own"
COMPONENTS = {"etcd": "etcd", "kube-apiserver": "kube-apiserver", "kwok-controller": "kwok"}
"""Programs by kwokctl's names. Without a scheduler and controllers, objects stay as they are written."""
LEFT_OUT = ("kube-controller-manager", "kube-scheduler")


@contextmanager
def own_api_server(directory: Path, nodes: int) -> Iterator[Path]:
    """Have an API server with simulated nodes, and give its kubeconfig.

    Args:
        directory: for its files; empty.
        nodes: number of simulated nodes of eight H100 each.

    Raises:
        ProgramFailed: it doesn't come up.
    """
    programs = bin_dir()
    config = directory / "kubeconfig"
    kwokctl = ["env", f"KWOK_WORKDIR={directory}", f"KWOK_KUBE_VERSION={version_of('kubernetes')}"]
    kwokctl += [f"KWOK_KUBECTL_BINARY={programs / 'kubectl'}", str(programs / "kwokctl")]
    binaries = [f"--{name}-binary={programs / program}" for name, program in COMPONENTS.items()]
    options = ["--name", NAME, "--runtime=binary", "--wait=60s", f"--kubeconfig={config}", *binaries]
    options += [option for name in LEFT_OUT for option in ("--disable", name)]
    create = [*kwokctl, "create", "cluster", *options]
    try:
        # What a local cluster's control group holds ends with it, also when this test is killed.
        run(*(map(str, launched(create)) if is_local_cluster() else create), limit=120)
        manifests = simulated.manifest_list(nodes)
        run("kubectl", f"--kubeconfig={config}", "create", "--filename=-", stdin=manifests)
        run(
            "kubectl",
            f"--kubeconfig={config}",
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "node",
            "--all",
            limit=70,
        )
        yield config
    finally:
        run(*kwokctl, "delete", "cluster", "--name", NAME, check=False)
