"""The two pods on one host, as far as nothing has to run: reading pods, plans, logs, and what clients saw."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from gpu.twopods import injections, machine, stages
from gpu.twopods.faults import shortened
from gpu.twopods.groupspec import GroupSpec
from gpu.twopods.injections import numbers_of
from gpu.twopods.instruments import twopods_instruments
from gpu.twopods.models import MODELS, write_models
from gpu.twopods.plan import Clock, OutOfTime, Step, read_plan
from gpu.twopods.podspec import Pod, expanded, hosts_file, quantity
from gpu.twopods.render import group_of, pods_of, render_chart, render_manifests
from gpu.twopods.results import cut
from gpu.twopods.slowness import amount
from gpu.twopods.standard import CHART, HERE
from gpu.twopods.steps import STEPS
from gpu.twopods.traffic import endings, figures, health_changes, served_again
from gpu.twopods.weights import files_of
from kit.paths import CHECKOUT

pytestmark = pytest.mark.slow

VALUES = HERE / "values"
LOG = CHECKOUT / "tests/unit/doctor_data/healthy/h200-0.33-leader.log"
FIELDS = {"status.podIP": "10.77.1.2", "metadata.name": "vllm-0-1"}


@pytest.fixture(scope="module")
def rendered() -> GroupSpec:
    """Return a pipeline over two nodes."""
    content = render_chart([VALUES / f"{name}.yaml" for name in ("common", "llama8b", "pp2")])
    return GroupSpec("llama8b-pp2", json.loads(json.dumps(content)))


def pod(**container: Any) -> Pod:
    """Return a pod with a container."""
    item = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "it", **container}]}}
    return Pod(item, {})


def test_pods_of_a_group_have_what_leaderworkerset_adds(rendered: GroupSpec) -> None:
    leader, worker = rendered.pods
    assert (leader.name, leader.role, worker.name, worker.role) == ("vllm-0", "leader", "vllm-0-1", "worker")
    assert [item["name"] for item in worker.container["env"][:3]] == [
        *("LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX")
    ]
    env = worker.env(FIELDS)
    assert (env["LWS_LEADER_ADDRESS"], env["LWS_WORKER_INDEX"]) == ("vllm-0.vllm.default", "1")
    assert env["VLLM_HOST_IP"] == "10.77.1.2"
    assert env["LWS_LEADER_ADDRESS"] in leader.names
    assert worker.command(env)[:3] == ["/bin/bash", "/etc/vllm-multinode/entrypoint.sh", "/models/llama8b"]


def test_hosts_file_has_the_pod_s_own_host_name_as_a_kubelet_writes_it(rendered: GroupSpec) -> None:
    leader, worker = rendered.pods
    content = hosts_file({"10.77.1.1": leader, "10.77.1.2": worker}, "10.77.1.2", ["vllm-leader"])
    assert content.endswith("\n")
    lines = [line.split() for line in content.splitlines()]
    assert lines[0] == ["127.0.0.1", "localhost"]
    assert lines[1] == ["10.77.1.1", *leader.names, "vllm-leader"]  # another pod's name has no short form
    assert lines[2][:2] == ["10.77.1.2", "vllm-0-1.vllm.default.svc.cluster.local"]
    assert lines[2][-1] == "vllm-0-1"


def test_hosts_file_has_a_host_name_once() -> None:
    assert hosts_file({"10.0.0.1": pod()}, "10.0.0.1", []).splitlines()[1:] == ["10.0.0.1 one"]


def test_pods_of_a_group_keep_what_the_chart_rendered(rendered: GroupSpec) -> None:
    leader, worker = rendered.pods
    mounts = {mount.path: mount for mount in leader.mounts()}
    assert mounts["/dev/shm"].size == 8 * 2**30
    assert "entrypoint.sh" in mounts["/etc/vllm-multinode"].files
    assert (mounts["/cache"].kind, mounts["/models"].read_only) == ("node", True)
    startup, readiness, liveness = leader.probes()
    assert (startup.http, startup.period, startup.failures) == ((8080, "/health"), 5, 720)
    assert (readiness.kind, liveness.kind, worker.probes()[2].command[-1]) == (
        *("readiness", "liveness"),
        "/etc/vllm-multinode/worker-probe.sh",
    )
    assert (leader.grace, leader.pre_stop[-1]) == (95, "/etc/vllm-multinode/prestop.sh")
    assert (leader.user, leader.confined, leader.read_only) == ((2000, 0, [2000]), True, False)
    assert rendered.test is not None and rendered.test.read_only
    assert (rendered.model, rendered.port) == ("llama8b", 8080)


def test_group_is_refused_when_it_has_more_containers() -> None:
    template = {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    group = {"metadata": {"name": "vllm"}, "spec": {"leaderWorkerTemplate": {"workerTemplate": template}}}
    with pytest.raises(ValueError, match="more containers than one"):
        pods_of(group)


def test_init_containers_are_run_as_the_container_of_the_pod() -> None:
    group = GroupSpec(
        "bandwidth", render_chart([VALUES / f"{name}.yaml" for name in ("common", *CHART["llama8b-pp2-bandwidth"])])
    )
    for index, one in enumerate(group.pods):
        (init,) = one.init
        assert (init.name, init.index, init.container["name"]) == (one.name, index, "bandwidth")
        assert init.env({"status.podIP": "10.0.0.1", "spec.nodeName": "node-1"})["LWS_WORKER_INDEX"] == str(index)
        assert init.command({})[-1].endswith("bandwidth.py") and not init.init
        assert "bandwidth.py" in next(mount.files for mount in init.mounts() if mount.volume == "bandwidth")


def test_manifests_are_refused_when_they_have_no_group() -> None:
    with pytest.raises(ValueError, match="0 LeaderWorkerSets instead of one"):
        group_of([{"kind": "Service"}])


def test_guide_is_a_group_of_its_own_shell_lines() -> None:
    settings = {"model": "/models/x", "name": "x", "length": "4096", "tensor": "1", "pipeline": "2", "more": "--flag"}
    group = GroupSpec("guide", render_manifests(HERE / "guide.yaml", settings))
    leader, worker = group.pods
    line = leader.command(leader.env(FIELDS))[-1]
    assert "--pipeline-parallel-size 2 --flag --nnodes 2 --node-rank 0 --master-addr $VLLM_HOST_IP" in line
    assert "$(getent hosts $LWS_LEADER_ADDRESS" in worker.command(worker.env(FIELDS))[-1]
    assert (group.model, [probe.kind for probe in leader.probes()], worker.probes()) == ("x", ["readiness"], [])


@pytest.mark.parametrize("name", CHART)
def test_usual_group_can_be_rendered_and_read(name: str) -> None:
    group = GroupSpec(name, render_chart([VALUES / f"{file}.yaml" for file in ("common", *CHART[name])]))
    assert all(pod.command(pod.env(FIELDS)) and pod.mounts() for pod in group.pods)


@pytest.mark.parametrize(
    ("text", "value"),
    [("$(A) $(B)", "1 $(B)"), ("$$(A)", "$(A)"), ("$A $(getent hosts x)", "$A $(getent hosts x)"), ("$(A", "$(A")],
)
def test_variables_expand_as_in_kubernetes(text: str, value: str) -> None:
    assert expanded(text, {"A": "1"}) == value


@pytest.mark.parametrize(("text", "size"), [("8Gi", 2**33), ("64M", 64_000_000), ("1.5Ki", 1536), (7, 7)])
def test_quantity_is_read_in_bytes(text: str | int, size: int) -> None:
    assert quantity(text) == size


@pytest.mark.parametrize("text", ["8GiB", "", "-1", "Gi"])
def test_quantity_is_refused_when_kubernetes_has_no_such_form(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)


def test_variable_of_a_secret_is_left_out_when_it_is_optional() -> None:
    source = {"secretKeyRef": {"name": "hf-secret", "key": "token"}}
    optional = {"secretKeyRef": {**source["secretKeyRef"], "optional": True}}
    assert pod(env=[{"name": "TOKEN", "valueFrom": optional}]).env({}) == {}
    with pytest.raises(ValueError, match="TOKEN comes from"):
        pod(env=[{"name": "TOKEN", "valueFrom": source}]).env({})


def test_every_step_of_the_plans_is_known_and_its_words_can_be_read() -> None:
    plans = sorted(HERE.glob("plans/*.json"))
    steps = [step for plan in plans for scenario in read_plan(plan) for step in scenario.steps]
    assert len(plans) > 3 and steps
    assert {step.verb for step in steps} <= set(STEPS)
    assert all(step.load() for step in steps if step.verb in ("bench", "drain"))


def test_plan_is_refused_when_a_scenario_has_no_steps(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('[{"group": "one"}]')
    with pytest.raises(ValueError, match="'steps'"):
        read_plan(plan)


def test_step_is_refused_when_a_bench_has_no_sizes() -> None:
    assert Step.read("bench 4x8x16 times=2").load() == (4, 8, 16)
    with pytest.raises(ValueError, match="32x512x128"):
        Step.read("bench 4x8").load()


def test_clock_of_a_part_ends_with_the_whole() -> None:
    clock = Clock(0.0)
    assert clock.within(1000).left < 0
    with pytest.raises(OutOfTime, match="for more"):
        clock.check("more")


def request(number: int, **record: Any) -> list[dict[str, Any]]:
    """Return what the client says of a request that was sent in the second of its number, and lasted two."""
    begin = float(number)
    sent = {"kind": "sent", "number": number, "start": begin}
    done = {"kind": "request", "number": number, "start": begin, "first": begin + 0.5, "last": begin + 2}
    usage = {"prompt_tokens": 10, "completion_tokens": 4}
    return [sent, {**done, "end": begin + 2, "status": 200, "finish": "length", "usage": usage, "done": True, **record}]


def test_figures_count_tokens_of_whole_answers() -> None:
    found = figures([*request(0), *request(1)], 2, 4)
    assert (found["whole"], found["failed"], found["seconds"]) == (2, 0, 3.0)
    assert (found["output_tokens"], found["output_tokens_per_s"], found["prompt_tokens"]) == (8, 2.7, 20)
    assert (found["first_token_median_s"], found["between_tokens_median_s"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    "broken",
    [
        {"usage": None},
        {"usage": {"prompt_tokens": 10, "completion_tokens": 3}},
        {"finish": "stop"},
        {"error": "EngineCore encountered an issue", "finish": "length"},
    ],
)
def test_figures_do_not_count_an_answer_that_is_not_whole(broken: dict[str, Any]) -> None:
    found = figures([*request(0), *request(1, **broken)], 2, 4)
    assert (found["whole"], found["failed"], found["output_tokens"]) == (1, 1, 4)
    assert figures(request(0)[:1], 2, 4) == {"requests": 2, "whole": 0, "failed": 2}


def test_endings_are_of_requests_that_were_open_at_the_moment_or_came_later() -> None:
    hung = request(3)[:1]
    failed = {"kind": "request", "number": 9, "start": 1.0, "end": 4.5, "error": "reset"}
    found = endings([*request(0), {"kind": "sent", "number": 9, "start": 1.0}, failed, *hung], 2.5)
    assert (found["open_at_the_fault"], found["last_of_these_ended"], found["never_ended"]) == (1, 2.0, 1)
    assert [row["sent"] for row in found["rows"]] == [-1.5, 0.5]
    assert found["rows"][0]["error"] == "reset"
    assert found["longest"] > 3


def test_shortened_endings_keep_the_longest_and_count_all() -> None:
    rows = [{"sent": number, "ended": number, "lasted": number == 20, "status": 200} for number in range(40)]
    found = shortened({"rows": rows})
    assert 20 in [row["sent"] for row in found["rows"]]
    assert len(found["rows"]) < 15
    assert sum(found["how"].values()) == 40


@pytest.mark.parametrize(
    ("records", "seconds"),
    [
        ([*request(9), *request(12)], None),
        ([*request(9, finish=None, error="EOFError"), *request(12, finish=None, error="refused")], None),
        ([*request(9, finish=None, error="EOFError"), *request(12, finish=None, error="refused"), *request(30)], 22.0),
        ([*request(12, finish=None, error="EOFError"), *request(11), *request(15), *request(16)], 7.0),
    ],
    ids=["never away", "not back", "back", "one of several"],
)
def test_group_serves_again_with_the_first_answer_to_a_request_after_a_failed_one(
    records: list[dict[str, Any]], seconds: float | None
) -> None:
    assert served_again(records, 10.0) == seconds


def test_gpus_of_a_pod_are_free_when_each_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpu_memory", lambda: {"0": 4, "1": 4, "2": 9000, "3": 4})
    assert machine.free_of(["0,1"], {})
    assert not machine.free_of(["0,1", "2,3"], {})
    assert machine.free_of(["0,1", "2,3"], {"2": 8900})


def test_files_of_random_weights_have_all_tensors_of_a_llama_once() -> None:
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "vocab_size": 1000}
    config |= {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    files = files_of(config)
    tensors = [name for shapes in files.values() for name in shapes]
    assert len(tensors) == len(set(tensors)) == 3 * 9 + 3
    assert files["layers-002.safetensors"]["model.layers.2.self_attn.k_proj.weight"] == (32, 64)
    with pytest.raises(ValueError, match="for Llama only, not for Qwen3MoeForCausalLM"):
        files_of({**config, "architectures": ["Qwen3MoeForCausalLM"]})


def test_health_is_told_where_it_changes() -> None:
    records = [{"start": second, "status": 200 if second < 3 else None, "error": "no answer"} for second in range(6)]
    assert health_changes(records, 1.0) == [[-1.0, 200], [2.0, "no answer"]]


def test_stages_of_a_real_start_come_in_their_order() -> None:
    lines = [(float(number), text) for number, text in enumerate(LOG.read_text(encoding="utf-8").splitlines())]
    found = stages.stages(lines, 0.0)
    order = ["API server's first line", "engine core's first line", "rank's first line", "weights", "engine"]
    assert [name for name in found if name in order] == order
    assert stages.narration(lines, 0.0)["stack_traces"] == 0


def test_files_that_a_start_wrote_are_counted_by_directory(tmp_path: Path) -> None:
    for name in ("vllm/a/one", "vllm/a/two", "triton/three"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x" * 1000)
    found = stages.written_files(tmp_path, 0.0)
    assert found["vllm/a"] == {"files": 2, "kb": 2}
    assert stages.written_files(tmp_path, 4e9) == {"names": []}


def test_cut_log_has_first_and_last_lines_and_no_noise() -> None:
    noise = ['"GET /health HTTP/1.1" 200', "NCCL INFO Bootstrap", "NCCL INFO Channel 00 via NET/Socket/0"]
    lines = cut("\n".join([*noise, *map(str, range(2000))])).splitlines()
    assert lines[0] == noise[2]
    assert (lines[1], lines[-1], len(lines)) == ("0", "1999", 701)


@pytest.mark.parametrize(
    ("text", "value"), [("25ms", 0.025), ("1%", 0.01), ("100mbit", 1e8), ("1.5gbit", 1.5e9), ("0s", 0)]
)
def test_amount_is_read_as_netem_reads_it(text: str, value: float) -> None:
    assert amount(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["25", "ms", "1 ms", "-1ms", "1mib"])
def test_amount_is_refused_without_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        amount(text)


VLLM = {
    10: "/bin/bash /etc/vllm-multinode/entrypoint.sh /models/x",
    11: "/usr/bin/python3 /usr/local/bin/vllm serve /models/x --port 8080",
    12: "VLLM::EngineCore",
    13: "VLLM::Worker_PP0",
    14: "/bin/bash /etc/vllm-multinode/prestop.sh",
}
"""Processes of a leader's pod."""


@pytest.mark.parametrize(
    ("kind", "found"), [("server", [11]), ("core", [12]), ("rank", [13]), ("all", [*VLLM]), ("prestop", [14])]
)
def test_process_is_found_by_what_vllm_calls_it(kind: str, found: list[int]) -> None:
    assert numbers_of(kind, VLLM, lambda number: []) == found


def test_rank_is_the_engine_core_when_an_engine_has_one_rank() -> None:
    alone = {number: title for number, title in VLLM.items() if number != 13}
    assert numbers_of("rank", alone, lambda number: []) == [12]


def test_process_without_a_title_is_found_by_who_started_it() -> None:
    spawned = "/usr/bin/python3 -c from multiprocessing.spawn import spawn_main; spawn_main()"
    tracker = "/usr/bin/python3 -c from multiprocessing.resource_tracker import main"
    every = {10: VLLM[10], 11: VLLM[11], 12: spawned, 13: spawned, 15: tracker}
    children = {11: [12, 15], 12: [13]}
    assert numbers_of("core", every, lambda number: children.get(number, [])) == [12]
    assert numbers_of("rank", every, lambda number: children.get(number, [])) == [13]
    headless = {**every, 11: f"{VLLM[11]} --headless"}
    assert numbers_of("core", headless, lambda number: {11: [12]}.get(number, [])) == []
    assert numbers_of("rank", headless, lambda number: {11: [12]}.get(number, [])) == [12]


def test_models_have_the_shapes_that_vllm_started_with(tmp_path: Path) -> None:
    further = tmp_path / "configs" / "mine"
    further.mkdir(parents=True)
    (further / "config.json").write_text('{"model_type": "mine"}')
    assert write_models(tmp_path / "models", tmp_path / "configs") == [*MODELS, "mine"]
    config = json.loads((tmp_path / "models/dsr1-8L/config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"]) == (8, 7168)
    assert {file.name for file in (tmp_path / "models/mine").iterdir()} >= {"config.json", "tokenizer.json"}
    assert not list(tmp_path.rglob("*.safetensors"))


def test_tokenizer_of_a_model_has_a_word_for_each_of_its_tokens(tmp_path: Path) -> None:
    write_models(tmp_path)
    vocabulary = json.loads((tmp_path / "llama8b/tokenizer.json").read_text())["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(128_256))
    assert vocabulary["w128255"] == 128_255


def test_plugin_listens_for_the_signals_that_are_injected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a handler, each of them would end the process instead of breaking it."""
    sent: list[int] = []
    monkeypatch.setattr(injections, "send", lambda group, sign, role, kind: sent.append(sign))
    group: Any = None
    injections.stuck(group, "worker")
    injections.exhaust(group, "worker")
    before = [signal.getsignal(sign) for sign in sent]
    try:
        twopods_instruments.register()
        assert all(callable(signal.getsignal(sign)) for sign in sent)
    finally:
        for sign, handler in zip(sent, before, strict=True):
            signal.signal(sign, handler)


def test_plugin_is_the_one_that_vllm_is_told_of() -> None:
    (file,) = machine.INSTRUMENTS.glob("*.dist-info/entry_points.txt")
    assert "twopods_instruments = twopods_instruments:register" in file.read_text(encoding="utf-8")
