"""What a user must be allowed to do for a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.cluster.snapshot import Object
from vmn.core.preflight.probe.job import ProbeRun

PLURALS = {"Job": "jobs", "Service": "services", "ConfigMap": "configmaps", "NetworkPolicy": "networkpolicies"}


@dataclass(frozen=True)
class Right:
    """One verb on one kind.

    Attributes:
        group: API group, empty for the core.
        resource: plural name, with a subresource as in ``pods/log``.
        verb: such as ``create``.
    """

    group: str
    resource: str
    verb: str

    def attributes(self, namespace: str) -> dict[str, str]:
        """Return what a SelfSubjectAccessReview asks."""
        plural, _, part = self.resource.partition("/")
        found = {"namespace": namespace, "group": self.group, "resource": plural, "verb": self.verb}
        return {**found, "subresource": part} if part else found


def rights(run: ProbeRun) -> list[Right]:
    """Return all that a run needs; events are read when they may be."""
    made = dict.fromkeys((group_of(item), PLURALS[item["kind"]]) for item in run.objects)
    own = [Right(group, plural, verb) for group, plural in made for verb in ("create", "delete")]
    return [*own, Right("", "pods", "list"), Right("", "pods/log", "get")]


def rules(lacking: list[Right], namespace: str) -> str:
    """Return the RBAC rules that would give what is lacking."""
    return f"Add to a Role in {namespace}: {', '.join(_rules(lacking))}."


def _rules(lacking: list[Right]) -> Iterator[str]:
    for group, resource in dict.fromkeys((item.group, item.resource) for item in lacking):
        verbs = ", ".join(item.verb for item in lacking if (item.group, item.resource) == (group, resource))
        shown = group or '""'
        yield f"{{apiGroups: [{shown}], resources: [{resource}], verbs: [{verbs}]}}"


def group_of(item: Object) -> str:
    """Return an object's API group, empty for the core."""
    version = str(item["apiVersion"])
    return version.rpartition("/")[0]


def path_of(item: Object, *, named: bool) -> str:
    """Return the address of an object, or of where its kind is made."""
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    metadata = item["metadata"]
    path = f"{root}/namespaces/{metadata['namespace']}/{PLURALS[item['kind']]}"
    return f"{path}/{metadata['name']}" if named else path
