"""Helm and ``vmn validate`` refuse every wrong values file with the expected message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.cases import expected, invalid_cases, model_cases
from kit.eitherhelm import either_helm
from kit.paths import CHART, name_of
from kit.render import Helm, HelmFailed, helm_program, render
from vmn.app.validation import values_problems

every_case = pytest.mark.parametrize("case", invalid_cases(), ids=name_of)
every_refused = pytest.mark.parametrize("case", [*invalid_cases(), *model_cases()], ids=name_of)


def test_there_are_cases_for_both_rings() -> None:
    rings = {item.ring for case in invalid_cases() for item in expected(case)}
    assert rings >= {"schema", "rules"}


@pytest.mark.slow
@every_case
@either_helm
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
    assert_rules_report_one_problem_per_line(failed.value.stderr, by_rules="schema" not in rings)


def assert_rules_report_one_problem_per_line(said: str, *, by_rules: bool) -> None:
    """Check that rules, and only they, report in their common form."""
    _, head, listed = said.partition(" problem(s) in the values:\n")
    lines = listed.rstrip().removesuffix("\n\nUse --debug flag to render out invalid YAML").splitlines()
    assert bool(head) == by_rules
    assert [line for line in lines if not re.match(r"^  - [\w.-]+: [a-z].* \(got .*\)\. [A-Z].*\.$", line)] == []


@pytest.mark.parametrize("case", model_cases(), ids=name_of)
def test_helm_renders_what_only_the_model_ring_refuses(case: Path) -> None:
    assert render(None, case).one("LeaderWorkerSet")


@every_refused
def test_vmn_refuses_the_case_with_the_message_and_nothing_else(case: Path) -> None:
    found = values_problems(CHART, case, helm=str(helm_program()))
    listed = "\n".join(f"{item.ring} {item.key}: {item.message}" for item in found)
    for item in expected(case):
        fits = [one for one in found if one.key == item.key and item.text in one.message and one.ring == item.ring]
        assert len(fits) == 1, f"wanted {item}, got:\n{listed}"
        assert fits[0].fix, f"no fix in: {fits[0]}"
    assert {item.key for item in found} == {item.key for item in expected(case)}
