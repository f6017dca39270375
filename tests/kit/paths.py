"""Paths in the checkout."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CHART = CHECKOUT / "charts" / "vllm-multinode"
CASES = CHECKOUT / "tests" / "cases"
MAIN_PRESETS = [CHECKOUT / "values" / f"{name}.yaml" for name in ("deepseek-r1", "llama-405b", "tiny-cpu")]
"""Presets for the two models of the reference guide and for the local cluster, which every test uses."""
OTHER_PRESETS = sorted({*(CHECKOUT / "values").glob("*.yaml")} - {*MAIN_PRESETS})
"""All other presets."""
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def name_of(path: object) -> str:
    """Return a file's name without its suffix, for the ids of parametrized tests."""
    return path.stem if isinstance(path, Path) else str(path)
