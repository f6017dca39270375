"""The engine's root file system: a slim Debian with Python, laid out like vLLM's own image, without vLLM itself.

vLLM's packages are some GB, so that they aren't in it: they are mounted at ``PACKAGES_MOUNT``.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from localcluster.cache import built, content_key, is_built
from localcluster.host import run, step

SUITE = "bookworm"
PACKAGES_MOUNT = "/opt/vllm"
HOME = "/home/vllm"
USER_ID = 2000
COLLECT_RARELY = "import gc; gc.set_threshold(50_000, 20, 100)"
"""Python's garbage collection takes a ninth of the processor time in which vLLM 0.32 is imported: 16.1 s, or 14.4 s."""
PLUGIN = Path(__file__).resolve().parent / "plugin"
RAY_CLUSTER = Path(__file__).resolve().parents[3] / "images" / "vllm-ray" / "ray-cluster"
"""The start script of the image for GPUs: this image serves both backends."""

DEBIAN_PACKAGES = (
    "ca-certificates",
    "curl",
    "iproute2",
    "libgomp1",
    "libnuma1",
    "libssl3",
    "procps",
    "python3",
    "tini",
)
"""What is in the image beyond Debian's essential packages (bash is one of those)."""

NOT_UNPACKED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

ENVIRONMENT: Mapping[str, str] = {
    "HOME": HOME,
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment of every container of the image."""

COMMANDS: Mapping[str, str] = {"vllm": "vllm.entrypoints.cli.main", "ray": "ray.scripts.scripts"}
"""Program in /usr/local/bin -> the module whose ``main`` it is."""
COMMAND = """\
#!/usr/bin/python3
import sys
from {module} import main
if __name__ == "__main__":
    sys.exit(main())
"""


def layer() -> Path:
    """Return the root file system as a tar, made on the first call (about a minute, 0.2 GB).

    Raises:
        HostError: mmdebstrap fails, such as without a network.
    """
    return built("engine-layer", _layer_key(), _make_layer) / "layer.tar"


def tree() -> Path:
    """Return the root file system as a directory, for running commands of the image without a cluster.

    Raises:
        HostError: the layer can't be made or unpacked.
    """

    def unpack(target: Path) -> None:
        source = layer()
        run(["tar", "--extract", "--numeric-owner", "--file", source, "--directory", target])

    return built("engine-root", _layer_key(), unpack)


def expected() -> dict[str, float]:
    """Return the step that is still to be done, with the seconds that it takes on two cores."""
    return {} if is_built("engine-debian", _debian_key()) else {_DEBIAN: 20}


_DEBIAN = "slim Debian"


def _debian_key() -> str:
    return content_key([SUITE, *DEBIAN_PACKAGES, *NOT_UNPACKED])


def _debian() -> Path:
    def make(target: Path) -> None:
        with step(_DEBIAN):
            left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in NOT_UNPACKED]
            left_out.append("--dpkgopt=force-unsafe-io")  # when interrupted, it is thrown away
            include = f"--include={','.join(DEBIAN_PACKAGES)}"
            run(["mmdebstrap", "--variant=minbase", *left_out, include, SUITE, target / "debian.tar"], timeout=1800)

    return built("engine-debian", _debian_key(), make) / "debian.tar"


def _layer_key() -> str:
    plugin = [part for path in _plugin_files() for part in (path.name, path)]
    return content_key([Path(__file__), RAY_CLUSTER, SUITE, *DEBIAN_PACKAGES, *plugin])


def _make_layer(target: Path) -> None:
    out = target / "layer.tar"
    shutil.copyfile(_debian(), out)
    with tarfile.open(out, "a") as tar:
        for entry, data in _additions():
            tar.addfile(entry, io.BytesIO(data))


def _additions() -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield what the image has beyond Debian: the commands, the plugin, the user and its home."""
    modules = "usr/local/lib/python3.11/dist-packages"
    for name, module in COMMANDS.items():
        yield _file(f"usr/local/bin/{name}", COMMAND.format(module=module).encode(), 0o755)
    yield _file("usr/local/bin/ray-cluster", RAY_CLUSTER.read_bytes(), 0o755)
    yield _file(f"{modules}/vllm.pth", f"{PACKAGES_MOUNT}/site-packages\n{COLLECT_RARELY}\n".encode())
    for path in _plugin_files():
        yield _file(f"{modules}/{path.relative_to(PLUGIN)}", path.read_bytes())
    with tarfile.open(_debian()) as debian:
        for name, line in {
            "etc/passwd": f"vllm:x:{USER_ID}:0:vLLM:{HOME}:/bin/bash\n",
            "etc/group": f"vllm:x:{USER_ID}:\n",
        }.items():
            handle = debian.extractfile(f"./{name}")
            yield _file(name, (handle.read() if handle else b"") + line.encode())
    for name in (HOME, PACKAGES_MOUNT, "/models"):
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.type = tarfile.DIRTYPE
        entry.mode, entry.uid = (0o775, USER_ID) if name == HOME else (0o755, 0)
        yield entry, b""


def _plugin_files() -> list[Path]:
    return sorted(path for path in PLUGIN.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _file(name: str, data: bytes, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    return entry, data
