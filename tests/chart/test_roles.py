"""Leader and worker share one pod template, except for what their roles need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.cases import valid_cases
from kit.diff import changed_paths
from kit.paths import CI_VALUES, MAIN_PRESETS, name_of
from kit.render import render

ALLOWED = (
    r"metadata\.labels\.(?:app\.kubernetes\.io/component|role|.*/role)",
    r"spec\.containers\[vllm-(?:leader|worker)\]",
)
"""Paths at which the two templates may differ. Fields of the containers follow below."""
ALLOWED_IN_CONTAINER = (
    r"name",
    r"ports(?:\[.*)?",
    r"(?:startup|liveness|readiness)Probe(?:\..*)?",
    r"lifecycle(?:\..*)?",
)
every_file = pytest.mark.parametrize("file", [*MAIN_PRESETS, *CI_VALUES, *valid_cases()], ids=name_of)


@every_file
def test_worker_differs_from_leader_only_by_role(file: Path) -> None:
    templates = render(None, file).templates()
    outside = changed_paths(templates["leader"], templates["worker"])
    assert [path for path in outside if not any(re.fullmatch(form, path) for form in ALLOWED)] == []
    leader, worker = (templates[role]["spec"]["containers"][0] for role in ("leader", "worker"))
    inside = changed_paths(leader, worker)
    assert [path for path in inside if not any(re.fullmatch(form, path) for form in ALLOWED_IN_CONTAINER)] == []


@every_file
def test_both_roles_have_the_same_arguments_when_they_start(file: Path) -> None:
    templates = render(None, file).templates()
    leader, worker = (templates[role]["spec"]["containers"][0] for role in ("leader", "worker"))
    assert [*leader.get("command", []), *leader.get("args", [])] == [
        *worker.get("command", []),
        *worker.get("args", []),
    ]
    assert leader["env"] == worker["env"]
    assert leader["resources"] == worker["resources"]
