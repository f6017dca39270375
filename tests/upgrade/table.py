"""``make upgrading``: what an upgrade from the previous chart changes, between markers in changes.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chartfiles.schema import schema_leaves
from chartfiles.tables import default, lookup, replaced
from kit.paths import CHART, CHECKOUT
from kit.previous import Previous, previous
from kit.render import HelmFailed, Manifests, render
from kit.upgrades import Change, changes, summary
from vmn.core.values.yaml import parse_values

UPGRADING = CHART / "UPGRADING.md"
"""What users read before an upgrade."""
CHANGES = CHECKOUT / "tests" / "upgrade" / "changes.md"
"""The table."""


def with_the_same_values(of: Previous, chart: Path = CHART) -> dict[str, set[Change]]:
    """Return what changes when only the chart does, for each values file of the previous chart."""
    return {file.stem: _changes(render(None, file, chart=of.chart), file, chart) for file in of.presets}


def with_todays_values(of: Previous, chart: Path = CHART) -> dict[str, set[Change]]:
    """Return what changes when the chart and the values file do, for each values file that both have."""
    today = {file.name: CHECKOUT / "values" / file.name for file in of.presets}
    return {
        file.stem: _changes(render(None, file, chart=of.chart), today[file.name], chart)
        for file in of.presets
        if today[file.name].is_file()
    }


def body(of: Previous, chart: Path = CHART) -> str:
    """Return what belongs between the markers."""
    head = f"From {of.version} (commit {of.commit[:7]}), over {len(of.presets)} values files."
    same = summary("With the same values", with_the_same_values(of, chart))
    today = summary("With the values files of this tree", with_todays_values(of, chart))
    return f"{head}\n\n{same}\n\n{today}\n\n{values_text(of.chart, chart)}"


def values_text(before: Path, now: Path) -> str:
    """Return which values are new, and which have another default."""
    old, new = (dict(schema_leaves(schema_of(chart))) for chart in (before, now))
    defaults = [parse_values((chart / "values.yaml").read_text(encoding="utf-8")) for chart in (before, now)]
    added = [f"`{key}`" for key in new if key not in old]
    other = [
        f"`{key}` ({default(was)}, now {default(now_)})"
        for key in new
        if key in old
        for was, now_ in [[lookup(values, key) for values in defaults]]
        if was != now_
    ]
    return f"New values: {', '.join(added) or 'none'}. Other defaults: {', '.join(other) or 'none'}."


def schema_of(chart: Path) -> Any:
    """Return a chart's schema."""
    return json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))


def written(text: str, of: Previous, chart: Path = CHART) -> str:
    """Return the text of changes.md with the table as it should be."""
    return replaced(text, "upgrade", body(of, chart))


def _changes(before: Manifests, file: Path, chart: Path) -> set[Change]:
    try:
        return changes(before, render(None, file, chart=chart))
    except HelmFailed as error:
        raise AssertionError(f"{file.name} of the previous chart is refused: {error.stderr}") from error


def main() -> None:
    """Write the table."""
    old = CHANGES.read_text(encoding="utf-8")
    new = written(old, previous())
    if new != old:
        CHANGES.write_text(new, encoding="utf-8")
        print(f"wrote {CHANGES.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
