"""Write requirements/*.lock from pyproject.toml: exact versions and hashes, no index or host named.

What is locked stays as it is where pyproject.toml allows it; ``python tools/lock.py --upgrade`` takes what is newest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCKS = {name: CHECKOUT / "requirements" / f"{name}.lock" for name in ("dev", "cluster")}
"""Dependency group -> its lock; what both have is the same in both."""
HEADER = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def main() -> int:
    """Resolve with uv, which a throw-away environment brings."""
    upgrade = sys.argv[1:] == ["--upgrade"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True, timeout=300)
        known = LOCKS["dev"]
        for group, lock in LOCKS.items():
            lock.write_text(resolved(python, group, None if upgrade else known), encoding="utf-8")
            upgrade = False  # the second takes what the first has found
    return 0


def resolved(python: Path, group: str, known: Path | None) -> str:
    """Return the lock of a dependency group.

    Args:
        python: has uv.
        group: of pyproject.toml.
        known: a lock whose versions stay where they may.

    Raises:
        SystemExit: the lock names a host.
    """
    options = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "requirements.lock"
        if known:
            out.write_text(known.read_text(encoding="utf-8"), encoding="utf-8")
        wanted = [f"--group={group}", "pyproject.toml"] if group == "dev" else [f"--group={group}"]
        command = [str(python), "-m", "uv", "pip", "compile", *options, *wanted, "-o", str(out)]
        subprocess.run(command, check=True, cwd=CHECKOUT, timeout=300)
        text = HEADER + out.read_text(encoding="utf-8")
    if "//" in text:
        raise SystemExit("the lock names a host; look at uv's configuration on this machine")
    return text


if __name__ == "__main__":
    sys.exit(main())
