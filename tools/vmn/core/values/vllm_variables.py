"""Values of ``engine.env`` that vLLM can't read, of the variables that the planner knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmn.core.planning.vllm.environment import VARIABLES, Misread, read
from vmn.core.values.problem import ValuesProblem, shown


def unreadable_variables(env: Mapping[str, object], ring: str) -> Iterator[ValuesProblem]:
    """Yield the variables with values with which vLLM does not start.

    Args:
        env: the variables.
        ring: the check that asks.
    """
    for name, value in env.items():
        if name in VARIABLES:
            try:
                read(name, value)
            except Misread as error:
                yield ValuesProblem(f"engine.env.{name}", shown(value), error.reason, error.fix, ring)
