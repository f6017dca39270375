"""vmn as a wheel and as a source archive, and what the wheel brings with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 600
"""Seconds to build, or to install, with what pip downloads."""


def distributions(checkout: Path, out: Path) -> list[Path]:
    """Write the source archive, and the wheel that is built from it, to a directory.

    Raises:
        subprocess.CalledProcessError: the build fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(checkout)]
    subprocess.run(command, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
    return sorted(out.iterdir())


def installed(distribution: Path, directory: Path) -> Path:
    """Install a wheel or source archive into an environment that is empty otherwise, even of pip; return its Python.

    Raises:
        subprocess.CalledProcessError: pip fails.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True, timeout=LIMIT)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-compile", str(distribution)], check=True, timeout=LIMIT)
    return python


def bill_of_materials(python: Path, pyproject: Path) -> str:
    """Return what an installation of the wheel consists of, as JSON of CycloneDX 1.6.

    Args:
        python: of the environment that the wheel was installed into.
        pyproject: describes the whole.

    Raises:
        subprocess.CalledProcessError: cyclonedx-py fails.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--spec-version=1.6", "--output-format=JSON"]
    command += [f"--pyproject={pyproject}", "--mc-type=application", "--output-reproducible", str(python)]
    return subprocess.run(command, check=True, timeout=LIMIT, capture_output=True, text=True).stdout
