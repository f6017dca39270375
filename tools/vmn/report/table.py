"""Tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from vmn.report.terminal import WIDTH, colored


def aligned(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Sequence[int],
    painted: int | None = None,
    colors: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the lines of a table.

    Args:
        headings: names of the columns.
        rows: cells, as many in each row as there are headings.
        left: columns that are aligned to the left.
        painted: column whose words are colored, None for none.
        colors: code of the color of each word.
    """
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]

    def line(cells: Sequence[str], paint: bool) -> str:
        parts = []
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            part = cell.ljust(width) if column in left else cell.rjust(width)
            code = (colors or {}).get(cell) if paint and column == painted else None
            parts.append(part.replace(cell, colored(cell, code)) if code else part)
        return "  ".join(parts).rstrip()

    return [line(headings, False), *(line(row, painted is not None) for row in rows)]


def hanging(cells: Sequence[str], words: str) -> list[str]:
    """Return a row whose last cell is wrapped below itself."""
    start = "".join(f"{cell}  " for cell in cells)
    return textwrap.wrap(words, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
