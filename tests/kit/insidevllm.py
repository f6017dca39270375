"""Scripts that run in vLLM's own environment, to ask vLLM itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.progress import step
from localcluster import engine
from localcluster.host import HostError, require_linux_root

LIMIT = 480
"""Seconds; an import of vLLM takes about 15, and what is asked up to 60, but four times as long beside other tests."""
FOLDER = "/arguments"


def ask(script: Path, cases: Any, directory: Path, what: str) -> Any:
    """Run a script with a file of cases, and return the JSON of the last line that it prints.

    Args:
        script: it gets the file as its argument.
        cases: what goes into the file, as JSON.
        directory: an empty one.
        what: for the line of progress.
    """
    try:
        require_linux_root()
    except HostError as error:
        pytest.skip(f"vLLM's packages can't be entered here: {error}")
    directory.chmod(0o755)
    directory.joinpath("cases.json").write_text(json.dumps(cases))
    directory.joinpath(script.name).write_text(script.read_text())
    command = ["python3", f"{FOLDER}/{script.name}", f"{FOLDER}/cases.json"]
    with step(what):
        output = engine.run_inside(command, mounts={FOLDER: directory}, timeout=LIMIT)
    return json.loads(output.splitlines()[-1])
