"""Names that are similar to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def similar(given: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known names that a mistyped name probably stands for, the most likely first."""
    names = list(known)
    shorts = {name.lower().rpartition("/")[2]: name for name in names} | {name.lower(): name for name in names}
    wanted = given.lower()
    near = difflib.get_close_matches(wanted, list(shorts), n=2 * count, cutoff=0.6)
    within = [short for short in shorts if "/" not in short and wanted and wanted in short]
    return list(dict.fromkeys(shorts[short] for short in [*near, *within]))[:count]
