"""Kinds of other programs on a cluster, for as long as a test needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import yaml

from kit.cluster import Object, condition, create, get, kubectl
from kit.progress import wait_until
from localcluster import crds, monitoring

LIMIT = 30
"""Seconds until the API server serves a new kind."""


@contextmanager
def defined(source: str, *kinds: str) -> Iterator[None]:
    """Have kinds of a maker's definitions; those that were there before stay.

    Args:
        source: name in ``localcluster.crds.SOURCES``.
        kinds: such as ``HTTPRoute``.

    Raises:
        Refused: the API server refuses one.
        TooLate: it does not serve one.
    """
    wanted = [item for item in crds.definitions(source) if item["spec"]["names"]["kind"] in kinds]
    assert len(wanted) == len(kinds), f"{source} has not all of {kinds}"
    with present_definitions(wanted):
        yield


def operator_kinds() -> list[Object]:
    """Return the definitions of the Prometheus operator's kinds that a release may have."""
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in monitoring.kinds()]


@contextmanager
def present_definitions(wanted: Sequence[Object]) -> Iterator[None]:
    """Have kinds by their definitions; those that were there before stay.

    Raises:
        Refused: the API server refuses one.
        TooLate: it does not serve one.
    """
    missing = [item for item in wanted if not get("customresourcedefinition", item["metadata"]["name"])]
    names = [item["metadata"]["name"] for item in missing]
    try:
        for item in missing:
            create(item)
        for name in names:
            wait_until(name, lambda name=name: served(name), LIMIT)  # type: ignore[misc]
        yield
    finally:
        if names:
            kubectl("delete", "customresourcedefinition", *names, "--ignore-not-found")


def served(name: str) -> bool:
    """Return whether the API server serves a kind, by its definition's name, as Helm would find out."""
    found = get("customresourcedefinition", name)
    return bool(found and condition(found, "Established") and not kubectl("get", name, check=False).code)
