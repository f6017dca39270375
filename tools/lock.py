"""Write requirements/dev.lock from pyproject.toml: exact versions and hashes, no index or host named.

What is locked stays as it is where pyproject.toml allows it; ``python tools/lock.py --upgrade`` takes what is newest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCK = CHECKOUT / "requirements" / "dev.lock"
HEADER = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def main() -> int:
    """Resolve with uv, which a throw-away environment brings."""
    upgrade = sys.argv[1:] == ["--upgrade"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True, timeout=300)
        out = Path(folder) / "dev.lock"
        if not upgrade:
            out.write_text(LOCK.read_text(encoding="utf-8"), encoding="utf-8")
        options = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--quiet"]
        command = [str(python), "-m", "uv", "pip", "compile", *options, "--group=dev", "pyproject.toml", "-o", str(out)]
        subprocess.run(command, check=True, cwd=CHECKOUT, timeout=300)
        text = HEADER + out.read_text(encoding="utf-8")
    if "//" in text:
        raise SystemExit("the lock names a host; look at uv's configuration on this machine")
    LOCK.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
