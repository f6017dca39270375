"""The generated tables in the READMEs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chartfiles.catalogue import CATALOGUE
from chartfiles.schema import Schema, schema_leaves
from vmn.core.values.layout import layout_of
from vmn.core.values.yaml import Values, merged


def replaced(text: str, name: str, body: str) -> str:
    """Replace the text between the markers ``generated:<name>``. A text without markers is returned unchanged."""
    start, end = f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"
    if start not in text:
        return text
    head, _, rest = text.partition(start)
    if end not in rest:
        raise ValueError(f"{start} without {end}")
    return f"{head}{start}\n{body}\n{end}{rest.partition(end)[2]}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines)


def cell(text: str) -> str:
    """Return text in a form that fits in a cell."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def values_table(schema: Schema, values: Values) -> str:
    """Return a table with key, type, default, and description of every value."""
    rows = [
        (f"`{key}`", kind(leaf), default(lookup(values, key)), str(leaf.get("description", "")))
        for key, leaf in schema_leaves(schema)
    ]
    return table(("Key", "Type", "Default", "Description"), rows)


def kind(leaf: Schema) -> str:
    """Return the type of a value, for readers."""
    if "enum" in leaf:
        return " or ".join(f"`{choice}`" for choice in leaf["enum"] if choice is not None)
    types = leaf.get("type", [])
    names = [types] if isinstance(types, str) else [str(name) for name in types]
    for inner in [*leaf.get("anyOf", []), *leaf.get("oneOf", [])]:
        names.append(kind(inner))
    return " or ".join(name for name in dict.fromkeys(names) if name and name != "null")


def default(value: object) -> str:
    """Return a default as it is written in a values file."""
    return "unset" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """Return a value by its dotted key, or None if it does not exist."""
    here: Any = values
    for part in key.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def presets_table(presets: Mapping[Path, Values], defaults: Values) -> str:
    """Return a table with one row per preset: the model, the nodes, the layout, and the context."""
    rows = [preset_row(path, merged(defaults, values)) for path, values in sorted(presets.items())]
    return table(("Model", "Nodes x GPUs", "Layout", "Context", "File"), rows)


def preset_row(path: Path, values: Values) -> tuple[str, ...]:
    """Return the row of a preset."""
    nodes, gpus = lookup(values, "group.nodes"), lookup(values, "group.gpusPerNode")
    context = lookup(values, "model.maxLength")
    tokens = f"{context:,} tokens" if isinstance(context, int) else context or "the model's own"
    link = f"[{path.name}]({path})"
    kind = gpu_of(path.stem)
    return (
        f"`{lookup(values, 'model.name')}`",
        f"{nodes} x {gpus} {kind}".strip(),
        layout_text(values) or "one GPU",
        tokens,
        link,
    )


def layout_text(values: Values) -> str:
    """Return the sizes of a layout that are larger than 1, or nothing for one GPU."""
    chosen = layout_of(values)
    sizes = {"tensor": chosen.tensor, "pipeline": chosen.pipeline, "data": chosen.data}
    return ", ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)


def gpu_of(name: str) -> str:
    """Return the GPU of a preset in capitals, or nothing for other files."""
    request = CATALOGUE.get(name)
    return request.gpu.upper() if request else ""
