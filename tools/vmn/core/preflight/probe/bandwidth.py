"""The check of the bandwidth: the chart's own init container, run by a probe, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmn.core.cluster.rendered import RenderedRelease, plain_env
from vmn.core.preflight.probe.problem import Answer, ProbeProblem
from vmn.core.preflight.result import CheckStatus

if TYPE_CHECKING:
    from vmn.core.preflight.probe.expectations import Expectations

CONTAINER = "bandwidth"
"""Name of the chart's init container, and end of the name of the ConfigMap with its program."""
SPEC, PROGRAM = "MULTINODE_BANDWIDTH", "MULTINODE_PROGRAM"
"""Variables of that container: its settings as JSON, and the program that fabric.sh starts."""
NODE = "MULTINODE_NODE"
FOLDER = "bandwidth"
"""Directory of the program below that of the probe."""
SCRIPTS = ("fabric.sh", "common.sh")
"""Scripts of the release without which the fabrics of some vendors do not work."""
MEET = 120
"""Seconds for the ranks to meet: the pods have reached each other already, and PyTorch takes some time to load."""
OWN = ("HOME", PROGRAM)
"""Variables that the init container has in addition to those of vLLM's container."""


@dataclass(frozen=True)
class BandwidthCheck:
    """What a probe runs to measure the bandwidth.

    Attributes:
        command: the command, in the directory of the program.
        env: variables in addition to those of vLLM's container.
        files: the program and its scripts, by name.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the probe's pods."""
        return {"command": list(self.command), "env": dict(self.env), "folder": FOLDER}


def bandwidth_check(release: RenderedRelease, root: str) -> BandwidthCheck | str:
    """Return what measures the bandwidth, or why it can't be measured before the release is installed.

    Args:
        release: the release, rendered with the check.
        root: directory of the probe's files in its pods.
    """
    spec = release.pods[0].spec
    if spec.get("resourceClaims"):
        return "the pods claim devices that come with the release: set fabric.bandwidthCheck.enabled instead"
    container = next(item for item in spec["initContainers"] if item["name"] == CONTAINER)
    volumes = {item["name"]: item for item in spec["volumes"]}
    program = _data(release, volumes[CONTAINER]["configMap"]["name"])
    given = plain_env(container)
    settings = {**json.loads(given[SPEC]), "meet": MEET, "stays": False}
    main = f"{root}/{FOLDER}/bandwidth.py"
    env = {name: given[name] for name in OWN if name in given}
    if PROGRAM not in env:
        return BandwidthCheck(("python3", "-B", main), {**env, SPEC: json.dumps(settings)}, program)
    scripts = _data(release, volumes["scripts"]["configMap"]["name"])
    files = {**program, **{name: scripts[name] for name in SCRIPTS}}
    env |= {PROGRAM: main, SPEC: json.dumps(settings)}
    return BandwidthCheck(("/bin/bash", f"{root}/{FOLDER}/fabric.sh"), env, files)


def _data(release: RenderedRelease, name: str) -> dict[str, str]:
    found = next(item for item in release.of_kind("ConfigMap") if item["metadata"]["name"] == name)
    return dict(found["data"])


def not_measured(expected: Expectations) -> str | None:
    """Return why the bandwidth is not measured, None when it is."""
    return None if expected.bandwidth else expected.no_bandwidth


def problems(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Yield what the program says is wrong: it has measured with all pods, and knows which of them is at fault."""
    if answer.get("skipped"):
        yield ProbeProblem(f"not measured: {answer['skipped']}", "Correct that first.", CheckStatus.WARN)
    for item in answer["problems"]:
        yield ProbeProblem(item["text"], item["fix"], CheckStatus.FAIL if item["fails"] else CheckStatus.WARN)


def summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return what was measured, which is the same for all pods."""
    return str(answers[0]["summary"])
