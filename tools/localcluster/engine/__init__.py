"""vLLM without a GPU: the image, the packages and a small model that the local cluster serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.engine import checkpoint, image, inside, packages, rootfs
from localcluster.parallel import Task, run_all

__all__ = ["Engine", "expected", "prepare", "run_inside", "tasks"]


@dataclass(frozen=True)
class Engine:
    """What the local cluster's nodes need to run vLLM."""

    image_tar: Path
    """docker-archive for ``ctr --namespace k8s.io images import``."""
    image_reference: str
    """Name and tag of the image, without a registry."""
    packages_dir: Path
    """Directory of this machine that pods mount read-only at ``packages_mount``."""
    packages_mount: str
    """Where the image looks for vLLM's packages."""
    model_dir: Path
    """Directory of this machine that holds the tiny checkpoint."""


def prepare() -> Engine:
    """Make all that isn't there yet: a few minutes the first time, then well below a second; see ``tasks``.

    Raises:
        HostError: a download or a build fails; the message has the end of its output.
    """
    run_all(tasks())
    return Engine(
        image_tar=image.prepare(),
        image_reference=image.REFERENCE,
        packages_dir=packages.prepare(),
        packages_mount=rootfs.PACKAGES_MOUNT,
        model_dir=checkpoint.prepare(),
    )


def tasks() -> list[Task]:
    """Return what makes the engine, as tasks that may run beside others."""
    return [
        Task("root file system", rootfs.tree),
        Task("download", packages.fetch),
        Task("engine", packages.prepare, needs=["root file system", "download"]),
        Task("engine image", image.prepare, needs=["root file system"]),
    ]


def expected() -> dict[str, float]:
    """Return the steps that are still to be done, with the seconds that each takes on two cores."""
    return {**rootfs.expected(), **packages.expected()}


def run_inside(
    argv: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    mounts: Mapping[str, Path] | None = None,
    timeout: float = 600,
) -> str:
    """Run a command of the image, with vLLM's packages and the tiny checkpoint mounted, and return what it prints.

    Args:
        argv: program and arguments, such as ``["vllm", "serve", "--help"]``.
        env: variables added to the image's environment; nothing of this process's own is passed on.
        mounts: further directory of the root file system -> directory of this machine, read-only.
        timeout: seconds until it is killed.

    Raises:
        HostError: it fails or runs out of time; the end of its output is in the message.
    """
    engine = prepare()
    given = {engine.packages_mount: engine.packages_dir, checkpoint.MOUNT: engine.model_dir}
    return inside.run(argv, env, {**given, **(mounts or {})}, timeout=timeout)
