"""The table of signatures that ships with vmn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from vmn.core.doctor.signature import Signature, signatures

TABLE = Path(__file__).resolve().parent.parent / "data" / "signatures.yaml"


@cache
def load_signatures() -> list[Signature]:
    """Return the table.

    Raises:
        SignatureError: an entry is invalid.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return signatures(yaml.load(TABLE.read_text(encoding="utf-8"), loader))
