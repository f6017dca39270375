"""The workflows of GitHub Actions: what actionlint says, what they pin, and that they use this project's versions."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import simulated
from kit.paths import CHECKOUT, name_of
from localcluster.programs import program, version_of

FOLDER = CHECKOUT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yaml"))
WRITES: Mapping[tuple[str, str], set[str]] = {
    ("release", "publish"): {"contents", "packages", "id-token", "attestations"},
}
"""Jobs that may change something outside of their machine, and what."""
every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=name_of)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def actionlint(file: Path) -> tuple[int, str]:
    """Return the status and the output, with shellcheck of this environment over the scripts."""
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run(
        [program("actionlint"), "-no-color", "-shellcheck", shellcheck, file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def jobs(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and content of a workflow's jobs."""
    yield from yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].items()


def test_there_is_a_workflow() -> None:
    assert WORKFLOWS


@every_workflow
def test_workflow_passes_actionlint(file: Path) -> None:
    assert actionlint(file) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-1.04", 'label "ubuntu-1.04" is unknown'),
        ("timeout-minutes: 45", "timeout-minute: 45", 'unexpected key "timeout-minute"'),
        ("github.ref }}", "github.rf }}", 'property "rf" is not defined'),
        ('"$release/kwok.yaml"', "$release/kwok.yaml", "SC2086"),
    ],
    ids=["runner", "key", "expression", "script"],
)
def test_actionlint_refuses_a_broken_workflow(tmp_path: Path, right: str, wrong: str, words: str) -> None:
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    assert right in text
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(right, wrong), encoding="utf-8")
    code, said = actionlint(broken)
    assert code == 1
    assert words in said


@every_workflow
def test_every_action_is_pinned_by_commit_with_its_version(file: Path) -> None:
    used = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []


@pytest.mark.parametrize("used", ["actions/checkout@v6", "actions/checkout@df4cb1c # v6.0.3", f"a/b@{'0' * 40}"])
def test_an_action_without_commit_or_version_is_found(used: str) -> None:
    assert not PINNED.fullmatch(used)


@every_workflow
def test_workflow_only_reads_but_to_publish_and_every_job_ends(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in jobs(file):
        assert 0 < job["timeout-minutes"] <= 90, name
        assert job.get("permissions", {}) == dict.fromkeys(WRITES.get((file.stem, name), ()), "write"), name


def test_only_a_tag_publishes_and_a_person_approves() -> None:
    file = FOLDER / "release.yaml"
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow[True] == {"push": {"tags": ["v*"]}}, "YAML reads `on` as true"
    publish = dict(jobs(file))["publish"]
    assert (publish["needs"], publish["environment"]) == ("build", "release")


def test_release_uses_the_versions_that_are_tested_here() -> None:
    publish = dict(jobs(FOLDER / "release.yaml"))["publish"]
    given = {step["uses"].split("@")[0]: step.get("with", {}) for step in publish["steps"] if "uses" in step}
    assert given["azure/setup-helm"]["version"] == version_of("helm")
    assert given["sigstore/cosign-installer"]["cosign-release"] == version_of("cosign")


def test_release_calls_targets_of_the_makefile() -> None:
    text = (FOLDER / "release.yaml").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = set(re.findall(r"run: make ([a-z-]+)", text))
    assert called == {"release-check", "lint", "test-fast", "release", "release-upload"}
    assert called <= targets


def test_workflow_installs_the_versions_that_are_tested_here() -> None:
    (job,) = [job for name, job in jobs(FOLDER / "chart.yaml") if name == "install"]
    given = {step["uses"].split("@")[0]: step.get("with", {}) for step in job["steps"] if "uses" in step}
    assert job["env"] == {"LWS": version_of("lws"), "KWOK": version_of("kwok")}
    assert given["azure/setup-helm"]["version"] == version_of("helm")
    ct = version_of("ct")
    assert given["helm/chart-testing-action"]["version"] == ct.removeprefix("v")


def test_simulated_values_are_those_of_the_tests() -> None:
    file = CHECKOUT / "tests" / "cluster" / "simulated-values.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == simulated.VALUES
