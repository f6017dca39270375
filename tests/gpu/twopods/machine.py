"""The host: what stands for a container image, where nodes keep their directories, and the GPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpu.twopods.network import ProgramFailed, run

OWN = "/run/twopods"
"""Where pods see programs of this package, first on their PATH."""
INSTRUMENTS = Path(__file__).with_name("instruments")
"""Plugins of vLLM that a scenario may put into its pods, for faults that can't be made from outside."""
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Machine:
    """What all pods of a run share.

    Attributes:
        work: a directory of this run.
        root: what is / in the pods: that of the host, or of an unpacked image.
        env: the image's environment.
        keep: directories of the host that pods see at the same place, whatever is mounted above them.
        volumes: volume -> directory of the host, for volumes that nodes or claims would have.
        vllm: words that stand for the program ``vllm``, none if the image has it.
        programs: further programs, put first on PATH.
        user: the image's user; a pod may name another.
        as_root: whether all pods run as root, whatever they name.
        gpus: GPUs of each pod, as CUDA_VISIBLE_DEVICES has them.
    """

    work: Path
    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[Path] = ()
    volumes: Mapping[str, Path] = field(default_factory=dict)
    vllm: str | None = None
    programs: Sequence[Path] = ()
    user: int = 0
    as_root: bool = False
    gpus: Sequence[str] = ()

    def prepare(self) -> None:
        """Write the programs that pods find first on PATH.

        Raises:
            OSError: a program can't be copied.
        """
        folder = self.programs_dir
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(INSTRUMENTS, folder / INSTRUMENTS.name, dirs_exist_ok=True)
        for program in self.programs:
            shutil.copy(program, folder / program.name)
            (folder / program.name).chmod(0o755)
        if self.vllm:
            (folder / "vllm").write_text(f'#!/bin/bash\nexec {self.vllm} "$@"\n', encoding="utf-8")
            (folder / "vllm").chmod(0o755)

    @property
    def programs_dir(self) -> Path:
        return self.work / "programs"

    def image_env(self, index: int) -> dict[str, str]:
        """Return the environment that the image and the runtime give to a container of a pod."""
        path = self.env.get("PATH") or (os.environ.get("PATH", SEARCH) if self.root == Path("/") else SEARCH)
        own = {"NCCL_HOSTID": f"twopods-{index}"}
        if self.gpus:
            own["CUDA_VISIBLE_DEVICES"] = self.gpus[index]
        return {**own, **self.env, "PATH": f"{OWN}:{path}"}


def gpu_memory() -> dict[str, int]:
    """Return the MiB in use of each GPU by its index; nothing where there is no NVIDIA driver."""
    try:
        text = run("nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits", limit=20)
    except ProgramFailed:
        return {}
    return {index.strip(): int(used) for index, used in (line.split(",") for line in text.splitlines() if "," in line)}


def describe() -> dict[str, object]:
    """Return what a reader must know of the host: GPUs, driver, kernel, processors, memory."""
    try:
        fields = "index,name,memory.total,driver_version"
        gpus = run("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", limit=20).splitlines()
    except ProgramFailed:
        gpus = []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "gpus": gpus,
        "kernel": " ".join(os.uname()[::2]),
        "processors": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "programs": {name: shutil.which(name) for name in ("ip", "tc", "nsenter", "unshare", "nvidia-smi", "nvcc")},
    }


def free_of(gpus: Sequence[str], before: Mapping[str, int], slack: int = 600) -> bool:
    """Return whether GPUs use no more memory than before a group started, but for some MiB."""
    now = gpu_memory()
    every = [gpu for pod in gpus for gpu in pod.split(",") if gpu]
    return all(now.get(gpu, 0) <= before.get(gpu, 0) + slack for gpu in every)


def kill_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill processes that were started, and wait for their end."""
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()
