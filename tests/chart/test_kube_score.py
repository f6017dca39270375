"""kube-score accepts everything that the chart renders, except for a short list with reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.cases import valid_cases
from kit.paths import CI_VALUES, MAIN_PRESETS, name_of
from kit.render import render
from kit.score import complaints, exceptions

pytestmark = pytest.mark.slow
EVERY = [*MAIN_PRESETS, *CI_VALUES, *valid_cases()]


@pytest.mark.parametrize("file", EVERY, ids=name_of)
def test_kube_score_accepts_everything_but_the_exceptions(file: Path) -> None:
    assert complaints(render(None, file), exceptions()) == set()


def test_every_exception_is_needed_and_has_a_reason() -> None:
    found = {check for file in EVERY for _, check in complaints(render(None, file))}
    assert set(exceptions()) <= found, "an exception that nothing needs hides what comes next"
    assert all(len(reason) > 20 for reason in exceptions().values())


def test_kube_score_checks_the_pods_of_a_leaderworkerset() -> None:
    values = {
        "model": {"name": "deepseek-ai/DeepSeek-R1"},
        "security": {"containerSecurityContext": {"privileged": True}},
    }
    found = complaints(render(values), exceptions())
    assert {check for _, check in found} == {"container-security-context-privileged"}
    assert len(found) == 2, "both roles"
