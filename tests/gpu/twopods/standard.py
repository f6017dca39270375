"""The groups that ``docs/gpu-runs.md`` speaks of: the chart's, an earlier chart's, and the guide's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gpu.twopods.models import write_models
from gpu.twopods.render import render_chart, render_manifests, write

HERE = Path(__file__).parent
LAYOUTS = {"pp2": (1, 2), "tp2": (2, 1)}
"""Layout -> tensor and pipeline parallel sizes."""
CHART: Mapping[str, tuple[str, ...]] = {
    **{f"{model}-{layout}": (model, layout) for model in ("llama8b", "dsr1") for layout in LAYOUTS},
    "dsr1-dp2": ("dsr1", "dp2"),
    **{f"frontier-{layout}": ("frontier", layout) for layout in ("pp2", "tp2", "dp2")},
    **{f"{model}-pp2-bundle": (model, "pp2", "bundle") for model in ("llama8b", "dsr1")},
    **{f"{model}-alone": (model, "one-node", "bundle") for model in ("llama8b", "dsr1")},
    "llama8b-ray": ("llama8b", "pp2", "ray"),
}
"""Group -> its values files, after ``common.yaml``."""
OLD = [f"{model}-{layout}" for model in ("llama8b", "dsr1") for layout in LAYOUTS]
"""Groups of an earlier chart, which must know the values."""
GUIDE = {"llama8b": "llama8b", "dsr1": "dsr1-8L"}
"""Groups of the guide's way -> the model's directory."""
SAME = "--load-format dummy --gpu-memory-utilization 0.85"
"""What the guide's way must share with ``common.yaml``, as there are no weights."""


def prepare(out: Path, old: Path | None, configs: Path | None, more: list[Path]) -> Iterator[str]:
    """Write all groups to ``groups`` and all models to ``models`` in a directory, and yield what was written.

    Args:
        out: the directory.
        old: a checkout of an earlier chart, for the groups whose names begin with ``old-``.
        configs: directory of further models, as NAME/config.json.
        more: values files after all others, such as for a flag to be tried.

    Raises:
        kit.render.HelmFailed: Helm refuses the values.
    """
    groups = out / "groups"
    groups.mkdir(parents=True, exist_ok=True)
    for name, files in CHART.items():
        write(render_chart(_values(*files, more=more)), groups / f"{name}.json")
        yield name
    for name in OLD if old else ():
        write(render_chart(_values(*CHART[name], more=[]), old), groups / f"old-{name}.json")
        yield f"old-{name}"
    for name, folder in GUIDE.items():
        for layout, (tensor, pipeline) in LAYOUTS.items():
            settings = {"model": f"/models/{folder}", "name": folder, "length": "8192", "more": SAME}
            settings |= {"tensor": str(tensor), "pipeline": str(pipeline)}
            write(render_manifests(HERE / "guide.yaml", settings), groups / f"guide-{name}-{layout}.json")
            yield f"guide-{name}-{layout}"
    for name in write_models(out / "models", configs):
        yield f"models/{name}"


def _values(*names: str, more: list[Path]) -> list[Path]:
    return [HERE / "values" / f"{name}.yaml" for name in ("common", *names)] + more
