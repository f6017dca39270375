"""The two pods on one host, with real namespaces and a small program in place of vLLM: what a run does and leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpu.twopods.render import render_chart, write
from gpu.twopods.standard import HERE
from gpu.twopods.verdicts import verdicts
from kit import smallgroup
from kit.paths import CHECKOUT

pytestmark = pytest.mark.slow
PROGRAM = "stands-for-vllm.py"
LIMIT = 120
"""Seconds for one run."""
PLACES = ("/cache", "/models", "/etc/vllm-multinode", "/run/twopods", "/dev/termination-log")
"""Where pods have mounts that a host has not."""
VALUES = {
    "model": {"name": "tiny", "maxLength": 512},
    "weights": {"path": "/models/tiny"},
    "engine": {"env": {"DEAD_SECONDS": "5"}},  # PID 1 must see it first
    "shutdown": {"preStopSeconds": 1, "drainSeconds": 10},
    "startup": {"backoffSeconds": 0},
    "sharedMemory": {"size": "64Mi"},
}


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    """Skip the tests where network namespaces can't be created."""
    done = subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"two pods need root and iproute2: {done.stderr.decode()}")


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a group of two nodes."""
    return made(tmp_path_factory.mktemp("group"))


def made(folder: Path, *more: Path) -> Path:
    """Return the file of a group, with the model's directory and the program beside it."""
    (folder / "values.json").write_text(json.dumps(VALUES))
    (folder / "models/tiny").mkdir(parents=True)
    files = [HERE / "values/common.yaml", HERE / "values/tp2.yaml", folder / "values.json", *more]
    write(render_chart(files), folder / "small.json")
    folder.chmod(0o755)
    shutil.copy(smallgroup.__file__, folder / PROGRAM)
    return folder / "small.json"


def command(group: Path, out: Path, steps: Sequence[str], *options: str) -> list[str]:
    """Return the command line of a run."""
    words = [
        sys.executable,
        "-m",
        "gpu.twopods",
        "run",
        str(group),
        "--out",
        str(out),
        "--seconds",
        "100",
        "--gpus",
        "",
    ]
    words += ["--models", str(group.parent / "models"), "--vllm", f"python3 {group.with_name(PROGRAM)}"]
    words += ["--keep", str(group.parent)]  # which is in /tmp, and pods have another /tmp
    return [*words, *(word for step in steps for word in ("--step", step)), *options]


def environment() -> dict[str, str]:
    """Return the environment of a run. Only ``pack`` needs ``tools``."""
    return {**os.environ, "PYTHONPATH": f"{CHECKOUT / 'tests'}:{CHECKOUT / 'tools'}"}


def run(group: Path, out: Path, *steps: str, options: Sequence[str] = ()) -> tuple[int, list[dict[str, Any]]]:
    """Run steps, and return the exit status and what each step found."""
    argv = command(group, out, steps, *options)
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False)
    content = json.loads((out / "results.json").read_text())
    print(done.stdout, done.stderr)
    return done.returncode, content["scenarios"][0]["steps"]


def test_group_serves_as_rendered_and_drains_without_a_loss(group: Path, tmp_path: Path) -> None:
    status, (start, test, ask, bench, many, drain) = run(
        *(group, tmp_path), "start cold", "test", "ask", "bench 6x16x8", "bench 70x16x4", "drain 3x16x90"
    )
    assert start["stages"]["leader"].keys() >= {"vllm serve", "API server's first line", "server"}
    assert start["health_seconds"] <= start["seconds"]
    assert '"id": "tiny"' in test["output"]
    assert ask["usage"]["completion_tokens"] == 7
    assert (bench["whole"], bench["output_tokens"], bench["prompt_tokens"]) == (6, 48, 96)
    assert (drain["in_flight"], drain["in_flight_at_sigterm"], drain["lost"]) == (3, 3, 0)
    assert (many["whole"], many["output_tokens"]) == (70, 280)  # from two processes
    assert bench["first_token_median_s"] < bench["seconds"] / 2
    assert drain["pods"]["leader"]["exit"] == 0
    assert status == 0
    assert not any(Path(place).exists() for place in PLACES)


def test_killed_rank_ends_the_group_and_is_told(group: Path, tmp_path: Path) -> None:
    status, (_, fault) = run(group, tmp_path, "start cold", "fault kill worker rank")
    assert status == 0
    assert fault["requests"]["open_at_the_fault"] > 0
    assert 0 <= fault["requests"]["last_of_these_ended"] < 10
    assert fault["health"][0][1] == 200 and len(fault["health"]) > 1
    leader, worker = fault["pods"]["leader"], fault["pods"]["worker"]
    assert (worker["exit"], worker["running"], leader["running"]) == (1, False, False)
    assert "vllm serve ended with exit status 1" in worker["message"]
    assert any("has closed its connection to port" in line for line in leader["pid1"])
    assert worker["ended"] < leader["ended"]
    assert not any("a rank of this pod has ended" in line for line in leader["pid1"])  # its own ended because of that
    told = list(verdicts(tmp_path / "objects.jsonl", tmp_path / "kept"))
    assert any("ended (vllm-0-1)" in line for line in told)
    kept = json.loads(min((tmp_path / "kept").iterdir()).read_text())
    assert kept.keys() >= {"says", "verdict", "pod", "now", "objects", "logs"}


def test_leader_whose_rank_is_killed_blames_no_other_pod(group: Path, tmp_path: Path) -> None:
    _, (_, fault) = run(group, tmp_path, "start cold", "fault kill leader rank load=idle")
    said = fault["pods"]["leader"]["pid1"]
    assert any("error: a rank of this pod has ended" in line for line in said)
    assert not any("has closed its connection" in line for line in said)


@pytest.mark.parametrize("words", ["stop worker rank", "cut silent", "cut carrier"])
def test_hang_lasts_as_long_as_a_step_may_take(group: Path, tmp_path: Path, words: str) -> None:
    _, (_, fault) = run(group, tmp_path, "start cold", f"fault {words} watch=60")
    assert 3 < fault["requests"]["last_of_these_ended"] < 20
    assert not fault["pods"]["worker"]["running"]


def test_group_goes_on_when_shared_memory_is_full_and_after_a_fault_that_can_not_be_had(
    group: Path, tmp_path: Path
) -> None:
    goes_on = "watch=8 undo=5 expect=serves answer=3 period=1"
    status, (_, full, unknown, ask) = run(
        *(group, tmp_path), "start cold", f"fault shm worker {goes_on}", f"fault slow nonsense {goes_on}", "ask"
    )
    assert full["ok"] and full["undone"] >= 5 and full["requests"]["never_ended"] == 0
    assert "nonsense" in unknown["error"]
    assert ask["ok"]
    assert status == 1


def test_slow_network_is_had_with_and_without_netem(group: Path, tmp_path: Path) -> None:
    goes_on = "watch=8 undo=5 expect=serves answer=4 period=2"
    status, (_, slow, ask) = run(*(group, tmp_path), "start cold", f"fault slow delay 50ms {goes_on}", "ask")
    assert status == 0
    assert slow["notes"] in (["slow: netem"], ["slow: relay"])
    lasted = [row["lasted"] for row in slow["requests"]["rows"] if 0.5 < row["sent"] < 3]
    assert min(lasted) > 4 * 0.1  # each token goes to the worker and back
    assert ask["seconds"] < 7 * 0.1


def test_start_that_fails_is_a_result(group: Path, tmp_path: Path) -> None:
    options = ("--vllm", "sh -c 'echo ValueError: no such thing; exit 3'")
    status, (start,) = run(group, tmp_path / "one", "start cold", options=options)
    assert (status, start["ready"], start["pods"]["leader"]["exit"]) == (1, False, 3)
    assert "ValueError: no such thing" in start["pods"]["leader"]["message"]
    status, _ = run(group, tmp_path / "two", "start cold expect=failure", options=options)
    assert status == 0


def test_caches_that_were_packed_fill_new_ones(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    with_bundle = made(tmp_path_factory.mktemp("bundle"), HERE / "values/bundle.yaml")
    status, (cold, warm, pack, bundle) = run(with_bundle, tmp_path, "start cold", "start warm", "pack", "start bundle")
    assert status == 0
    written = [[name for name in step["written"]["leader"]["names"] if "kernel" in name] for step in (cold, warm)]
    assert written == [["v0.33.0-tiny/triton/kernel"], []]
    assert pack["files"]["vllm-0"] >= 1
    assert "v0.33.0-tiny/triton/kernel" in bundle["written"]["leader"]["names"]
    logs = (tmp_path / "logs.txt").read_text()
    assert logs.count("filled the caches from the bundle") == 2


def test_scenario_ends_when_its_time_is_over(group: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    status, steps = run(group, tmp_path, "start cold", "wait 200", "ask", options=("--seconds", "12"))
    assert time.monotonic() - begin < 30
    assert (status, len(steps)) == (1, 2)
    assert "OutOfTime" in steps[1]["error"]


def test_step_that_is_not_known_is_a_result(group: Path, tmp_path: Path) -> None:
    status, steps = run(group, tmp_path, "dance")
    assert status == 1
    assert "no step 'dance'" in steps[0]["error"]


@contextmanager
def started(group: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a run whose group serves."""
    argv = command(group, out, ["start cold", "wait 60"])
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            while "wait 60" not in process.stdout.readline():
                assert process.poll() is None
            yield process
        finally:
            process.kill()


def servers(group: Path) -> list[str]:
    """Return the processes that stand for vLLM in the pods of a group: other tests may have theirs."""
    program = str(group.with_name(PROGRAM))
    files = [path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = []
    for file in files:
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if program in line and "gpu.twopods" not in line:
            found.append(line)
    return found


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_a_run_is_ended(group: Path, tmp_path: Path, sign: signal.Signals) -> None:
    with started(group, tmp_path) as process:
        assert servers(group)
        process.send_signal(sign)
        process.wait(20)
    until = time.monotonic() + 10
    while servers(group) and time.monotonic() < until:
        time.sleep(0.1)
    assert servers(group) == []
    assert "/twopods-" not in Path("/proc/mounts").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["scenarios"][0]["steps"][0]["ok"]
