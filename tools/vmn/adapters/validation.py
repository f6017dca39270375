"""A values file through the rings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vmn.adapters.files import read_schema, read_values
from vmn.adapters.helm import template_problems
from vmn.core.problem import Problem
from vmn.core.schema import schema_problems
from vmn.core.values import ValuesError, effective


def validate_file(chart: Path, file: Path, *, helm: str = "helm") -> list[Problem]:
    """Return all that is wrong with one values file.

    Raises:
        OSError: a file can't be read.
        MissingError: there is no Helm.
    """
    try:
        values = read_values(file)
    except ValuesError as error:
        where = f" (line {error.line})" if error.line and not error.key else ""
        fix = "Keep one of the two." if error.key else "Mend the file's syntax."
        return [Problem(error.key, "", f"{error.reason}{where}.", fix, "yaml", str(file))]
    found = schema_problems(effective(read_values(chart / "values.yaml"), values), read_schema(chart))
    told = {problem.key for problem in found}
    rules = template_problems(chart, [file], only_rules=bool(found), helm=helm)
    found += [problem for problem in rules if not problem.key or problem.key not in told]
    return [replace(problem, file=str(file)) for problem in found]
