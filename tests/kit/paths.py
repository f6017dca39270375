"""Where things are."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CHART = CHECKOUT / "charts" / "vllm-multinode"
CASES = CHECKOUT / "tests" / "cases"
OVERLAYS = [CHECKOUT / "values" / f"{name}.yaml" for name in ("deepseek-r1", "llama-405b", "tiny-cpu")]
"""The reference guide's models and the local cluster's, which go through every test."""
CATALOGUE = sorted({*(CHECKOUT / "values").glob("*.yaml")} - {*OVERLAYS})
"""The other values files, which are generated like the guide's two."""
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def name_of(path: object) -> str:
    """Return a file's name without its suffix, for the ids of parametrised tests."""
    return path.stem if isinstance(path, Path) else str(path)
