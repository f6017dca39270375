"""The kernel settings that kubelets change for the whole machine: remembered before, put back after."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from localcluster.cache import state_dir
from localcluster.instance import OTHERS

SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Files under ``/proc/sys``, as in the kubelet's ``setupKernelTunables``."""

_RECORD = "kernel-settings.json"
_ROOT = Path("/proc/sys")


def remember() -> None:
    """Write down the settings, unless that was done; another cluster of this machine knows them from before both."""
    if _record().exists():
        return
    for other in OTHERS:
        with contextlib.suppress(OSError):
            _record().write_text((state_dir(other) / _RECORD).read_text())
            return
    _record().write_text(json.dumps({name: _read(name) for name in SETTINGS if (_ROOT / name).exists()}))


def restore() -> None:
    """Put the settings back to what was written down; without a record, or without the right, do nothing."""
    with contextlib.suppress(OSError, ValueError):
        for name, value in json.loads(_record().read_text()).items():
            if _read(name) != value:
                (_ROOT / name).write_text(value)


def _read(name: str) -> str:
    return (_ROOT / name).read_text().strip()


def _record() -> Path:
    return state_dir() / _RECORD
