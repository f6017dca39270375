"""``vmn tune`` as a user runs it, against an API server whose groups start or not; tests/engine has real ones."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cli.tuning import BROKEN, FAST, FOUND, SLOW, STUCK, TuneCluster, is_as_found, tune, tuned_release
from kit.paths import CHART
from unit.preflight_data.cluster import NAMESPACE
from vmn.cli import main
from vmn.core.values.yaml import merged

pytestmark = pytest.mark.slow


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TuneCluster]:
    """Serve a release of DeepSeek-R1 on two nodes, with its kubeconfig in KUBECONFIG and Helm on PATH."""
    with tuned_release(tmp_path, monkeypatch) as own:
        yield own


def test_best_setting_is_written_and_the_old_values_are_back(fake: TuneCluster, tmp_path: Path) -> None:
    file = tmp_path / "tuned.yaml"
    done = tune(SLOW, FAST, more=("--write", file))
    assert done.exit_code == 0, done.output
    assert f"Keep {FAST}: 1.20 times the tokens per second of what runs now." in done.stdout
    rows = {line.split("  ")[0]: line.split()[-3:] for line in done.stdout.splitlines()}
    assert rows[FAST][::2] == ["+20.0%", "better"]
    assert rows[SLOW][::2] == ["-20.0%", "worse"]
    assert yaml.safe_load(file.read_text()) == {"engine": {"args": {"max-num-seqs": 64}}}
    verbs = [call[0] for call in fake.helm.state["calls"]]
    assert verbs == ["upgrade", "upgrade", "rollback"]
    assert is_as_found(fake)
    assert "The release serves as before" in done.stdout


def test_upgrades_have_the_values_and_the_chart_of_the_release(fake: TuneCluster) -> None:
    assert tune(FAST).exit_code == 0
    own, tried, back = fake.helm.state["revisions"]
    assert tried["values"] == merged(own["values"], {"engine": {"args": {"max-num-seqs": 64}}})
    assert tried["description"] == f"vmn tune: {FAST}"
    call = fake.helm.state["calls"][0]
    assert Path(call[2]).name == "vllm-multinode"
    assert Path(call[2]) != CHART
    assert call[call.index("--history-max") + 1] == "0"
    assert back["description"] == f"Rollback to {FOUND}"


def test_nothing_is_kept_within_noise(fake: TuneCluster, tmp_path: Path) -> None:
    fake.rates[FAST] = 101.0
    done = tune(FAST, more=("--write", tmp_path / "x.yaml"))
    assert done.exit_code == 0
    assert "Keep what runs now" in done.stdout
    assert "within noise" in done.stdout
    assert not (tmp_path / "x.yaml").exists()


def test_setting_that_does_not_start_is_recorded_and_the_next_one_is_tried(fake: TuneCluster) -> None:
    done = tune(BROKEN, STUCK, FAST, more=("--start-timeout", "1", "--output", "json"))
    assert done.exit_code == 0, done.output
    first, second, third = json.loads(done.stdout)["settings"]
    assert [one["outcome"] for one in (first, second, third)] == ["did not start", "did not start", "measured"]
    assert first["why"]
    assert json.loads(done.stdout)["keep"] == {"engine": {"args": {"max-num-seqs": 64}}}
    assert is_as_found(fake)


def test_setting_that_fails_under_load_is_recorded(fake: TuneCluster) -> None:
    fake.rates.pop(SLOW)
    done = tune(SLOW, FAST)
    assert done.exit_code == 0
    assert "the server is gone" in done.stdout
    assert "failed under load" in done.stdout
    assert is_as_found(fake)


NOT_MADE = pytest.param("nothing made", marks=pytest.mark.slow)


@pytest.mark.parametrize("problem", ["Error: UPGRADE FAILED: admission webhook denied", NOT_MADE])
def test_upgrade_that_fails_is_recorded_and_undone(fake: TuneCluster, problem: str) -> None:
    fake.helm.change(problems={SLOW: problem})
    done = tune(SLOW, FAST)
    assert done.exit_code == 0
    assert f"{SLOW}: {problem}" in done.stdout
    assert is_as_found(fake)


@contextmanager
def handled(sign: signal.Signals, handler: Any = signal.default_int_handler) -> Iterator[None]:
    """Handle a signal like Ctrl+C, whatever started the tests: ``nohup`` ignores SIGHUP, and ``&`` SIGINT."""
    before = signal.signal(sign, handler)
    try:
        yield
    finally:
        signal.signal(sign, before)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_interrupt_puts_back_what_was_found_and_shows_what_there_is(fake: TuneCluster, sign: signal.Signals) -> None:
    fake.on[SLOW] = lambda: os.kill(os.getpid(), sign)
    with handled(sign):
        done = tune(FAST, SLOW)
    assert done.exit_code == 1
    assert "The run ended early: interrupted" in done.stdout
    assert f"Keep {FAST}" in done.stdout
    assert "not tried" in done.stdout
    assert is_as_found(fake)


def test_run_that_nohup_has_started_goes_on_when_the_terminal_closes(fake: TuneCluster) -> None:
    fake.on[SLOW] = lambda: os.kill(os.getpid(), signal.SIGHUP)
    with handled(signal.SIGHUP, signal.SIG_IGN):
        assert tune(FAST, SLOW).exit_code == 0


def test_revision_of_someone_else_stays(fake: TuneCluster) -> None:
    def upgrade() -> None:
        new = {**fake.helm.present, "revision": FOUND + 2, "description": "Upgrade complete"}
        fake.helm.change(revisions=[*fake.helm.state["revisions"], new])

    fake.on[FAST] = upgrade
    done = tune(FAST, SLOW)
    assert done.exit_code == 1
    assert f"someone else made revision {FOUND + 2}" in done.stdout
    assert fake.helm.present["revision"] == FOUND + 2


def test_release_that_can_not_be_put_back_at_once_is_tried_again(fake: TuneCluster) -> None:
    fake.helm.change(problems={f"Rollback to {FOUND}": "nothing made"})
    done = tune(FAST)
    assert done.exit_code == 1
    assert f"helm rollback vllm {FOUND} --namespace {NAMESPACE}" in done.stdout
    assert "The release serves as before" not in done.stdout


def test_dry_run_says_what_it_would_try_and_how_long_it_takes(fake: TuneCluster) -> None:
    done = CliRunner().invoke(main, ["tune", "--concurrency", "900", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "max-num-batched-tokens=" in done.stdout
    assert "starts of about 6 min" in done.stdout
    assert f"revision {FOUND} is put back" in done.stdout
    assert fake.most == {}
    assert fake.helm.state["calls"] == []


def test_plan_predicts_what_the_user_asks_for(fake: TuneCluster) -> None:
    done = tune("max-num-batched-tokens=16384", "enable-prefix-caching=false", more=("--dry-run",))
    rows = {line.split("  ")[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["max-num-batched-tokens=16384"][1].endswith("%")
    assert rows["enable-prefix-caching=false"] == ["you", "asked", "for", "it"]


@pytest.mark.parametrize("wanted", [True, False])
def test_other_layout_is_tried_if_the_user_wants_that_and_mentioned_otherwise(fake: TuneCluster, wanted: bool) -> None:
    words = ["--concurrency", "8", "--for", "latency", "--network", "infiniband", "--dry-run"]
    done = CliRunner().invoke(main, ["tune", *words, *(["--layouts"] if wanted else [])])
    assert done.exit_code == 0, done.output
    assert ("\nlayout: " in done.stdout) == wanted
    assert ("To try that, too, use --layouts" in done.stderr) != wanted
