"""Helm and ``vmn validate`` refuse every wrong values file with the expected message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.cases import expected, invalid_cases, model_cases
from kit.paths import CHART, name_of
from kit.render import Helm, HelmFailed, helm_program, render
from vmn.app.validation import values_problems

every_case = pytest.mark.parametrize("case", invalid_cases(), ids=name_of)
every_refused = pytest.mark.parametrize("case", [*invalid_cases(), *model_cases()], ids=name_of)


def test_there_are_cases_for_both_rings() -> None:
    rings = {item.ring for case in invalid_cases() for item in expected(case)}
    assert rings >= {"schema", "rules"}


@every_case
@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_helm_refuses_the_case_and_names_the_key(case: Path, helm: Helm) -> None:
    with pytest.raises(HelmFailed) as failed:
        render(None, case, helm=helm)
    said = re.sub(r"\s+", " ", failed.value.stderr)
    wanted = expected(case)
    rings = {item.ring for item in wanted}
    for item in wanted:
        if item.ring == "rules" and "schema" not in rings:  # Helm stops at the schema
            assert f" - {item.key}: " in said, said
            assert item.text in said, said
        if item.ring == "schema":
            assert item.key.partition("[")[0].rpartition(".")[2] in said, said


@every_case
def test_rules_report_one_problem_per_line_in_the_common_form(case: Path) -> None:
    with pytest.raises(HelmFailed) as failed:
        render(None, case)
    _, head, listed = failed.value.stderr.partition(" problem(s) in the values:\n")
    lines = listed.rstrip().removesuffix("\n\nUse --debug flag to render out invalid YAML").splitlines()
    assert bool(head) == ("schema" not in {item.ring for item in expected(case)})
    assert [line for line in lines if not re.match(r"^  - [\w.-]+: [a-z].* \(got .*\)\. [A-Z].*\.$", line)] == []


@pytest.mark.parametrize("case", model_cases(), ids=name_of)
def test_helm_renders_what_only_the_model_ring_refuses(case: Path) -> None:
    assert render(None, case).one("LeaderWorkerSet")


@every_refused
def test_vmn_refuses_the_case_with_the_message(case: Path) -> None:
    found = values_problems(CHART, case, helm=str(helm_program()))
    listed = "\n".join(f"{item.ring} {item.key}: {item.message}" for item in found)
    for item in expected(case):
        fits = [one for one in found if one.key == item.key and item.text in one.message and one.ring == item.ring]
        assert len(fits) == 1, f"wanted {item}, got:\n{listed}"
        assert fits[0].fix, f"no fix in: {fits[0]}"


@every_refused
def test_case_expects_every_problem_that_vmn_finds(case: Path) -> None:
    found = {item.key for item in values_problems(CHART, case, helm=str(helm_program()))}
    assert found == {item.key for item in expected(case)}
