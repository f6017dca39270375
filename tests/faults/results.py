"""What the faults did, kept in one file of this directory, and the table of it in docs/reliability.md.

``python -m faults.results`` writes the table again; the tests add to the file when ``make test-faults`` runs them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faults.scene import Outcome
from faults.styles import STYLES, Style
from kit.paths import CHECKOUT

FILE = Path(__file__).with_name("results.json")
PAGE = CHECKOUT / "docs" / "reliability.md"
COLUMNS = {
    "faults": {"The guide's manifests": "reference", "This chart": "chart"},
    "faults-in-place": {"Restarts in place": "in-place"},
}
"""Table -> heading -> style. The last style of a table decides which rows it has, and what the doctor said."""
KEEP = "KEEP_FAULT_RESULTS"
"""Variable that makes the tests write into the file; ``make test-faults`` sets it."""
Results = dict[str, dict[str, dict[str, Any]]]


def load() -> Results:
    """Return fault -> style -> what was measured, in the order of the runs."""
    found: Results = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def keep(fault: str, style: Style, measured: Mapping[str, Any]) -> None:
    """Add what was measured to the file, when the run is to keep it."""
    if os.environ.get(KEEP):
        results = load()
        name = next(name for name, kind in STYLES.items() if type(style) is kind)
        results.setdefault(fault, {})[name] = dict(measured)
        FILE.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def measured(outcome: Outcome) -> dict[str, Any]:
    """Return what is kept of a fault into a group that serves."""
    found = outcome.requests
    return {
        "hang": outcome.hang,
        "lost": found.lost,
        "dropped": found.dropped,
        "longest_hang_s": round(found.longest_hang),
        "outage_s": None if found.outage is None else round(found.outage),
        "outage_starts": None if outcome.ratio is None else round(outcome.ratio, 2),
        "refused": found.refused,
        "reported": list(outcome.reported),
        "doctor": list(dict.fromkeys([*outcome.doctor, *(text.partition(":")[0] for text in outcome.told)])),
        "observed_s": round(outcome.observed),
    }


def marks(name: str) -> tuple[str, str]:
    """Return what stands before and after a table in the page."""
    return f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"


def table(results: Results, name: str) -> str:
    """Return a table in Markdown."""
    styles = COLUMNS[name]
    *_, last = styles.values()
    lines = [f"| Fault | {' | '.join(styles)} | `vmn doctor` |", "| --- | " + "--- | " * len(styles) + "--- |"]
    for fault in sorted(fault for fault in results if last in results[fault]):
        cells = [cell(results[fault].get(style)) for style in styles.values()]
        said = results[fault][last].get("doctor", ())
        lines.append(f"| {fault} | {' | '.join(cells)} | {', '.join(f'`{name}`' for name in said)} |")
    return "\n".join(lines)


def cell(entry: Mapping[str, Any] | None) -> str:
    """Return one result in a few words."""
    if entry is None:
        return "not run"
    if "gone_s" in entry:
        return f"pods gone after {entry['gone_s']} s"
    if "recreations" in entry:
        groups = f"{entry['recreations']} group{'s' * (entry['recreations'] != 1)}"
        if "seconds" in entry:
            return f"{groups} until then; served {entry['seconds']} s after it was back"
        return f"{groups} in {entry['observed_s']} s; {'says why' if entry['told'] else 'does not say why'}"
    lost = f"{entry['lost']} lost"
    if entry["lost"]:
        lost += f", {entry['dropped']} of them in work"
    if entry["longest_hang_s"] >= 10:
        lost += f", one hung for {entry['longest_hang_s']} s"
    if entry["hang"]:
        return f"**did not come back** in {entry['observed_s']} s; {lost}"
    if entry["outage_starts"] is None:
        return f"no interruption; {lost}"
    return f"back after {entry['outage_starts']} starts; {lost}"


def page(text: str, results: Results) -> str:
    """Return the page with the tables of the results in it."""
    for name in COLUMNS:
        begin, end = marks(name)
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table(results, name)}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), load()), encoding="utf-8")
