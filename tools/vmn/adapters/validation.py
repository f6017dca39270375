"""A values file through the three rings: schema, the chart's rules, the model's own."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmn.adapters.files import read_schema, read_values
from vmn.adapters.helm import template_problems
from vmn.core.values.problem import ValuesProblem
from vmn.core.values.schema import schema_problems
from vmn.core.values.yaml import Values, ValuesError, effective

if TYPE_CHECKING:
    from vmn.core.planning.gpus import Gpu


def validate_file(chart: Path, file: Path, *, helm: str = "helm", gpu: Gpu | None = None) -> list[ValuesProblem]:
    """Return all that is wrong with one values file.

    Args:
        chart: the chart's folder.
        file: the values file.
        helm: the program.
        gpu: what the nodes have; by default the product that the file asks for, if it does.

    Raises:
        OSError: a file can't be read.
        MissingError: there is no Helm.
    """
    try:
        values = read_values(file)
    except ValuesError as error:
        where = f" (line {error.line})" if error.line and not error.key else ""
        fix = "Keep one of the two." if error.key else "Mend the file's syntax."
        return [ValuesProblem(error.key, "", f"{error.reason}{where}.", fix, "yaml", str(file))]
    together = effective(read_values(chart / "values.yaml"), values)
    found = schema_problems(together, read_schema(chart))
    told = {problem.key for problem in found}
    rules = template_problems(chart, [file], only_rules=bool(found), helm=helm)
    found += [problem for problem in rules if not problem.key or problem.key not in told]
    found = found or _model_ring(together, gpu)
    return [replace(problem, file=str(file)) for problem in found]


def _model_ring(values: Values, gpu: Gpu | None) -> list[ValuesProblem]:
    """Return what the model's shapes rule out; nothing for a model that the registry has not."""
    from vmn.adapters.models import ModelError, registered_model
    from vmn.core.planning.gpus import UnknownGpu, find_gpu
    from vmn.core.values.model_rules import model_problems, product_of

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
    return model_problems(values, model.architecture, gpu)
