"""How long the name of a release may be when its groups wait in a queue of Kueue."""

from __future__ import annotations

from typing import Any

import pytest

from kit.paths import CHECKOUT
from kit.render import HelmFailed, render
from vmn.core.values.helm_messages import rule_problems
from vmn.core.values.yaml import merged

pytestmark = pytest.mark.slow
PRESET = CHECKOUT / "values" / "deepseek-r1.yaml"
QUEUED: dict[str, Any] = {"scheduling": {"queueName": "gpus"}}
LABEL = 63
"""Characters that the value of a label may have."""
NUMBERS: dict[str, tuple[dict[str, Any], int]] = {
    # how the number of groups is set: (values, the largest index of a group)
    "one": ({"group": {"replicas": 1}}, 0),
    "ten": ({"group": {"replicas": 10}}, 9),
    "eleven": ({"group": {"replicas": 11}}, 10),
    "a hundred and one": ({"group": {"replicas": 101}}, 100),
    "autoscaled": ({"autoscaling": {"type": "hpa", "maxReplicas": 12}}, 11),
    "by kubectl scale": ({"group": {"replicas": None}}, 99),
}


def workload(name: str, group: int) -> str:
    """Return the Workload's name, with which Kueue labels pods (0.17.0, jobframework/workload_names.go)."""
    return f"leaderworkerset-{name}-{group}-abcde"


def refused(name: str, values: dict[str, Any]) -> list[str]:
    try:
        render(merged(values, {"fullnameOverride": name}), PRESET)
    except HelmFailed as failed:
        return [item.key for item in rule_problems(failed.stderr)]
    return []


@pytest.mark.parametrize("number", NUMBERS)
def test_longest_name_is_the_one_whose_workload_fits_into_a_label(number: str) -> None:
    values, last = NUMBERS[number]
    longest = LABEL - len(workload("", last))
    assert refused("a" * longest, merged(values, QUEUED)) == []
    assert refused("a" * (longest + 1), merged(values, QUEUED)) == ["fullnameOverride"]


@pytest.mark.parametrize("length", [39, 40, 43, 45, 46, 53])
def test_name_of_every_length_is_accepted_or_refused_once(length: int) -> None:
    assert refused("a" * length, QUEUED) == (["fullnameOverride"] if length > 39 else [])
    assert refused("a" * length, {}) == (["fullnameOverride"] if length > 45 else [])
