"""The table of signatures that ships with vmn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from vmn.core.doctor.signature import Signature, signatures
from vmn.core.values.yaml import SafeLoader

TABLE = Path(__file__).resolve().parent.parent / "data" / "signatures.yaml"


@cache
def load_signatures() -> list[Signature]:
    """Return the table.

    Raises:
        SignatureError: an entry is invalid.
    """
    return signatures(yaml.load(TABLE.read_text(encoding="utf-8"), SafeLoader))
