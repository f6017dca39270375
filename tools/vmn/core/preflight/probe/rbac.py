"""The rights that a user needs for a probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmn.core.cluster.snapshot import Object
from vmn.core.preflight.probe.job import ProbeRun

PLURALS = {"Job": "jobs", "Service": "services", "ConfigMap": "configmaps", "NetworkPolicy": "networkpolicies"}


@dataclass(frozen=True)
class Right:
    """A verb on a kind.

    Attributes:
        group: API group, empty for the core.
        resource: plural name, with a subresource as in ``pods/log``.
        verb: the verb, such as ``create``.
    """

    group: str
    resource: str
    verb: str

    def attributes(self, namespace: str) -> dict[str, str]:
        """Return the attributes for a SelfSubjectAccessReview."""
        plural, _, part = self.resource.partition("/")
        found = {"namespace": namespace, "group": self.group, "resource": plural, "verb": self.verb}
        return {**found, "subresource": part} if part else found


def rights(run: ProbeRun) -> list[Right]:
    """Return the rights that a probe needs; events are only read if the user may."""
    made = dict.fromkeys((group_of(item), PLURALS[item["kind"]]) for item in run.objects)
    own = [Right(group, plural, verb) for group, plural in made for verb in ("create", "delete")]
    return [*own, Right("", "pods", "list"), Right("", "pods/log", "get")]


def rules(lacking: list[Right], namespace: str) -> str:
    """Return the RBAC rules that would give the missing rights."""
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
    """Return the path of an object, or of its kind for creating it."""
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    metadata = item["metadata"]
    path = f"{root}/namespaces/{metadata['namespace']}/{PLURALS[item['kind']]}"
    return f"{path}/{metadata['name']}" if named else path
