"""What one pod has: shared memory, GPUs, RDMA devices, locked memory, and a writable cache."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
from pathlib import Path
from typing import Any

CAP_IPC_LOCK = 14
"""Bit of the capability that lets a process lock any amount of memory (linux/capability.h)."""
SMI_SECONDS = 60
"""Seconds for nvidia-smi, which is slow without the driver's persistence mode."""


def shared_memory(path: str = "/dev/shm") -> dict[str, Any]:
    """Return the total and the free bytes of a file system."""
    try:
        there = os.statvfs(path)
    except OSError as error:
        return {"error": said(error)}
    return {"total": there.f_blocks * there.f_frsize, "free": there.f_bavail * there.f_frsize}


def writable(paths: list[str]) -> dict[str, Any]:
    """Return why files can't be created in each directory, or above it if it does not exist yet, and the free bytes."""
    folders = {path: _existing(Path(path)) for path in paths}
    return {
        "user": os.getuid(),
        "paths": {path: _try_to_write(folder) for path, folder in folders.items()},
        "free": {path: shared_memory(str(folder)).get("free") for path, folder in folders.items()},
    }


def _existing(path: Path) -> Path:
    return next(item for item in (path, *path.parents) if item.exists())


def _try_to_write(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"vmn")
    except OSError as error:
        return said(error)
    return None


def memlock(status: str = "/proc/self/status") -> dict[str, Any]:
    """Return the bytes that may be locked, -1 without a limit, and whether a capability lifts the limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path(status).read_text(encoding="ascii"), re.MULTILINE)
    held = int(found[1], 16) if found else 0
    return {"limit": -1 if soft == resource.RLIM_INFINITY else soft, "capability": bool(held >> CAP_IPC_LOCK & 1)}


def gpus(devices: str = "/dev") -> dict[str, Any]:
    """Return the number of NVIDIA GPUs by nvidia-smi, or else by their device files."""
    files = [item for item in Path(devices).iterdir() if re.fullmatch(r"nvidia\d+", item.name)]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except FileNotFoundError:
        return {"count": len(files), "by": f"{devices}/nvidia*", "names": []}
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"count": len(files), "by": f"{devices}/nvidia*", "names": [], "error": f"nvidia-smi: {error}"}
    names = re.findall(r"^GPU \d+: (.*?)(?: \(UUID.*)?$", done.stdout, re.MULTILINE)
    found: dict[str, Any] = {"count": len(names), "by": "nvidia-smi -L", "names": sorted(set(names))}
    if done.returncode:
        found["error"] = f"nvidia-smi ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-200:]}"
    return found


def rdma(gid: int | None, devices: str = "/dev/infiniband", sysfs: str = "/sys/class") -> dict[str, Any]:
    """Return the RDMA devices that this container may open, and the ports of their adapters.

    Args:
        gid: index in each port's table of addresses whose entry to return, None for none.
        devices: directory of the device files.
        sysfs: directory in which the kernel describes devices, including those that the container does not have.
    """
    files = sorted(item.name for item in Path(devices).glob("uverbs*"))
    closed = [name for name in files if not os.access(f"{devices}/{name}", os.R_OK | os.W_OK)]
    adapters = [text(Path(sysfs, "infiniband_verbs", name, "ibdev")) for name in files]
    ports = [_port(port, gid) for name in adapters if name for port in _ports(Path(sysfs, "infiniband", name))]
    return {"devices": files, "closed": closed, "ports": ports}


def _ports(adapter: Path) -> list[Path]:
    folder = adapter / "ports"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _port(port: Path, gid: int | None) -> dict[str, Any]:
    found = {"port": f"{port.parent.parent.name}:{port.name}", "state": text(port / "state").partition(": ")[2]}
    found["link"] = text(port / "link_layer")
    return found if gid is None else {**found, "gid": text(port / "gids" / str(gid))}


def text(file: Path) -> str:
    """Return the content of a small file, empty when it can't be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def said(error: OSError) -> str:
    """Return an error without its number."""
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error)
