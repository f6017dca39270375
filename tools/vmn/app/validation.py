"""Values files against the four rings: the schema, the chart's rules, vLLM's flags and variables, and the model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from vmn import __version__
from vmn.adapters.files import read_app_version, read_identity, read_schema, read_values
from vmn.adapters.helm import template_problems
from vmn.adapters.models import ModelError, registered_model
from vmn.adapters.vllm_interface import load_interface, load_renamed, version_of
from vmn.core.planning.gpus import Gpu, UnknownGpu, find_gpu
from vmn.core.planning.vllm.versions import UnknownVersion, behaviour
from vmn.core.values.model_rules import model_problems, product_of
from vmn.core.values.pairing import pairing_problem
from vmn.core.values.problem import ValuesProblem
from vmn.core.values.schema import schema_problems
from vmn.core.values.vllm_rules import vllm_problems
from vmn.core.values.yaml import Values, ValuesError, effective, merged, sets


def values_problems(chart: Path, *files: Path, helm: str = "helm", gpu: Gpu | None = None) -> list[ValuesProblem]:
    """Return everything that is wrong with values files that are used together.

    Args:
        chart: directory of the chart.
        files: values files; the last one wins, as with Helm.
        helm: the program.
        gpu: GPU of the nodes; by default the product that the values select, if they do.

    Raises:
        OSError: a file can't be read.
        MissingError: Helm is not on PATH.
    """
    contents: list[Values] = []
    unreadable: list[ValuesProblem] = []
    for file in files:
        try:
            contents.append(read_values(file))
        except ValuesError as error:
            unreadable.append(_unreadable(file, error))
    if unreadable:
        return unreadable
    if wrong_chart := pairing_problem(*read_identity(chart), __version__):
        return [replace(wrong_chart, file=str(chart / "Chart.yaml"))]
    values = effective(read_values(chart / "values.yaml"), reduce(merged, contents))
    found = schema_problems(values, read_schema(chart))
    known = {problem.key for problem in found}
    rules = template_problems(chart, files, only_rules=bool(found), helm=helm)
    found += [problem for problem in rules if not problem.key or problem.key not in known]
    known = {problem.key for problem in found}
    found += [problem for problem in _vllm_problems(chart, values) if problem.key not in known]
    found = found or _model_problems(chart, values, gpu)
    return [replace(problem, file=_origin(problem.key, files, contents)) for problem in found]


def _unreadable(file: Path, error: ValuesError) -> ValuesProblem:
    where = f" (line {error.line})" if error.line and not error.key else ""
    fix = "Keep one of the two." if error.key else "Correct the syntax."
    return ValuesProblem(error.key, "", f"{error.reason}{where}", fix, "yaml", str(file))


def _origin(key: str, files: Sequence[Path], contents: Sequence[Values]) -> str:
    """Return the last file that sets a key; all files when none does."""
    setting = [file for file, values in zip(files, contents, strict=True) if key and sets(values, key)]
    return str(setting[-1]) if setting else " + ".join(map(str, files))


def _vllm_problems(chart: Path, values: Values) -> list[ValuesProblem]:
    """Return what the installed version of vLLM refuses or does not read; nothing for a version without a table."""
    engine = values.get("engine")
    if not isinstance(engine, Mapping) or not all(isinstance(engine.get(key), Mapping) for key in ("args", "env")):
        return []
    version = version_of(values, read_app_version(chart))
    interface = load_interface(version) if version else None
    return vllm_problems(values, interface, load_renamed()) if interface else []


def _model_problems(chart: Path, values: Values, gpu: Gpu | None) -> list[ValuesProblem]:
    """Return what the model's shapes rule out; nothing for a model that is not in the registry."""
    section = values.get("model")
    name = section.get("name") if isinstance(section, Mapping) else None
    try:
        model = registered_model(str(name or ""))
    except ModelError:
        return []
    product = product_of(values)
    if gpu is None and product:
        with contextlib.suppress(UnknownGpu):
            gpu = find_gpu(product)
    return model_problems(values, model.architecture, gpu, _planned(version_of(values, read_app_version(chart))))


def _planned(version: str | None) -> str | None:
    """Return a version that can be planned for, None for another."""
    try:
        return version if version and behaviour(version) else None
    except UnknownVersion:
        return None
