"""The files of pytest-helm-charts' Kubernetes client: in a private directory, and gone at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pykube import config

PATTERN = "pykube-ng.*.crt"
"""pykube-ng 23.6 writes certificates and the key of a kubeconfig to files of this name, which everybody may read and
which stay (``BytesOrFile.filename`` in pykube/config.py)."""


@contextmanager
def private_client_files() -> Iterator[Path]:
    """Have the client write into a directory that only this user may enter, and remove it at the end.

    Raises:
        AssertionError: the client wrote into the machine's directory for temporary files after all.
    """
    before = left_behind()
    standard = config.tempfile
    with tempfile.TemporaryDirectory(prefix="vllm-multinode-client-") as name:  # mode 0700
        config.tempfile = SimpleNamespace(gettempdir=lambda: name)
        try:
            yield Path(name)
        finally:
            config.tempfile = standard
    assert left_behind() <= before, f"keys of the cluster stay in {sorted(left_behind() - before)}"


def left_behind() -> set[Path]:
    """Return the client's files in the machine's directory for temporary files."""
    return set(Path(tempfile.gettempdir()).glob(PATTERN))
