"""The examples for Argo CD and Flux: health of a LeaderWorkerSet by their own code, and objects that they accept."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pytest
import yaml

from kit.cluster import Object
from kit.gitops import Health, aged, example, judge
from kit.paths import CHART, CHECKOUT
from kit.render import render
from localcluster.programs import version_of

pytestmark = pytest.mark.slow
DATA = CHECKOUT / "tests" / "chart" / "gitops_data" / "states.yaml"
STATES: list[dict[str, Any]] = yaml.safe_load(DATA.read_text(encoding="utf-8"))
PAGE = (CHECKOUT / "docs" / "gitops.md").read_text(encoding="utf-8")
BUDGET = {"startup": {"budgetSeconds": 3600}}


def group(values: dict[str, Any]) -> Object:
    """Return the LeaderWorkerSet that the chart renders."""
    return dict(render({**BUDGET, **values}, CHECKOUT / "values" / "deepseek-r1.yaml").one("LeaderWorkerSet"))


def live(state: dict[str, Any], values: dict[str, Any] | None = None) -> Object:
    """Return the object of a state, with times as if it were there now."""
    rendered = group(values or {})
    spec = {**rendered["spec"], "replicas": state["replicas"]}
    if rollout := state.get("rollout"):
        spec["rolloutStrategy"] = {"type": "RollingUpdate", "rollingUpdateConfiguration": rollout}
    metadata = {"name": "vllm", "namespace": "default", **state["metadata"]}
    document = {**rendered, "metadata": metadata, "spec": spec}
    if state["status"] is not None:
        document["status"] = state["status"]
    return aged(document, state["seen"], state.get("after", 0))


@cache
def answers() -> dict[str, Health]:
    """Return what Argo CD and Flux say of every state."""
    return dict(zip((state["state"] for state in STATES), judge([live(state) for state in STATES]), strict=True))


@pytest.mark.parametrize("state", STATES, ids=lambda state: state["state"])
def test_argocd_sees_a_state_as_it_is(state: dict[str, Any]) -> None:
    health = answers()[state["state"]]
    assert (health.argocd, state["message"] in health.message) == (state["argocd"], True), health


@pytest.mark.parametrize("state", STATES, ids=lambda state: state["state"])
def test_flux_waits_with_the_expressions_until_all_groups_are_ready(state: dict[str, Any]) -> None:
    health = answers()[state["state"]]
    assert (health.kstatus, health.flux) == (state["kstatus"], state["flux"])


def test_states_cover_each_status_of_argocd_and_the_trap_of_kstatus() -> None:
    assert {state["argocd"] for state in STATES} == {"Progressing", "Healthy", "Degraded"}
    loading = [state for state in STATES if state["kstatus"] == "Current" and state["flux"] != "Current"]
    assert len(loading) > len(STATES) / 2, "kstatus alone calls them done"


def one(name: str) -> dict[str, Any]:
    """Return a state by its name."""
    return next(state for state in STATES if state["state"] == name)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_deadlines_do_not_depend_on_the_time_zone_of_argocd(zone: str) -> None:
    states = [one("groups load the weights"), one("groups do not start")]
    found = judge([live(state) for state in states], {**os.environ, "TZ": zone})
    assert [health.argocd for health in found] == ["Progressing", "Degraded"]


def test_a_download_of_the_weights_doubles_the_time_that_argocd_allows() -> None:
    claim = {"type": "persistentVolumeClaim", "create": False, "claimName": "models"}
    download = {"weights": {"source": "volume", "volume": claim, "download": {"enabled": True}}}
    slow = {**one("groups do not start"), "after": 7000}
    slower = {**slow, "after": 8200}
    found = judge([live(slow), live(slow, download), live(slower, download)])
    assert [health.argocd for health in found] == ["Degraded", "Progressing", "Degraded"]


def test_health_is_that_of_any_leaderworkerset() -> None:
    """Also of one without probes, a leader template, a rollout strategy or replicas, which the API server defaults."""
    document = live(one("groups load the weights"))
    document["spec"] = {"leaderWorkerTemplate": {"workerTemplate": {"spec": {"containers": [{"name": "a"}]}}}}
    stuck = {**document, "status": live({**one("groups do not start"), "after": 5000})["status"]}
    assert [health.argocd for health in judge([document, stuck])] == ["Progressing", "Degraded"]


@pytest.mark.parametrize(("file", "kind"), [("argocd-application.yaml", "Application"), ("flux.yaml", "HelmRelease")])
def test_values_of_an_example_render_and_leave_one_job_for_the_weights(file: str, kind: str) -> None:
    spec = example(file, kind)["spec"]
    manifests = render(spec["values"] if kind == "HelmRelease" else spec["source"]["helm"]["valuesObject"])
    assert [job["metadata"]["name"].rpartition("-")[0] for job in manifests.all("Job")][:1] == ["vllm-weights"]


def test_examples_install_the_version_of_this_tree() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    assert example("argocd-application.yaml", "Application")["spec"]["source"]["targetRevision"] == version
    assert example("flux.yaml", "OCIRepository")["spec"]["ref"]["tag"] == version


def test_page_names_the_versions_of_the_code_that_is_asked() -> None:
    for project in ("argocd", "flux", "kstatus"):
        assert version_of(project).removeprefix("v") in PAGE, project


def test_no_command_of_a_guide_prunes_by_label_and_the_page_says_why() -> None:
    """LeaderWorkerSet 0.10 gives its StatefulSets the labels of the release, which kubectl then deletes (lws#896)."""
    guides = [CHECKOUT / "README.md", CHART / "UPGRADING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    lines = [line for guide in guides for line in guide.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if line.startswith("kubectl ") and "--prune" in line] == []
    assert "restarts every group at each apply" in PAGE.partition("## Do not prune by label")[2]
