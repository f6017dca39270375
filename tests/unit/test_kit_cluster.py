"""The kit's helpers for clusters, without one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import evidence
from kit.cluster import ProgramFailed, background, condition, is_ready, run
from kit.paths import CHART
from kit.progress import TooLate, wait_until
from kit.release import Release, as_read
from kit.subset import lost_paths


def test_run_raises_with_what_was_said_when_a_program_fails() -> None:
    with pytest.raises(ProgramFailed, match="no such value") as failed:
        run("sh", "-c", "echo no such value >&2; exit 3")
    assert failed.value.done.code == 3


def test_run_ends_a_program_that_takes_too_long() -> None:
    done = run("sleep", "60", limit=0.2, check=False)
    assert done.code == 124


def test_run_gives_standard_input_and_returns_what_is_printed() -> None:
    assert run("cat", stdin="a\nb").stdout == "a\nb"


def test_background_gives_the_ready_line_and_ends_the_program() -> None:
    code = "import time; print('noise', flush=True); print('serving on 7', flush=True); time.sleep(60)"
    start = time.monotonic()
    with background(sys.executable, "-c", code, ready=r"serving on (\d)") as match:
        assert match[1] == "7"
    assert time.monotonic() - start < 20


def test_background_raises_when_the_program_ends_before_it_is_ready() -> None:
    failing = background("sh", "-c", "echo address already in use; exit 1", ready="serving", limit=10)
    with pytest.raises(ProgramFailed, match="address already in use"), failing:
        pass


def test_wait_until_returns_what_came() -> None:
    answers = iter([0, 0, 7])
    assert wait_until("answer", lambda: next(answers), 5, period=0) == 7


def test_wait_until_raises_with_the_state_when_it_is_too_late() -> None:
    with pytest.raises(TooLate, match=r"no pods within 0 s; now: 3 of 4"):
        wait_until("pods", lambda: False, 0.05, period=0.01, state=lambda: "3 of 4")


def test_is_ready_is_false_when_a_pod_is_being_deleted() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert is_ready({"metadata": {}, "status": status})
    assert not is_ready({"metadata": {"deletionTimestamp": "now"}, "status": status})
    assert not condition({"metadata": {}}, "Ready")


def test_cut_keeps_the_last_lines_and_says_how_many_it_left_out() -> None:
    text = "\n".join(["first", "second", "x" * 30])
    assert evidence.cut(text, lines=2, width=10) == f"… 1 lines before\nsecond\n{'x' * 10} …"


def test_evidence_is_there_when_no_cluster_answers(stand_in: Stand) -> None:
    stand_in("kubectl", "echo 'connection refused' >&2; exit 1")
    found = evidence.collect("somewhere")
    assert "--- events in somewhere\nconnection refused" in found
    assert "pods can't be listed" in found


Stand = Callable[[str, str], None]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Return a function that puts a shell script on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    return write


def test_release_installs_with_files_and_then_values(stand_in: Stand, tmp_path: Path) -> None:
    stand_in("helm", 'echo "$*"; cat')
    done = Release("ns").install(Path("one.yaml"), values={"a": None})
    words = f"install vllm {CHART} --values one.yaml --values - --namespace ns"
    assert done.stdout == f'{words}\n{{\n "a": null\n}}'


def test_release_is_available_only_when_its_old_pods_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = {"conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "Available")]}
    pods = [{"metadata": {"name": "vllm-0", "uid": "old"}, "status": ready}]
    group = {"spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 1}}, "status": ready}
    monkeypatch.setattr("kit.release.objects", lambda *_, **__: pods)
    monkeypatch.setattr("kit.release.get", lambda *_: group)
    assert Release("ns").available()
    assert not Release("ns").available(without={"old"})


@pytest.mark.parametrize(
    ("given", "kept", "lost"),
    [
        ({"a": 1}, {"a": "1", "b": 2}, []),
        ({"a": {"b": "x"}}, {"a": {}}, ["$.a.b: 'x' became None"]),
        ({"a": None, "b": {}, "c": []}, {}, []),
        ({"a": True}, {"a": "True"}, ["$.a: True became 'True'"]),
        ([{"name": "x", "v": 1}], [{"name": "y"}, {"name": "x", "v": 1}], []),
        ([{"name": "x", "v": 1}], [{"name": "y"}], ["$[x].name: 'x' became None", "$[x].v: 1 became None"]),
        (["a", "b"], ["a"], ["$[1]: 'b' became None"]),
        ({"memory": "5120Mi"}, {"memory": "5Gi"}, []),
        ({"memory": "5120Mi"}, {"memory": "6Gi"}, ["$.memory: '5120Mi' became '6Gi'"]),
    ],
)
def test_lost_paths_are_what_was_given_and_is_not_there(given: object, kept: object, lost: list[str]) -> None:
    assert lost_paths(given, kept) == lost


def test_secret_is_compared_as_it_is_read_back() -> None:
    written = as_read({"kind": "Secret", "stringData": {"a": "b"}})
    assert lost_paths(written, {"kind": "Secret", "data": {"a": "Yg=="}}) == []
    assert lost_paths(written, {"kind": "Secret", "data": {"a": "Yw=="}}) == ["$.data.a: 'Yg==' became 'Yw=='"]
