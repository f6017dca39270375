"""When ``vmn tune`` leaves a release alone, before anything on it has changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.tuning import FAST, FOUND, TuneCluster, metrics, tune, tuned_release

pytestmark = pytest.mark.slow


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TuneCluster]:
    """Serve a release of DeepSeek-R1 on two nodes, with its kubeconfig in KUBECONFIG and Helm on PATH."""
    with tuned_release(tmp_path, monkeypatch) as own:
        yield own


def test_flag_that_the_chart_sets_is_refused_before_anything_changes(fake: TuneCluster) -> None:
    done = tune("tensor-parallel-size=4")
    assert done.exit_code == 1
    assert "engine.args.tensor-parallel-size" in done.stderr
    assert fake.helm.state["calls"] == []


def test_flag_that_vllm_does_not_know_is_refused_before_anything_changes(fake: TuneCluster) -> None:
    done = tune("max-num-sequences=4", FAST)
    assert done.exit_code == 0
    assert "max-num-sequences=4 is not tried" in done.stderr
    assert len(fake.helm.state["calls"]) == 2


@pytest.mark.parametrize(
    ("before", "words"),
    [(metrics(2, 1), "2 requests run, 1 wait"), (metrics(0, 3), "3 wait"), ("", "metrics can't be read")],
)
def test_release_that_serves_others_is_left_alone(fake: TuneCluster, before: str, words: str) -> None:
    fake.texts = {"vllm-0:8080/metrics": before} if before else {}
    done = tune(FAST)
    assert done.exit_code == 1
    assert words in done.stderr
    assert not fake.most


def test_requests_of_others_during_the_first_measurement_end_the_run(fake: TuneCluster) -> None:
    fake.others = 7
    done = tune(FAST)
    assert done.exit_code == 1
    assert "the release is serving other clients: 21 of their requests ended" in done.stdout
    assert fake.helm.state["calls"] == []
    assert tune(FAST, more=("--yes",)).exit_code == 0


def lease(seconds: float) -> dict[str, Any]:
    """Return the Lease of another process, renewed some seconds ago."""
    at = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "kind": "Lease",
        "metadata": {"name": "vmn-tune-vllm"},
        "spec": {"holderIdentity": "eve on her machine", "renewTime": at},
    }


def test_second_run_at_the_same_time_is_refused(fake: TuneCluster) -> None:
    fake.made["leases", "vmn-tune-vllm"] = lease(10)
    done = tune(FAST)
    assert done.exit_code == 1
    assert "eve on her machine is tuning it" in done.stderr
    assert ("leases", "vmn-tune-vllm") in fake.made
    assert "jobs" not in fake.most


def test_lease_of_a_process_that_was_killed_is_taken(fake: TuneCluster) -> None:
    fake.made["leases", "vmn-tune-vllm"] = lease(1000)
    assert tune(FAST).exit_code == 0
    assert not fake.made


def test_release_in_an_unclear_state_is_left_alone(fake: TuneCluster) -> None:
    fake.helm.change(revisions=[{**fake.helm.present, "status": "pending-upgrade"}])
    done = tune(FAST)
    assert done.exit_code == 1
    assert f"Revision {FOUND} is pending-upgrade" in done.stderr
    assert fake.most == {}


def test_release_that_helm_does_not_know_is_left_alone(fake: TuneCluster) -> None:
    fake.helm.change(revisions=[])
    done = tune(FAST)
    assert done.exit_code == 1
    assert "Helm has no release" in done.stderr


def test_other_chart_than_the_release_s_is_refused(fake: TuneCluster) -> None:
    fake.helm.change(chart={"replicas": 7})
    done = tune(FAST)
    assert done.exit_code == 1
    assert "Measurements would compare both charts" in done.stderr


def test_plan_that_can_not_rank_needs_settings_of_the_user(fake: TuneCluster) -> None:
    fake.objects = {**fake.objects, "nodes": []}
    done = tune()
    assert done.exit_code == 1
    assert "Name them with --try" in done.stderr
    assert tune(FAST).exit_code == 0


def test_words_that_are_not_a_setting_are_refused() -> None:
    done = tune("max-num-seqs")
    assert done.exit_code == 2
    assert "'max-num-seqs' is not FLAG=VALUE" in done.stderr
