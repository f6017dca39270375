"""The groups that ``docs/gpu-runs.md`` speaks of: the chart's, an earlier chart's, and the guide's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gpu.twopods.models import write_models
from gpu.twopods.render import render_chart, render_manifests, write

HERE = Path(__file__).parent
LAYOUTS = {"pp2": (1, 2), "tp2": (2, 1)}
"""Layout -> tensor and pipeline parallel sizes, with one GPU for each node."""
FOUR = ("tp2pp2", "tp4", "pp4", "dp4")
"""Layouts with two GPUs for each node."""
WEIGHTS = ("in-place", "kept", "kept-standby", "on-disk")
"""What becomes of weights that are read from the disk."""
CHART: Mapping[str, tuple[str, ...]] = {
    **{f"llama8b-{layout}": ("llama8b", layout) for layout in LAYOUTS},
    "llama8b-tp2-few": ("llama8b", "tp2", "few-graphs"),
    **{f"dsr1-{layout}": ("dsr1", layout, "few-graphs") for layout in ("pp2", "tp2", "dp2")},
    "dsr1-pp2-rust": ("dsr1", "pp2", "few-graphs", "rust"),
    **{f"frontier-{layout}": ("frontier", layout) for layout in ("pp2", "tp2", "dp2")},
    **{f"{model}-pp2-bundle": (model, "pp2", "bundle") for model in ("llama8b", "dsr1")},
    **{f"{model}-alone": (model, "one-node", "bundle") for model in ("llama8b", "dsr1")},
    **{f"llama8b-pp2-bandwidth{how}": ("llama8b", "pp2", f"bandwidth{how}") for how in ("", "-nccl")},
    "llama8b-ray": ("llama8b", "pp2", "ray"),
    **{f"{model}-{layout}": (model, "four", layout) for model in ("llama8b", "llama70b") for layout in FOUR[:3]},
    "llama70b-tp2pp2-rust": ("llama70b", "four", "tp2pp2", "rust"),
    **{f"dsr1-12L-{layout}": ("dsr1-12L", "four", layout, "few-graphs") for layout in FOUR},
    "dsr1-12L-tp2pp2-rust": ("dsr1-12L", "four", "tp2pp2", "few-graphs", "rust"),
    **{f"v4flash-{layout}": ("v4flash", "four", layout) for layout in FOUR},
    **{f"small-{layout}": ("llama8b-8L", "small", layout) for layout in LAYOUTS},
    "small-dp2": ("dsr1-4L", "small", "dp2"),
    "small-tp2pp2": ("llama8b-8L", "small", "four", "tp2pp2"),
    "small-pp2-rust": ("llama8b-8L", "small", "pp2", "rust"),
    **{
        f"{model}-{layout}-{how}": (model, layout, how)
        for model in ("llama-half", "llama70b")
        for layout in LAYOUTS
        for how in WEIGHTS
    },
}
"""Group -> its values files, after ``common.yaml``."""
OLD = [*(f"{model}-{layout}" for model in ("llama8b", "dsr1") for layout in LAYOUTS), "llama8b-tp2-few"]
"""Groups of an earlier chart, which must know the values."""
GUIDE = {"llama8b": "llama8b", "dsr1": "dsr1-8L"}
"""Groups of the guide's way -> the model's directory."""
GUIDE_FOUR = {"llama70b": "llama70b", "dsr1-12L": "dsr1-12L"}
"""The same with two GPUs for each node, tensor parallelism in the node, and a pipeline across."""
SAME = "--load-format dummy --gpu-memory-utilization 0.85 --compilation-config "
"""What the guide's way must share with ``common.yaml``, as there are no weights."""
COMPILATION = '{"pass_config":{"fuse_allreduce_rms":false}}'
FEW_GRAPHS = '{"pass_config":{"fuse_allreduce_rms":false},"cudagraph_capture_sizes":[1,8,32,64,96,128,192,256]}'
"""The same with the sizes of ``few-graphs.yaml``."""


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
    guides = [(name, folder, layout, LAYOUTS[layout]) for name, folder in GUIDE.items() for layout in LAYOUTS]
    guides += [(name, folder, FOUR[0], (2, 2)) for name, folder in GUIDE_FOUR.items()]
    for name, folder, layout, (tensor, pipeline) in guides:
        flags = f"{SAME}'{FEW_GRAPHS if folder.startswith('dsr1') else COMPILATION}'"
        settings = {"model": f"/models/{folder}", "name": folder, "length": "8192", "more": flags}
        settings |= {"tensor": str(tensor), "pipeline": str(pipeline)}
        write(render_manifests(HERE / "guide.yaml", settings), groups / f"guide-{name}-{layout}.json")
        yield f"guide-{name}-{layout}"
    for name in write_models(out / "models", configs):
        yield f"models/{name}"


def _values(*names: str, more: list[Path]) -> list[Path]:
    return [HERE / "values" / f"{name}.yaml" for name in ("common", *names)] + more
