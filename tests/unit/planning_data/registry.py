"""The models of the registry."""

from __future__ import annotations

from functools import cache

from vmn.adapters.models import REGISTRY, Model, ModelError, registered_model


@cache
def planned() -> list[Model]:
    """Return the models that the planner supports."""
    found = []
    for path in sorted(REGISTRY.glob("*.json")):
        try:
            found.append(registered_model(path.stem.replace("--", "/", 1)))
        except ModelError:  # the planner does not support it
            continue
    return found
