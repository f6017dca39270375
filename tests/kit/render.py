"""Render the chart as users do, each combination once per session, and check every object."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from kit.helmserver import helm_server, without_clusters
from kit.paths import CHART
from kit.schemas import Document, object_errors
from localcluster import versions
from localcluster.programs import program
from vmn.adapters.programs import Done

Helm = Literal["helm", "helm3"]
RENDER_LIMIT = 60
"""Limit in seconds. A render takes about 0.2."""


class HelmFailed(Exception):  # noqa: N818 - reads as what happened
    """Helm failed. ``stderr`` holds its output."""

    def __init__(self, stderr: str) -> None:
        """Keep the output of Helm."""
        super().__init__(stderr)
        self.stderr = stderr


class InvalidObjects(AssertionError):  # noqa: N818 - reads as what happened
    """Rendered objects that an API server would refuse."""


@dataclass(frozen=True)
class Manifests:
    """Rendered objects."""

    documents: Sequence[Document] = field(repr=False)

    def __iter__(self) -> Iterator[Document]:
        """Iterate over all objects."""
        return iter(self.documents)

    def all(self, kind: str) -> list[Document]:
        """Return all objects of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Document:
        """Return the only object of a kind, or of a kind and a name."""
        found = [document for document in self.all(kind) if name in (None, document["metadata"]["name"])]
        assert len(found) == 1, f"wanted one {kind} {name or ''}, got {len(found)} of {sorted(self.inventory())}"
        return found[0]

    def as_installed(self, namespace: str) -> Manifests:
        """Return copies of all objects that name their namespace, as an API server returns them."""
        copies = copy.deepcopy(list(self.documents))
        for document in copies:
            document["metadata"]["namespace"] = namespace
        return Manifests(copies)

    def inventory(self) -> set[tuple[str, str]]:
        """Return kind and name of every object."""
        return {(document["kind"], document["metadata"]["name"]) for document in self.documents}

    def templates(self) -> dict[str, Document]:
        """Return the pod templates of the LeaderWorkerSet by role."""
        group = self.one("LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
        return {"leader": group["leaderTemplate"], "worker": group["workerTemplate"]}


@cache
def helm_program(helm: Helm = "helm") -> Path:
    """Return a pinned Helm, which is built if the cache lacks it."""
    return program(helm)


@cache
def tree_digest(directory: Path) -> str:
    """Return a digest of a directory's content, which is computed once per session."""
    digest = hashlib.sha256()
    for file in sorted(file for file in directory.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(directory)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


_rendered: dict[str, Manifests] = {}


def render(
    values: Mapping[str, Any] | None = None,
    *values_files: Path,
    release: str = "vllm",
    namespace: str = "default",
    helm: Helm = "helm",
    show_only: Sequence[str] = (),
    api_versions: Sequence[str] = (),
    chart: Path = CHART,
) -> Manifests:
    """Return what ``helm template`` renders, after checking every object against its schema.

    Args:
        values: values that override all files.
        values_files: values files, of which later ones take precedence.
        release: the release's name.
        namespace: its namespace.
        helm: Helm 4 or Helm 3.
        show_only: templates to render; all by default.
        api_versions: API groups that the cluster is assumed to have.
        chart: the chart's directory.

    Raises:
        HelmFailed: Helm refuses the values.
        InvalidObjects: an object has errors.
    """
    text = yaml_of(values)
    inputs = [tree_digest(chart), text, *(file.read_text(encoding="utf-8") for file in values_files)]
    key = json.dumps([inputs, release, namespace, helm, list(show_only), list(api_versions)])
    if key not in _rendered:
        options = [option for file in values_files for option in ("--values", str(file))]
        options += [option for name in show_only for option in ("--show-only", name)]
        options += [option for name in api_versions for option in ("--api-versions", name)]
        output = helm_template(chart, options, text, release=release, namespace=namespace, helm=helm)
        manifests = Manifests([document for document in yaml.load_all(output, yaml.CSafeLoader) if document])
        errors = [error for document in manifests for error in object_errors(document)]
        if errors:
            raise InvalidObjects("\n".join(errors))
        _rendered[key] = manifests
    return _rendered[key]


def helm_template(chart: Path, options: Sequence[str], values: str, *, release: str, namespace: str, helm: Helm) -> str:
    """Run ``helm template`` without the cache.

    Raises:
        HelmFailed: it failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        overrides = Path(directory) / "values.yaml"
        overrides.write_text(values, encoding="utf-8")
        arguments = ["template", release, str(chart), "--namespace", namespace, *options, "--values", str(overrides)]
        served = helm == "helm" and helm not in versions.CHOSEN.instead
        done = helm_server().run(arguments, RENDER_LIMIT) if served else run_helm(helm, arguments, directory)
    if done.code:
        raise HelmFailed(done.stderr)
    return done.stdout


def run_helm(helm: Helm, arguments: Sequence[str], home: str) -> Done:
    """Run a Helm as a process of its own, with an empty home directory."""
    env = {**without_clusters(os.environ), "HOME": home, "GOGC": "off"}  # GOGC: a third less processor time
    argv = [str(helm_program(helm)), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=RENDER_LIMIT, env=env, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def yaml_of(values: Mapping[str, Any] | None) -> str:
    """Return values as YAML, of which JSON is a subset."""
    return json.dumps(values or {}, indent=1)
