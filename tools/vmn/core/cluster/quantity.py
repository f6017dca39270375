"""Kubernetes quantities: ``8``, ``500m``, ``200Gi``."""

from __future__ import annotations

import re
from decimal import Decimal

QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:([eE][+-]?\d+)|([KMGTPE]i)|([munkMGTPE]))?")
BINARY = {f"{prefix}i": 1024 ** (index + 1) for index, prefix in enumerate("KMGTPE")}
DECIMAL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")} | {
    prefix: Decimal(1000) ** (index + 1) for index, prefix in enumerate("kMGTPE")
}


def quantity(value: object) -> Decimal:
    """Return a quantity as a number of cores, bytes, or pieces.

    Raises:
        ValueError: the value is not a quantity.
    """
    found = QUANTITY.fullmatch(str(value))
    if not found:
        raise ValueError(f"{value} is not a Kubernetes quantity")
    number, exponent, binary, decimal = found.groups()
    if exponent:
        return Decimal(number + exponent)
    return Decimal(number) * (BINARY.get(binary, 1) if binary else DECIMAL.get(decimal, 1))


def written(resource: str, amount: Decimal) -> str:
    """Return an amount for people: memory and storage in GiB, everything else unchanged."""
    if resource in ("memory", "ephemeral-storage", "storage"):
        return f"{amount / 2**30:.0f}Gi"
    return f"{amount.normalize():f}"
