"""A release of the chart on a cluster."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kit.cluster import LWS, Object, condition, get, is_ready, kubectl, objects, run
from kit.paths import CHART
from kit.progress import say, wait_until
from kit.render import yaml_of
from kit.subset import lost_paths
from vmn.adapters.programs import Done

GROUP_LABEL = "leaderworkerset.sigs.k8s.io/name"
HELM_LIMIT = 60
"""Seconds for Helm's own work, without waiting for pods."""


@dataclass(frozen=True)
class Release:
    """A release by its name, in a namespace that is there."""

    namespace: str
    name: str = "vllm"
    chart: Path = CHART
    helm: str = "helm"

    def install(self, *files: Path, values: Mapping[str, Any] | None = None, check: bool = True) -> Done:
        """Install the chart; the pods come later: see ``wait_available``.

        Args:
            files: values files, the last one wins.
            values: values on top of them.
            check: raise when Helm fails.

        Raises:
            ProgramFailed: Helm fails.
        """
        return self._with_values("install", files, values, check=check)

    def upgrade(
        self, *files: Path, values: Mapping[str, Any] | None = None, check: bool = True, options: Sequence[str] = ()
    ) -> Done:
        """Upgrade the release to exactly these values.

        Args:
            files: values files, the last one wins.
            values: values on top of them.
            check: raise when Helm fails.
            options: more of Helm's options.

        Raises:
            ProgramFailed: Helm fails.
        """
        return self._with_values("upgrade", files, values, check=check, options=options)

    def rollback(self, revision: int) -> None:
        """Bring an earlier revision back.

        Raises:
            ProgramFailed: Helm fails.
        """
        self._helm("rollback", self.name, str(revision))

    def uninstall(self, limit: float = 150) -> None:
        """Remove the release, if it is there, and wait until its pods are gone.

        Raises:
            ProgramFailed: Helm fails.
            TooLate: pods stay.
        """
        self._helm("uninstall", self.name, "--ignore-not-found")
        wait_until("end of the pods", lambda: not self.pods(), limit, state=self.describe)

    def test(self, limit: float = 120, *, check: bool = True) -> Done:
        """Run ``helm test``.

        Raises:
            ProgramFailed: it fails.
        """
        return self._helm("test", self.name, f"--timeout={limit:.0f}s", limit=limit + 30, check=check)

    def manifest(self) -> list[Object]:
        """Return the objects that Helm has made.

        Raises:
            ProgramFailed: the release does not exist.
        """
        text = self._helm("get", "manifest", self.name).stdout
        return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    def lost(self) -> list[str]:
        """Return what the API server did not keep of the manifest, each with its object."""
        return [
            f"{one['kind']} {one['metadata']['name']}: {path}"
            for one in map(as_read, self.manifest())
            for path in lost_paths(one, get(one["kind"], one["metadata"]["name"], self.namespace))
        ]

    def group(self) -> Object | None:
        """Return the LeaderWorkerSet."""
        return get(LWS, self.name, self.namespace)

    def pods(self) -> list[Object]:
        """Return the pods of all groups, by name."""
        return sorted(
            objects("pods", selector=f"{GROUP_LABEL}={self.name}", namespace=self.namespace),
            key=lambda pod: str(pod["metadata"]["name"]),
        )

    def pod(self, name: str) -> Object | None:
        """Return a pod, nothing when it is not there."""
        return get("pod", name, self.namespace)

    def uids(self) -> set[str]:
        """Return the identities of the pods, which no later pod of the same name has."""
        return {str(pod["metadata"]["uid"]) for pod in self.pods()}

    def logs(self, pod: str, container: str, *options: str) -> str:
        """Return a container's log.

        Raises:
            ProgramFailed: there is none.
        """
        return kubectl("logs", pod, "--container", container, *options, namespace=self.namespace).stdout

    def available(self, without: Sequence[str] | set[str] = ()) -> bool:
        """Return whether all groups serve, as the LeaderWorkerSet says and as all pods say.

        Args:
            without: identities of pods that must be gone.
        """
        group = self.group()
        if not group or not condition(group, "Available"):
            return False
        replicas, size = group["spec"]["replicas"], group["spec"]["leaderWorkerTemplate"]["size"]
        pods = self.pods()
        gone = not any(pod["metadata"]["uid"] in without for pod in pods)
        return gone and len(pods) == replicas * size and all(is_ready(pod) for pod in pods)

    def wait_available(self, limit: float, without: Sequence[str] | set[str] = ()) -> float:
        """Wait until all groups serve, and return the seconds that it took.

        Args:
            limit: seconds.
            without: identities of pods that must be gone by then.

        Raises:
            TooLate: they do not.
        """
        start = time.monotonic()
        wait_until(f"available group of {self.name}", lambda: self.available(without), limit, state=self.describe)
        seconds = time.monotonic() - start
        say(f"{self.name} in {self.namespace}: available after {seconds:.0f} s")
        return seconds

    def describe(self) -> str:
        """Return the pods in a few words."""
        return "; ".join(map(_in_words, self.pods())) or "no pods"

    def _with_values(
        self,
        verb: str,
        files: Sequence[Path],
        values: Mapping[str, Any] | None,
        *,
        check: bool,
        options: Sequence[str] = (),
    ) -> Done:
        given = [option for file in files for option in ("--values", str(file))]
        given += ["--values", "-"] if values else []
        stdin = yaml_of(values) if values else None
        return self._helm(verb, self.name, str(self.chart), *options, *given, stdin=stdin, check=check)

    def _helm(self, *arguments: str, limit: float = HELM_LIMIT, stdin: str | None = None, check: bool = True) -> Done:
        return run(self.helm, *arguments, "--namespace", self.namespace, limit=limit, stdin=stdin, check=check)


@cache
def helm_version(helm: str = "helm") -> tuple[int, ...]:
    """Return the version of Helm, such as ``(4, 3, 1)``.

    Raises:
        ProgramFailed: there is none.
    """
    version = run(helm, "version", "--template={{.Version}}").stdout
    return tuple(map(int, version.removeprefix("v").split("+")[0].split(".")))


def as_read(document: Object) -> Object:
    """Return an object as it is read back: a Secret's ``stringData`` is only written."""
    given = document.get("stringData", {})
    data = {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}
    rest = {key: value for key, value in document.items() if key != "stringData"}
    return {**rest, "data": {**rest.get("data", {}), **data}} if data else rest


def remove_all(namespace: str) -> None:
    """Remove every release of a namespace, such as after an interrupt; their pods then end soon.

    A namespace that is deleted with pods in it stays for half of their grace period at least.

    Raises:
        ProgramFailed: Helm fails.
        TooLate: pods stay.
    """
    for name in run("helm", "list", "--short", "--namespace", namespace, limit=HELM_LIMIT).stdout.split():
        Release(namespace, name).uninstall()


def _in_words(pod: Object) -> str:
    status = pod["status"]
    restarts = sum(entry["restartCount"] for entry in status.get("containerStatuses", []))
    words = [pod["metadata"]["name"], status.get("phase", "?"), "ready" if is_ready(pod) else "not ready"]
    words += ["ending"] if "deletionTimestamp" in pod["metadata"] else []
    words += [f"{restarts} restart(s)"] if restarts else []
    return " ".join(words)
