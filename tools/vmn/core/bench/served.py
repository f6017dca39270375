"""What a running release serves, from its LeaderWorkerSet and its Service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmn.core.cluster.lws import NAME
from vmn.core.cluster.release import SERVER_PORT
from vmn.core.cluster.snapshot import Object
from vmn.core.planning.layout.sizes import Layout

PORT = "http"
"""Name of the port of vLLM's API server in the chart's pods."""


class NotServed(Exception):  # noqa: N818 - reads as what happened
    """A release can't be measured; the message says why."""


@dataclass(frozen=True)
class Served:
    """A release as clients see it.

    Attributes:
        release: name of the LeaderWorkerSet.
        namespace: its namespace.
        url: address of its Service inside the cluster.
        model: what vLLM loads: a name on the Hub or a path.
        name: what clients call the model.
        layout: the layout of a group.
        nodes: pods of a group.
        groups: number of groups.
        flags: vLLM's flags, without dashes.
        template: the pod template of the leader.
        version: tag of the image.
    """

    release: str
    namespace: str
    url: str
    model: str
    name: str
    layout: Layout
    nodes: int
    groups: int
    flags: Mapping[str, str]
    template: Object
    version: str

    @property
    def trusts_code(self) -> bool:
        """Whether vLLM may run code of the checkpoint, which its tokenizer can need as well."""
        return "trust-remote-code" in self.flags

    @property
    def env(self) -> dict[str, str]:
        """The variables of vLLM's container that have a value of their own."""
        variables = self.template["spec"]["containers"][0].get("env") or ()
        return {item["name"]: str(item["value"]) for item in variables if item.get("value") is not None}


def served(lws: Object, services: Sequence[Object]) -> Served:
    """Return what a release serves.

    Args:
        lws: its LeaderWorkerSet.
        services: the Services of its namespace.

    Raises:
        NotServed: it is not a release of this chart.
    """
    metadata, spec = lws["metadata"], lws["spec"]["leaderWorkerTemplate"]
    template: Object = spec.get("leaderTemplate") or spec["workerTemplate"]
    container = template["spec"]["containers"][0]
    model, flags = parsed(container.get("args") or ())
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
    service = _service(metadata["name"], services)
    if not model or PORT not in ports or service is None:
        raise NotServed(f"{metadata['name']} is not a release of this chart, or its Service is missing.")
    if len([name for name in ports if SERVER_PORT.fullmatch(str(name))]) > 1:
        raise NotServed(
            f"Each data-parallel replica of {metadata['name']} has a port of its own, and this command measures one "
            "address. Set parallelism.dataLoadBalancer to internal or hybrid, or run `vllm bench serve` against your "
            "router."
        )
    host = f"{service['metadata']['name']}.{metadata['namespace']}"
    port = next(item["port"] for item in service["spec"]["ports"] if item.get("targetPort") in (PORT, ports[PORT]))
    return Served(
        metadata["name"],
        metadata["namespace"],
        f"http://{host}:{port}",
        model,
        flags.get("served-model-name", model).split()[0],
        Layout(
            int(flags.get("tensor-parallel-size", 1)),
            int(flags.get("pipeline-parallel-size", 1)),
            int(flags.get("data-parallel-size", 1)),
            "enable-expert-parallel" in flags,
            int(flags.get("decode-context-parallel-size", 1)),
        ),
        int(spec.get("size", 1)),
        int(lws["spec"].get("replicas", 1)),
        flags,
        template,
        str(container["image"]).partition("@")[0].rpartition(":")[2],
    )


def _service(release: str, services: Sequence[Object]) -> Object | None:
    """Return the Service of the leaders that has an address of its own."""
    for item in services:
        spec = item["spec"]
        if (spec.get("selector") or {}).get(NAME) == release and spec.get("clusterIP") != "None":
            return item
    return None


def parsed(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the model and the flags of ``vllm serve``; flags without a value are empty."""
    model, flags, name = "", {}, ""
    for word in arguments:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            flags[name] = value
            name = "" if "=" in word else name
        elif name:
            flags[name] = f"{flags[name]} {word}".strip()
        else:
            model = model or word
    return model, flags
