"""The speed of the RDMA adapters' ports, as the kernel reports it."""

from __future__ import annotations

import re
from pathlib import Path

ACTIVE = "ACTIVE"


def port_rates(devices: str = "/dev/infiniband", sysfs: str = "/sys/class") -> dict[str, float]:
    """Return the speed in Gbit/s of each port that is up, of the devices in this container.

    Args:
        devices: directory of the device files.
        sysfs: directory in which the kernel describes devices, including those that the container does not have.
    """
    found: dict[str, float] = {}
    for file in sorted(Path(devices).glob("uverbs*")):
        name = _text(Path(sysfs, "infiniband_verbs", file.name, "ibdev"))
        for port in sorted(Path(sysfs, "infiniband", name, "ports").glob("*")) if name else ():
            rate = re.match(r"[\d.]+", _text(port / "rate"))  # such as 400 Gb/sec (4X NDR)
            if rate and _text(port / "state").endswith(ACTIVE):
                found[f"{name}:{port.name}"] = float(rate[0])
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
