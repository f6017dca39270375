"""The pictures of docs/architecture.md, drawn from the code: who imports whom, and the path from values to pods."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chartfiles.tables import layout_text, lookup, table
from vmn.core.values.yaml import Values

Edges = set[tuple[str, str]]
KIND = re.compile(r"^kind: (\w+)$", re.MULTILINE)


def contracts(pyproject: str) -> tuple[list[str], list[str]]:
    """Return the root packages and the layers, from the highest to the lowest, that import-linter holds."""
    settings: Mapping[str, Any] = tomllib.loads(pyproject)["tool"]["importlinter"]
    contract = next(item for item in settings["contracts"] if item["type"] == "layers")
    places = [f"{container}." for container in contract.get("containers", [])] or [""]
    names = [name.strip(" ()") for layer in contract["layers"] for name in re.split(r"[|:]", layer)]
    return list(settings["root_packages"]), [f"{place}{name}" for place in places for name in names]


def packages(tools: Path, roots: Sequence[str], layers: Sequence[str]) -> list[str]:
    """Return the packages to draw: the layers in their order, the other packages beside them, then the other roots."""
    layered = {layer.partition(".")[0] for layer in layers}
    beside = [f"{root}.{file.parent.name}" for root in sorted(layered) for file in sorted(tools.glob(f"{root}/*/*.py"))]
    return list(dict.fromkeys([*layers, *beside, *(root for root in roots if root not in layered)]))


def imports(tools: Path, drawn: Sequence[str]) -> Edges:
    """Return which of the packages imports which other one."""
    found: Edges = set()
    for file in sorted(tools.rglob("*.py")):
        source = owner(".".join(file.relative_to(tools).with_suffix("").parts), drawn)
        targets = {owner(name, drawn) for name in imported(file.read_text(encoding="utf-8"))} if source else set()
        found |= {(source, target) for target in targets if source and target and source != target}
    return found


def imported(code: str) -> list[str]:
    """Return the modules that Python code imports, also inside functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def owner(module: str, drawn: Sequence[str]) -> str | None:
    """Return the package to which a module belongs."""
    return next((name for name in drawn if f"{module}.".startswith(f"{name}.")), None)


def layers_picture(drawn: Sequence[str], layers: Sequence[str], edges: Edges) -> str:
    """Return the packages as a Mermaid flowchart: a solid arrow to the next layer, a dotted one past a layer."""
    order = {name: place for place, name in enumerate(layers)}
    lines = [f'  {identifier(name)}["{name}"]' for name in drawn]
    for source, target in sorted(edges, key=lambda edge: [drawn.index(name) for name in edge]):
        skips = source in order and target in order and order[target] - order[source] > 1
        lines.append(f"  {identifier(source)} {'-.->' if skips else '-->'} {identifier(target)}")
    return mermaid("flowchart TD", lines)


def identifier(name: str) -> str:
    """Return a name as Mermaid takes it for a node."""
    return name.replace(".", "_")


def mermaid(kind: str, lines: Iterable[str]) -> str:
    """Return a Mermaid block."""
    return "\n".join(["```mermaid", kind, *lines, "```"])


def release_picture(preset: str, values: Values, release: str = "vllm") -> str:
    """Return the path from a preset to the pods of its first group as a Mermaid flowchart."""
    nodes, gpus = lookup(values, "group.nodes"), lookup(values, "group.gpusPerNode")
    pods = [(f"pod{index}", f"{release}-0" + (f"-{index}" if index else "")) for index in range(nodes)]
    lines = [
        f'  preset["{preset}"] --> helm["Helm chart<br/>vllm-multinode"]',
        '  own["your values file"] --> helm',
        f'  helm --> lws["LeaderWorkerSet {release}<br/>group of {nodes} pods<br/>{layout_text(values)}"]',
    ]
    for index, (node, pod) in enumerate(pods):
        role = "worker" if index else "leader"
        first = index * gpus
        text = f"node {index + 1}<br/>pod {pod} ({role})<br/>{gpus} GPUs, ranks {first} to {first + gpus - 1}"
        lines.append(f'  lws --> {node}["{text}"]')
    lines += [f"  {pods[0][0]} <--> {node}" for node, _ in pods[1:]]
    service = f"Service {release}-leader<br/>port {lookup(values, 'service.port')}"
    lines.append(f'  clients["clients"] --> service["{service}"] --> {pods[0][0]}')
    return mermaid("flowchart LR", lines)


def objects_table(templates: Path) -> str:
    """Return the kinds of objects that the chart's templates can render, with the files that do."""
    kinds: dict[str, list[str]] = {}
    for file in sorted(templates.rglob("*.yaml")):
        for kind in KIND.findall(file.read_text(encoding="utf-8")):
            kinds.setdefault(kind, []).append(file.relative_to(templates).as_posix())
    rows = [
        (kind, ", ".join(f"`templates/{name}`" for name in dict.fromkeys(names)))
        for kind, names in sorted(kinds.items())
    ]
    return table(("Kind", "Templates"), rows)


def pictures(checkout: Path, preset: Path, values: Values) -> Mapping[str, str]:
    """Return every generated part of docs/architecture.md by its name."""
    roots, layers = contracts((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    tools = checkout / "tools"
    drawn = packages(tools, roots, layers)
    return {
        "layers": layers_picture(drawn, layers, imports(tools, drawn)),
        "release": release_picture(preset.as_posix(), values),
        "objects": objects_table(checkout / "charts" / "vllm-multinode" / "templates"),
    }
