"""A program in place of Helm that keeps revisions in a file: for commands that upgrade a release of a fake cluster.

It renders with the real Helm. The real Helm also upgrades in tests/engine.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.render import helm_program

PROGRAM = """#!{python} -SE
import json, os, sys
from pathlib import Path

FILE, REAL = Path({file!r}), {real!r}


def merged(base, over):
    both = {{**base, **over}}
    for key in base.keys() & over.keys():
        if isinstance(base[key], dict) and isinstance(over[key], dict):
            both[key] = merged(base[key], over[key])
    return both


def end(text, code=0):
    print(text, file=sys.stderr if code else sys.stdout)
    sys.exit(code)


words = sys.argv[1:]
if words[0] == "template":
    os.execv(REAL, [REAL, *words])
state = json.loads(FILE.read_text())
option = {{name: value for name, value in zip(words, words[1:]) if name.startswith("--")}}
if words[0] == "history":
    shown = [{{key: one[key] for key in ("revision", "status", "description")}} for one in state["revisions"]]
    end(json.dumps(shown)) if shown else end("Error: release: not found", 1)
if words[0] == "get":
    values = next(one["values"] for one in state["revisions"] if str(one["revision"]) == option["--revision"])
    end(json.dumps(values if words[1] == "values" else {{"kind": "LeaderWorkerSet", "spec": values}}))
files = [value for name, value in zip(words, words[1:]) if name == "--values"]
values = {{}}
for file in files:
    values = merged(values, json.loads(Path(file).read_text()))
if "--dry-run=server" in words:
    spec = merged(values, state["chart"])
    end(json.dumps({{"manifest": json.dumps({{"kind": "LeaderWorkerSet", "spec": spec}})}}))
state["calls"].append(words)
what = option.get("--description", "Rollback to " + words[2])
if words[0] == "rollback":
    values = next(one["values"] for one in state["revisions"] if str(one["revision"]) == words[2])
problem = state["problems"].get(what.removeprefix("vmn tune: "), "")
status = "failed" if problem else "deployed"
number = state["revisions"][-1]["revision"] + 1
if problem != "nothing made":
    revision = {{"revision": number, "status": status, "description": what, "values": values}}
    state["revisions"].append(revision)
FILE.write_text(json.dumps(state))
end(problem or "done", 1 if problem else 0)
"""


@dataclass(frozen=True)
class SmallHelm:
    """The program's state.

    Attributes:
        file: where it is.
    """

    file: Path

    @property
    def state(self) -> dict[str, Any]:
        """Revisions, calls that change something, and what fails."""
        found: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return found

    @property
    def present(self) -> dict[str, Any]:
        """The last revision."""
        found: dict[str, Any] = self.state["revisions"][-1]
        return found

    def change(self, **state: Any) -> None:
        """Change parts of the state."""
        self.file.write_text(json.dumps({**self.state, **state}), encoding="utf-8")


def small_helm(folder: Path, values: Mapping[str, Any], revision: int = 3) -> SmallHelm:
    """Write the program into a directory for PATH, with a release that has some values.

    Args:
        folder: the directory.
        values: values of the release.
        revision: number of its revision.
    """
    folder.mkdir()
    own = SmallHelm(folder / "state.json")
    first = {"revision": revision, "status": "deployed", "description": "Upgrade complete", "values": values}
    state = {"revisions": [first], "calls": [], "problems": {}, "chart": {}}
    own.file.write_text(json.dumps(state), encoding="utf-8")
    text = PROGRAM.format(python=sys.executable, file=str(own.file), real=str(helm_program()))
    program = folder / "helm"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return own


def stored(chart: Path, name: str, namespace: str, revision: int) -> dict[str, Any]:
    """Return the Secret in which Helm stores a revision with its chart."""
    files = [file for file in sorted(chart.rglob("*")) if file.is_file()]
    names = {file: str(file.relative_to(chart)) for file in files}
    apart = {"Chart.yaml", "values.yaml", "values.schema.json"}
    content = {
        "metadata": yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8")),
        "values": yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8")),
        "schema": _encoded((chart / "values.schema.json").read_bytes()),
        "templates": _files([file for file in files if names[file].startswith("templates/")], chart),
        "files": _files([file for file in files if not names[file].startswith("templates/")], chart, apart),
    }
    return secret_of(content, name, namespace, revision)


def secret_of(chart: Mapping[str, Any], name: str, namespace: str, revision: int) -> dict[str, Any]:
    """Return the Secret of a revision with a chart in Helm's form."""
    packed = base64.b64encode(gzip.compress(json.dumps({"chart": chart}).encode()))
    metadata = {"name": f"sh.helm.release.v1.{name}.v{revision}", "namespace": namespace}
    return {"metadata": metadata, "data": {"release": _encoded(packed)}}


def _files(files: Sequence[Path], chart: Path, apart: Collection[str] = ()) -> list[dict[str, str]]:
    named = [(str(file.relative_to(chart)), file) for file in files]
    return [{"name": name, "data": _encoded(file.read_bytes())} for name, file in named if name not in apart]


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
