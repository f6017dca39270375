"""A Lease that one process holds, so that another one does not change the same release at the same time."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vmn.adapters.cluster import Answer, ask, message
from vmn.adapters.programs import MissingError
from vmn.adapters.signals import undisturbed
from vmn.core.cluster.timestamps import seconds

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

API = "coordination.k8s.io/v1"
KEPT_SECONDS = 120
"""Seconds after which a Lease that is not renewed belongs to a process that was killed."""
RENEWAL_SECONDS = 20.0


class HeldError(Exception):
    """Another process holds the Lease; the message says which."""


@dataclass
class Lease:
    """A Lease that this process may hold.

    Attributes:
        client: client of the cluster.
        namespace: its namespace.
        name: its name.
        holder: who holds it.
    """

    client: ApiClient
    namespace: str
    name: str
    holder: str
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the Lease for a while, and renew it all the time.

        Raises:
            HeldError: another process holds it.
            MissingError: the API server can't be reached, or the user may not create Leases.
        """
        self._take()
        renewal = threading.Thread(target=self._renew, daemon=True)
        renewal.start()
        try:
            yield
        finally:
            with undisturbed():
                self._ended.set()
                renewal.join(RENEWAL_SECONDS)
                self._give_back()

    def _take(self) -> None:
        answer = self._ask("POST", body=self._content())
        if answer.status == 409:
            answer = self._take_over()
        if answer.status in (401, 403):
            rule = "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update, delete]}"
            raise MissingError(f"You may not create a Lease. Add to a Role in {self.namespace}: {rule}.")
        if answer.status >= 300:
            raise MissingError(f"The API server refuses Lease {self.name}: {message(answer)}")

    def _take_over(self) -> Answer:
        """Take a Lease that its holder does not renew any more."""
        found = self._ask("GET", named=True)
        if found.status == 404:  # given back in between
            return self._ask("POST", body=self._content())
        spec = found.content.get("spec") or {}
        since = datetime.now(UTC).timestamp() - (seconds(spec.get("renewTime")) or 0.0)
        if since < KEPT_SECONDS:
            raise HeldError(f"{spec.get('holderIdentity')} is tuning it (seen {max(0.0, since):.0f} s ago)")
        version = found.content["metadata"].get("resourceVersion")
        answer = self._ask("PUT", named=True, body=self._content(version))
        if answer.status == 409:
            raise HeldError("another process took it at the same moment")
        return answer

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            with contextlib.suppress(MissingError):
                if mine := self._mine():
                    self._ask("PUT", named=True, body=self._content(mine["metadata"].get("resourceVersion")))

    def _give_back(self) -> None:
        with contextlib.suppress(MissingError):
            if self._mine():
                self._ask("DELETE", named=True)

    def _mine(self) -> dict[str, Any]:
        """Return the Lease if this process holds it, else nothing."""
        found: dict[str, Any] = self._ask("GET", named=True).content
        return found if (found.get("spec") or {}).get("holderIdentity") == self.holder else {}

    def _content(self, version: str | None = None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        known = {"resourceVersion": version} if version else {}
        return {
            "apiVersion": API,
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace, **known},
            "spec": {"holderIdentity": self.holder, "leaseDurationSeconds": KEPT_SECONDS, "renewTime": now},
        }

    def _ask(self, method: str, *, named: bool = False, body: dict[str, Any] | None = None) -> Answer:
        path = f"/apis/{API}/namespaces/{self.namespace}/leases{f'/{self.name}' if named else ''}"
        return ask(self.client, method, path, body=body)


def this_process() -> str:
    """Return the name of this process for other people: user, machine, and number."""
    return f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}"
