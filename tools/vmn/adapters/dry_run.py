"""Asking the API server to accept an object without creating it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmn.adapters.cluster import ask, message
from vmn.core.cluster.snapshot import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FIELD_MANAGER = "vmn-preflight"
NOT_ALLOWED = ("cannot create resource", "cannot patch resource")
"""What the API server says when RBAC forbids a request; admission uses other words with the same status."""


def dry_run(client: ApiClient, method: str, path: str, body: Object) -> str | None:
    """Return why the API server refuses an object, empty when it accepts it, None when the user may not ask."""
    force = [("force", "true")] if method == "PATCH" else []
    answer = ask(client, method, path, [("dryRun", "All"), ("fieldManager", FIELD_MANAGER), *force], body)
    if answer.status < 300:
        return ""
    reason = message(answer)
    not_allowed = answer.status in (401, 404) or any(words in reason for words in NOT_ALLOWED)
    return None if not_allowed else reason
