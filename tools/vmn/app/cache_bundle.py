"""Packing the caches of a group that serves into a cache bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vmn.adapters import oci_archive
from vmn.adapters.cache_bundle import NotPackedError, printing, write_archive
from vmn.adapters.cluster import Read, gather
from vmn.adapters.programs import require, run
from vmn.core.cache_bundle import ROOT, Origin, Share
from vmn.core.cluster.lws import API
from vmn.core.cluster.release import Group, Pod, Release
from vmn.core.cluster.rendered import plain_env
from vmn.core.cluster.snapshot import Object
from vmn.core.reporting import Say

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

EXEC_SECONDS = 30
GPU = "nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1; uname -m"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's names of architectures, and those of OCI images."""


def serving_group(client: ApiClient, namespace: str, release: str) -> Group:
    """Return the first group of a release that serves.

    Raises:
        MissingError: the API server can't be reached.
        NotPackedError: no group serves.
    """
    reads = [Read("leaderworkersets", API, namespace), Read("pods", "v1", namespace)]
    groups = Release(release, namespace, gather(client, reads), 0.0).groups
    if not groups:
        raise NotPackedError(f"There is no LeaderWorkerSet {release} in namespace {namespace}.")
    ready = next((group for group in groups if group.serving), None)
    if ready is None:
        raise NotPackedError(
            f"No group of {release} serves, so no cache is complete. Wait for one, or run `vmn doctor {release}`."
        )
    return ready


def pack(
    kubectl: Sequence[str], group: Group, file: Path | None, oci: bool, say: Say
) -> tuple[Path, Origin, list[Share]]:
    """Write the cache bundle of a group; the file appears once it is complete.

    Args:
        kubectl: the program, with options that choose the cluster and the namespace.
        group: a group that serves.
        file: file to write; its name comes from the caches' key if None.
        oci: whether to write an OCI image instead of an archive.
        say: takes a line for each pod.

    Returns:
        The file, where its content is from, and what each pod contributed.

    Raises:
        MissingError: kubectl is not on PATH.
        NotPackedError: a pod can't be read.
        OSError: the file can't be written.
    """
    require(["kubectl"])
    sources = {pod.name: [*_exec(kubectl, pod), *_printing(pod)] for pod in group.pods}
    origin = _origin(kubectl, group.pods[0])
    file = file or Path(f"{origin.key}{'.oci.tar' if oci else '.tar.gz'}")
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".vmn-cache-") as folder:
        whole = layer = Path(folder, "layer.tar.gz")
        shares = write_archive(layer, origin, sources, say)
        if oci:
            whole = Path(folder, "image.tar")
            oci_archive.write(whole, layer, origin.architecture, _annotations(origin), origin.key)
        whole.replace(file)
    return file, origin, shares


def _annotations(origin: Origin) -> dict[str, str]:
    return {
        "org.opencontainers.image.created": origin.created,
        "org.opencontainers.image.title": f"caches of {origin.key} on {origin.gpu}",
    }


def _printing(pod: Pod) -> list[str]:
    try:
        return printing(plain_env(_container(pod)))
    except ValueError as error:
        raise NotPackedError(f"{pod.name} can't be packed: {error}.") from error


def _container(pod: Pod) -> Object:
    found: Object = next(item for item in pod.item["spec"]["containers"] if item["name"] == f"vllm-{pod.role}")
    return found


def _exec(kubectl: Sequence[str], pod: Pod) -> list[str]:
    return [*kubectl, "exec", pod.name, "--container", f"vllm-{pod.role}", "--"]


def _origin(kubectl: Sequence[str], leader: Pod) -> Origin:
    done = run([*_exec(kubectl, leader), "bash", "-c", GPU], EXEC_SECONDS)
    if done.code:
        raise NotPackedError(f"kubectl exec {leader.name} failed: {done.stderr.strip()}")
    *names, machine = done.stdout.split("\n")[:-1]
    container = _container(leader)
    return Origin(
        key=Path(plain_env(container)[ROOT]).name,
        gpu=names[0] if names else "none",
        architecture=ARCHITECTURES.get(machine, machine),
        image=str(container["image"]),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
