"""Progress of long work."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line about progress."""
