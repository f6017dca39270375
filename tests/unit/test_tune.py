"""What ``vmn tune`` makes of measurements, pods, and revisions, and when it leaves a release alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.tuning import metrics
from kit.fakecluster import FakeCluster
from kit.paths import CHART, CHECKOUT
from kit.render import helm_template, render
from kit.smallhelm import secret_of, stored
from unit.doctor_data.world import World, stamp
from unit.test_bench import RESULT
from vmn.adapters.cluster import connect
from vmn.adapters.engine_metrics import read_traffic
from vmn.adapters.helm_release import HelmError, HelmRelease, unpack_chart
from vmn.app.tune_run import cause_of
from vmn.core.bench.points import Point
from vmn.core.bench.results import Measured
from vmn.core.cluster.lws import GROUP, WORKER
from vmn.core.cluster.release import Pod
from vmn.core.tune.duration import Duration, in_words, last_start, start_limit, startup_budget
from vmn.core.tune.history import Revision, unfit
from vmn.core.tune.rollout import rollout_state
from vmn.core.tune.setting import TunedSetting
from vmn.core.tune.traffic import Traffic, serves_others
from vmn.core.tune.trial import Outcome, Trial, TuneResult, compared

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
POINT = Point(0, 1000, 300, 256, 1024)
DEPLOYED = Revision(3, "deployed", "Upgrade complete")


def lws() -> dict[str, Any]:
    rendered = render(None, CHECKOUT / "values/deepseek-r1.yaml", namespace="serving").as_installed("serving")
    return dict(rendered.one("LeaderWorkerSet"))


def trial(*rates: float, outcome: Outcome = Outcome.MEASURED, **result: Any) -> Trial:
    found = [Measured(POINT, {**RESULT, "output_throughput": rate, **result}) for rate in rates]
    return Trial(TunedSetting({"max-num-seqs": round(rates[0] if rates else 0)}), outcome, measured=found)


def result(*trials: Trial, again: Trial | None = None) -> TuneResult:
    return TuneResult("throughput", trial(99, 100, 101), again, trials)


def test_best_setting_is_better_beyond_noise() -> None:
    assert result(trial(110, 111, 109), trial(119, 120, 121)).best == trial(119, 120, 121)
    assert result(trial(101, 102, 100)).best is None
    assert result(trial(80, 140, 120)).best is None


def test_setting_with_failed_requests_is_not_kept() -> None:
    assert result(trial(119, 120, 121, failed=2)).best is None


def test_setting_that_was_not_measured_is_not_compared() -> None:
    failed = trial(outcome=Outcome.NOT_STARTED)
    assert result(failed).verdict(failed) is None
    assert result(failed).best is None


def test_second_start_of_what_runs_now_widens_the_noise() -> None:
    faster = trial(109, 110, 111)
    assert result(faster).best == faster
    again = result(faster, again=trial(119, 120, 121))
    assert again.best is None
    assert again.drift
    assert again.drift.is_real


def test_latency_is_compared_by_the_time_of_an_answer() -> None:
    slow = [Measured(POINT, {**RESULT, "mean_tpot_ms": 20.0})]
    found = compared([Measured(POINT, RESULT)], slow, "latency")
    assert found.ratio == pytest.approx((0.1 + 0.01 * 299) / (0.1 + 0.02 * 299))
    assert found.words == "worse"


@pytest.mark.parametrize(
    ("history", "change", "words"),
    [
        ([], {}, "Helm has no release"),
        ([Revision(4, "failed", "x")], {}, "Revision 4 is failed"),
        ([DEPLOYED, Revision(4, "deployed", "vmn tune: x=1")], {}, "Put back revision 3"),
        ([DEPLOYED], {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD manages vllm"),
        ([DEPLOYED], {"labels": {"helm.toolkit.fluxcd.io/name": "x"}}, "Flux manages vllm"),
        ([DEPLOYED], {}, ""),
    ],
)
def test_release_in_an_unclear_state_is_unfit(history: list[Revision], change: dict[str, Any], words: str) -> None:
    found = lws()
    assert words in unfit({**found, "metadata": {**found["metadata"], **change}}, history)
    assert bool(words) == bool(unfit({**found, "metadata": {**found["metadata"], **change}}, history))


def test_release_whose_groups_would_differ_is_unfit() -> None:
    found = lws()
    found["spec"] = {**found["spec"], "rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}}
    assert "rollout.partition is 1" in unfit(found, [DEPLOYED])


def pods(of: dict[str, Any], *, ready: str = "True", **status: Any) -> list[Pod]:
    template = of["spec"]["leaderWorkerTemplate"]
    return [
        Pod(
            {
                "metadata": {"name": f"vllm-0-{index}", "labels": {GROUP: "0", WORKER: str(index)}},
                "spec": json.loads(json.dumps(role["spec"])),
                "status": {"conditions": [{"type": "Ready", "status": ready}], "phase": "Running", **status},
            }
        )
        for index, role in enumerate((template["leaderTemplate"], template["workerTemplate"]))
    ]


def test_rollout_is_done_when_all_pods_run_the_template_and_are_ready() -> None:
    found = lws()
    assert rollout_state(found, pods(found)).is_done
    assert not rollout_state(found, pods(found)[:1]).is_done
    assert not rollout_state(found, pods(found, ready="False")).is_done
    old = pods(found)
    old[0].item["spec"]["containers"][0]["args"].append("--max-num-seqs=1")
    assert not rollout_state(found, old).is_done
    assert "1 with other settings" in rollout_state(found, old).words


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": {"terminated": {"exitCode": 1}}}, "ended with status 1"),
        ({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}, "ended with status 1"),
        ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, "ImagePullBackOff"),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, ""),
        ({"state": {"running": {}}}, ""),
    ],
)
def test_failure_of_a_new_pod_is_seen_at_once(state: dict[str, Any], words: str) -> None:
    found = lws()
    statuses = [{"name": "vllm-leader", **state}]
    failure = rollout_state(found, pods(found, ready="False", containerStatuses=statuses)).failure
    assert words in failure
    assert bool(words) == bool(failure)


@pytest.mark.parametrize(
    ("before", "words"), [({}, ""), ({"lastState": {"terminated": {"exitCode": 1}}}, "ended with status 1")]
)
def test_end_of_a_deleted_pod_is_no_failure_but_an_end_before_is(before: dict[str, Any], words: str) -> None:
    found = lws()
    ended = [{"name": "vllm-leader", "state": {"terminated": {"exitCode": 143}}, **before}]
    gone = pods(found, ready="False", containerStatuses=ended)
    assert "ended with status 143" in rollout_state(found, gone).failure
    for pod in gone:
        pod.item["metadata"]["deletionTimestamp"] = "2026-11-29T18:00:00Z"
    state = rollout_state(found, gone)
    assert words in state.failure
    assert bool(words) == bool(state.failure) == bool(state.failed)


def test_cause_is_found_in_a_pod_that_is_gone() -> None:
    world = World()
    failed = World()
    message = "vllm serve ended with exit status 1\nValidationError: 1 validation error for SchedulerConfig"
    failed.state("vllm-0", "terminated", last=True, exitCode=1, reason="Error", message=message, finishedAt=stamp(20))
    failed.state("vllm-0", "terminated", exitCode=143, reason="Error", finishedAt=stamp(15))
    failed.pod("vllm-0")["metadata"] |= {"deletionTimestamp": stamp(-70), "deletionGracePeriodSeconds": 90}
    now = world.release()
    assert cause_of(now) == ""
    assert "vLLM rejects its configuration" in cause_of(now.with_pods(failed.release().pods))


def test_failure_of_a_pod_with_other_settings_does_not_count() -> None:
    found = lws()
    ended = [{"name": "vllm-leader", "state": {"terminated": {"exitCode": 137}}}]
    old = pods(found, ready="False", containerStatuses=ended)
    for pod in old:
        pod.item["spec"]["containers"][0]["args"].append("--max-num-seqs=1")
    assert rollout_state(found, old).failure == ""


def test_duration_counts_starts_and_measurements() -> None:
    assert (
        Duration(300, 60, 2).words == "It takes about 19 min: 3 starts of about 5 min and 4 measurements of about 60 s."
    )
    assert Duration(None, 60, 1).words == "It takes 2 starts and 3 measurements of about 60 s."
    assert [in_words(value) for value in (45, 600, 9000)] == ["45 s", "10 min", "2.5 h"]


def test_last_start_is_not_that_of_a_pod_that_was_unready_in_between() -> None:
    def leader(ready: str) -> Pod:
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": ready}
        metadata = {"name": "vllm-0", "creationTimestamp": "2026-01-01T10:00:00Z"}
        return Pod({"metadata": metadata, "spec": {}, "status": {"conditions": [condition]}})

    assert last_start([leader("2026-01-01T10:05:00Z")], 3600) == 300
    assert last_start([leader("2026-01-02T10:05:00Z")], 3600) is None


def test_start_is_limited_by_the_last_one_and_by_the_budget() -> None:
    assert start_limit(None, 3600, 95) == 3695
    assert start_limit(10, 3600, 95) == 395
    assert start_limit(600, 3600, 95) == 1895
    assert start_limit(6000, 3600, 95) == 3695
    assert startup_budget(lws()["spec"]["leaderWorkerTemplate"]["leaderTemplate"]) >= 3600
    assert startup_budget({"spec": {"containers": [{}]}}) == 3600


def test_requests_of_others_are_counted() -> None:
    assert serves_others(Traffic(0, 0, 10), Traffic(0, 0, 10), 10) == ""
    assert serves_others(Traffic(0, 0, 10), Traffic(2, 1, 14), 10) == "2 requests run, 1 wait, 4 ended within 10 s"
    assert serves_others(Traffic(0, 0, 10), Traffic(0, 0, 0), 10) == "", "the servers started again"


def test_requests_of_the_chart_itself_do_not_count(tmp_path: Path) -> None:
    leader = Pod(
        {
            "metadata": {"name": "vllm-0"},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        }
    )
    cluster = FakeCluster({}, {})
    with cluster.serving(tmp_path / "config", "serving"):
        client, _ = connect(str(tmp_path / "config"))
        assert read_traffic(client, "serving", [leader]) is None
        cluster.texts = {"vllm-0:8080/metrics": metrics(1, 2, 500, 400)}
        assert read_traffic(client, "serving", [leader]) == Traffic(1, 2, 100)
        cluster.texts = {"vllm-0:8080/metrics": metrics(1, 2, 503, 403)}
        assert read_traffic(client, "serving", [leader]) == Traffic(1, 2, 100)


def test_chart_that_helm_stores_renders_as_the_one_on_disk(tmp_path: Path) -> None:
    values = yaml.safe_load((CHECKOUT / "values/deepseek-r1.yaml").read_text(encoding="utf-8"))
    file = tmp_path / "kubeconfig"
    with FakeCluster({"secrets": [stored(CHART, "vllm", "serving", 3)]}, {}).serving(file, "serving"):
        client, _ = connect(str(file))
        chart = unpack_chart(client, HelmRelease("vllm", "serving"), 3, tmp_path)
        with pytest.raises(HelmError, match="Name the chart with --chart"):
            unpack_chart(client, HelmRelease("vllm", "serving"), 4, tmp_path)
    known, found = (
        helm_template(folder, [], json.dumps(values), release="vllm", namespace="serving", helm="helm")
        for folder in (CHART, chart)
    )
    assert known == found


def test_file_outside_of_a_stored_chart_is_refused(tmp_path: Path) -> None:
    bad = {"metadata": {"name": "small"}, "templates": [{"name": "../../outside", "data": ""}]}
    with FakeCluster({"secrets": [secret_of(bad, "vllm", "serving", 3)]}, {}).serving(tmp_path / "config", "serving"):
        client, _ = connect(str(tmp_path / "config"))
        with pytest.raises(HelmError, match="outside of it"):
            unpack_chart(client, HelmRelease("vllm", "serving"), 3, tmp_path)
    assert not (tmp_path.parent / "outside").exists()
