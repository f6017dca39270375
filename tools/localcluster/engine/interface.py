"""``python -m localcluster.engine.interface``: print the flags and the variables of vLLM, for ``tools/vmn/data/vllm``.

With ``--sources FOLDER``, the Python sources of another version are asked, as they lie in its wheel; they run with the
packages of the engine's own version.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from localcluster import engine

INSIDE = Path(__file__).with_name("interface_inside")
FOLDER, NEWER = "/interface", "/sources"
LIMIT = 300
"""Seconds; importing vLLM takes about 15, and more on a busy machine."""


def main() -> None:
    """Print the table of one version."""
    parser = argparse.ArgumentParser(prog="python -m localcluster.engine.interface", description=__doc__)
    parser.add_argument(
        "--sources",
        type=Path,
        help="directory with the package vllm of another version, and what it imports in addition",
    )
    asked(parser.parse_args().sources, sys.stdout.write)


def asked(sources: Path | None, write: Any) -> None:
    """Ask vLLM, and write the table."""
    mounts = {f"{FOLDER}/{INSIDE.name}": INSIDE} | ({NEWER: sources} if sources else {})
    env = {"PYTHONPATH": f"{FOLDER}:{NEWER}" if sources else FOLDER}
    said = engine.run_inside(["python3", "-P", "-m", INSIDE.name], env, mounts, timeout=LIMIT)
    write(formatted(json.loads(said.splitlines()[-1])))


def formatted(table: dict[str, Any]) -> str:
    """Return the table as JSON with a line for each flag, shape, and variable, so that versions are easy to compare."""
    parts = [f'  "version": {json.dumps(table["version"])}']
    for part in ("flags", "shapes"):
        entries = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in table[part].items())
        parts.append(f'  "{part}": {{\n{entries}\n  }}')
    names = ",\n".join(f"    {json.dumps(name)}" for name in table["variables"])
    parts.append(f'  "variables": [\n{names}\n  ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
