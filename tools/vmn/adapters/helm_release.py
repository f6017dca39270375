"""A release on a cluster, through Helm: its values, its revisions, its own chart, upgrades, and going back."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from vmn.adapters.cluster import ask
from vmn.adapters.programs import Done, MissingError, run
from vmn.core.tune.history import MARK, Revision
from vmn.core.values.yaml import documents

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LIMIT = 180
"""Seconds for Helm's own work, without waiting for pods: it takes about 2."""
PRIVATE = 0o600
"""Mode of files with values, which can have secrets."""
KEEP_ALL = ("--history-max", "0")
"""With Helm's limit of 10 revisions, the trials would push out the revision to go back to."""


class HelmError(Exception):
    """Helm refuses something; the message is Helm's."""


@dataclass(frozen=True)
class HelmRelease:
    """A release as Helm knows it.

    Attributes:
        name: its name.
        namespace: its namespace.
        options: options that name the cluster.
    """

    name: str
    namespace: str
    options: tuple[str, ...] = ()

    def history(self) -> list[Revision]:
        """Return its revisions, the last one at the end; empty if Helm has no such release.

        Raises:
            HelmError: Helm can't tell.
            MissingError: Helm is not on PATH.
        """
        done = self._helm("history", self.name, "--output", "json")
        if done.code and "not found" in done.stderr:
            return []
        found = json.loads(self._checked(done) or "[]")
        return [Revision(int(one["revision"]), str(one["status"]), str(one["description"])) for one in found]

    def values(self, revision: int) -> dict[str, Any]:
        """Return the values that the user gave for a revision.

        Raises:
            HelmError: Helm does not have the revision.
        """
        done = self._helm("get", "values", self.name, "--revision", str(revision), "--output", "json")
        return json.loads(self._checked(done)) or {}

    def manifest(self, revision: int) -> list[dict[str, Any]]:
        """Return the objects of a revision.

        Raises:
            HelmError: Helm does not have the revision.
        """
        return documents(self._checked(self._helm("get", "manifest", self.name, "--revision", str(revision))))

    def rendered(self, chart: Path, files: Sequence[Path]) -> list[dict[str, Any]]:
        """Return the objects that an upgrade would have; the API server answers the chart's look-ups.

        Raises:
            HelmError: the chart refuses the values.
        """
        options = (*_values(files), "--dry-run=server", "--output", "json")
        content = json.loads(self._checked(self._helm("upgrade", self.name, str(chart), *options)))
        return documents(content["manifest"])

    def upgrade(self, chart: Path, files: Sequence[Path], what: str) -> None:
        """Upgrade the release to exactly these values; the pods come later.

        Raises:
            HelmError: Helm or the API server refuses it.
        """
        options = ("--reset-values", *_values(files), "--description", f"{MARK}{what}", *KEEP_ALL)
        self._checked(self._helm("upgrade", self.name, str(chart), *options))

    def rollback(self, revision: int) -> None:
        """Go back to a revision; the pods come later.

        Raises:
            HelmError: Helm or the API server refuses it.
        """
        self._checked(self._helm("rollback", self.name, str(revision), *KEEP_ALL))

    def _helm(self, *words: str) -> Done:
        return run(["helm", *words, "--namespace", self.namespace, *self.options], LIMIT, alone=True)

    def _checked(self, done: Done) -> str:
        if done.code:
            raise HelmError(done.stderr.strip() or f"helm ended with status {done.code}")
        return done.stdout


def _values(files: Sequence[Path]) -> list[str]:
    return [option for file in files for option in ("--values", str(file))]


def write_private(file: Path, content: Mapping[str, Any]) -> Path:
    """Write values, which can have secrets, to a file that only the user can read, and return it."""
    file.touch(mode=PRIVATE)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def unpack_chart(client: ApiClient, release: HelmRelease, revision: int, folder: Path) -> Path:
    """Write the chart that Helm keeps with a revision into a directory, and return it.

    Raises:
        HelmError: Helm keeps its revisions elsewhere than in Secrets.
        MissingError: the API server can't be reached, or the user may not read the Secret.
    """
    name = f"sh.helm.release.v1.{release.name}.v{revision}"
    answer = ask(client, "GET", f"/api/v1/namespaces/{release.namespace}/secrets/{name}")
    if answer.status in (401, 403):
        rule = f'{{apiGroups: [""], resources: [secrets], resourceNames: [{name}], verbs: [get]}}'
        raise MissingError(f"You may not read the chart of the release. Add to a Role in {release.namespace}: {rule}.")
    if answer.status != 200:
        raise HelmError(f"Secret {name} with the release's chart does not exist. Name the chart with --chart.")
    packed = base64.b64decode(base64.b64decode(answer.content["data"]["release"]))
    chart = json.loads(gzip.decompress(packed))["chart"]
    target = folder / str(chart["metadata"]["name"])
    target.mkdir()
    _write(target, "Chart.yaml", yaml.safe_dump(chart["metadata"]).encode())
    _write(target, "values.yaml", yaml.safe_dump(chart.get("values") or {}).encode())
    if chart.get("schema"):
        _write(target, "values.schema.json", base64.b64decode(chart["schema"]))
    for file in (*(chart.get("templates") or ()), *(chart.get("files") or ())):
        _write(target, file["name"], base64.b64decode(file.get("data") or ""))
    return target


def _write(folder: Path, name: str, content: bytes) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise HelmError(f"The release's chart has a file {name}, which is outside of it.")
    file = folder.joinpath(*path.parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
