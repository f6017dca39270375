"""Paths in the checkout."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CHART = CHECKOUT / "charts" / "vllm-multinode"
CASES = CHECKOUT / "tests" / "cases"
OVERLAYS = [CHECKOUT / "values" / f"{name}.yaml" for name in ("deepseek-r1", "llama-405b", "tiny-cpu")]
"""Presets for the models of the reference guide and of the local cluster, which every test uses."""
CATALOGUE = sorted({*(CHECKOUT / "values").glob("*.yaml")} - {*OVERLAYS})
"""All other presets."""
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def name_of(path: object) -> str:
    """Return a file's name without its suffix, for the ids of parametrized tests."""
    return path.stem if isinstance(path, Path) else str(path)
