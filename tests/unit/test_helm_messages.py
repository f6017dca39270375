"""Ring 2: reading Helm's messages."""

from __future__ import annotations

import pytest

from vmn.core.values.helm_messages import render_problem, rule_problems

HEAD = "Error: execution error at (vllm-multinode/templates/validation/first/validate.yaml:14:4): \n"
MESSAGE = """vllm-multinode: 5 problem(s) in the values:
  - parallelism.tensor: must divide 8 GPUs (got 6). Use 1, 2, 4 or 8.
  - service.name: is the name of the LeaderWorkerSet (got "vllm"). Choose another.
    It is taken.
  - fabric.networks: is for RDMA: fabric.profile is tcp (got ["a. (B)", "c"]). Remove it.
  - auth: both forms are set. Keep one.
  - podLabels[example.com/team]: must be text (got 8). Write "8".

Use --debug flag to render out invalid YAML
"""


def test_rule_problems_returns_key_value_reason_and_fix() -> None:
    found = rule_problems(HEAD + MESSAGE)
    assert [(item.key, item.value, item.reason, item.fix) for item in found] == [
        ("parallelism.tensor", "6", "must divide 8 GPUs", "Use 1, 2, 4 or 8."),
        ("service.name", '"vllm"', "is the name of the LeaderWorkerSet", "Choose another. It is taken."),
        ("fabric.networks", '["a. (B)", "c"]', "is for RDMA: fabric.profile is tcp", "Remove it."),
        ("auth", "", "both forms are set", "Keep one."),
        ("podLabels[example.com/team]", "8", "must be text", 'Write "8".'),
    ]
    assert found[0].message == "must divide 8 GPUs (got 6). Use 1, 2, 4 or 8."
    assert found[3].message == "both forms are set. Keep one."


@pytest.mark.parametrize("stderr", ["", "Error: values don't meet the specifications of the schema(s)\n"])
def test_rule_problems_is_empty_when_helm_says_something_else(stderr: str) -> None:
    assert rule_problems(stderr) == []


def test_render_problem_keeps_what_helm_said() -> None:
    stderr = "WARNING: x\nError: parse error at (a.yaml:3): bad\n\nUse --debug flag to render out invalid YAML\n"
    assert "parse error at (a.yaml:3): bad" in render_problem(stderr).message
    assert "WARNING" not in render_problem(stderr).message
