"""``python -m chartfiles``: write all generated files, or report which are out of date."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from chartfiles.architecture import pictures
from chartfiles.catalogue import catalogue, picture
from chartfiles.dashboard import dashboard_json
from chartfiles.schema import generated_schema, required_yaml
from chartfiles.tables import presets_table, replaced, values_table
from vmn.core.values.yaml import merged, parse_values

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CHART = CHECKOUT / "charts" / "vllm-multinode"
DASHBOARD = CHART / "dashboards" / "vllm-multinode.json"
PICTURE = CHECKOUT / "docs" / "deepseek-r1.svg"
"""The memory of two nodes, which ``docs/planner.md`` shows."""


def generated() -> Mapping[Path, str]:
    """Return all files with generated content, and the content that they should have."""
    source, renamed = (CHART / name for name in ("values.schema.yaml", "files/renamed.yaml"))
    schema = generated_schema(source.read_text(encoding="utf-8"), renamed.read_text(encoding="utf-8"))
    values = parse_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    written = catalogue(CHECKOUT / "values")
    texts = {path: path.read_text(encoding="utf-8") for path in (CHECKOUT / "values").glob("*.yaml")} | written
    presets = {Path(path.name): parse_values(texts[path]) for path in sorted(texts)}
    files = {
        CHART / "values.schema.json": schema,
        CHART / "files" / "required.yaml": required_yaml(schema),
        PICTURE: picture("deepseek-r1"),
        DASHBOARD: dashboard_json(),
        **written,
    }
    example = Path("values") / "deepseek-r1.yaml"
    drawn = pictures(CHECKOUT, example, merged(values, presets[Path(example.name)]))
    for page, name, body in (
        (CHART / "README.md", "values", values_table(json.loads(schema), values)),
        (CHECKOUT / "values" / "README.md", "presets", presets_table(presets, values)),
        (CHECKOUT / "README.md", "release", drawn["release"]),
        *((CHECKOUT / "docs" / "architecture.md", name, body) for name, body in drawn.items()),
    ):
        if page.is_file():
            files[page] = replaced(files.get(page) or page.read_text(encoding="utf-8"), name, body)
    return files


@click.command()
@click.option("--verify", is_flag=True, help="Write nothing, and fail if a file is out of date.")
def main(verify: bool) -> None:
    """Write the chart's JSON schema, its dashboard, the presets, the pictures, and the tables in the documents."""
    stale = [path for path, text in generated().items() if not path.is_file() or path.read_text("utf-8") != text]
    if verify:
        for path in stale:
            click.echo(f"{path.relative_to(CHECKOUT)} is out of date: run make generate", err=True)
        sys.exit(1 if stale else 0)
    for path, text in generated().items():
        if path in stale:
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path.relative_to(CHECKOUT)}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m chartfiles")
