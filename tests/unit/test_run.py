"""The runner behind `make test`: bounds, failures, and the cluster that it takes down again."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from kit.paths import CHECKOUT
from localcluster.programs import PROGRAMS


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return tests/run.py as a module, with short commands for its parts."""
    spec = importlib.util.spec_from_file_location("tests_run", CHECKOUT / "tests" / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tests_run", module)
    spec.loader.exec_module(module)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(module, "CLUSTER_NEW", part(module, "cluster-new", "pass"))
    monkeypatch.setattr(module, "CLUSTER_UP", part(module, "cluster-up", "pass"))
    monkeypatch.setattr(module, "CLUSTER_DOWN", part(module, "cluster-down", "pass"))
    monkeypatch.setattr(module, "local_environment", lambda env: {**env, "KUBECONFIG": "local"})
    return module


def part(module: ModuleType, name: str, *codes: str, limit: int = 20, cluster: bool = False) -> object:
    """Return a part that runs Python code."""
    commands: Sequence[Sequence[str]] = [[sys.executable, "-c", code] for code in codes]
    return module.Part(name, "for a test", commands, limit, cluster)


def use(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *parts: object) -> None:
    """Make these all the parts."""
    monkeypatch.setattr(module, "parts", lambda **_: {item.name: item for item in parts})  # type: ignore[attr-defined]


def test_run_goes_on_after_a_failure_and_fails_at_the_end(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(runner, monkeypatch, part(runner, "a", "raise SystemExit(3)", "print('second')"), part(runner, "b", "pass"))
    assert runner.main(["a", "b"]) == 1
    out = capfd.readouterr().out
    assert "second" in out
    assert "exit 3" in out
    assert "FAILED after" in out.splitlines()[-1]
    assert out.splitlines()[-1].endswith(": a")


def test_run_ends_with_0_when_all_is_well(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(runner, monkeypatch, part(runner, "a", "pass"))
    assert runner.main(["a"]) == 0
    assert capfd.readouterr().out.splitlines()[-1].startswith("all passed in")


SLEEP = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('cleans', 'up')"


@pytest.mark.slow
@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["plain", "in the background"])
def test_run_ends_a_part_when_its_time_is_up(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], handler: signal.Handlers
) -> None:
    before = signal.signal(signal.SIGINT, handler)  # a shell starts what ends in & with SIGINT ignored
    try:
        use(runner, monkeypatch, part(runner, "slow", SLEEP, limit=1))
        monkeypatch.setattr(runner, "SECONDS_TO_CLEAN_UP", 5)
        assert runner.main(["slow"]) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    out = capfd.readouterr().out
    assert "time is up" in out
    assert "cleans up" in out


@pytest.mark.parametrize("code", ["pass", "raise SystemExit(1)"], ids=["passed", "failed"])
def test_run_starts_a_cluster_and_stops_it_when_there_is_none(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: str
) -> None:
    use(runner, monkeypatch, part(runner, "c", f"import os; print(os.environ['KUBECONFIG']); {code}", cluster=True))
    assert runner.main(["c"]) == int(code != "pass")
    lines = capfd.readouterr().out.splitlines()
    begun = [line.split(":")[0].removeprefix("==> ") for line in lines if line.startswith("==>")]
    assert begun == ["cluster-new", "cluster-up", "c", "cluster-down"]
    assert "local" in lines


def test_run_leaves_the_cluster_of_kubeconfig_alone(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "mine")
    use(runner, monkeypatch, part(runner, "c", "import os; print(os.environ['KUBECONFIG'])", cluster=True))
    assert runner.main(["c"]) == 0
    out = capfd.readouterr().out
    assert "mine" in out.splitlines()
    assert "cluster-up" not in out


def test_run_has_a_cluster_of_its_own_beside_the_demos(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(runner.kubeconfig()))
    code = "import os; print(os.environ['KUBECONFIG'], os.environ['LOCALCLUSTER'])"
    use(runner, monkeypatch, part(runner, "c", code, cluster=True))
    assert runner.main(["c"]) == 0
    out = capfd.readouterr().out
    assert "local tests" in out.splitlines()
    assert "==> cluster-down" in out


def test_run_fails_its_tiers_and_cleans_up_when_the_cluster_does_not_start(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "CLUSTER_UP", part(runner, "cluster-up", "raise SystemExit(1)"))
    use(runner, monkeypatch, part(runner, "c", "pass", cluster=True))
    assert runner.main(["c"]) == 1
    out = capfd.readouterr().out
    assert "c: not run, no cluster" in out
    assert "==> cluster-down" in out


def test_run_ends_with_2_when_a_part_is_unknown(runner: ModuleType) -> None:
    assert runner.main(["nonsense"]) == 2


ONCE = """
import pytest

@pytest.fixture(autouse=True)
def leaves():
    yield
    assert not {leaves}

@pytest.mark.parametrize("number", range({fails} + 1))
def test_of_time(number):
    if number == {fails}:
        return
    with open(f"{folder}/attempt-{{number}}", "a") as file:
        file.write("x")
        assert file.tell() == {passes}, "the evidence"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "passes", "leaves", "repeats", "status", "attempts"),
    [
        pytest.param(1, 2, False, True, 0, 2, id="passes alone"),
        pytest.param(1, 3, False, True, 1, 2, id="fails twice"),
        pytest.param(1, 2, True, True, 1, 1, id="has left something"),
        pytest.param(1, 2, False, False, 1, 1, id="a tier that does not repeat"),
        pytest.param(4, 2, False, True, 1, 1, id="too many"),
    ],
)
def test_run_repeats_few_failed_tests_alone_and_names_them(
    runner: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    fails: int,
    passes: int,
    leaves: bool,
    repeats: bool,
    status: int,
    attempts: int,
) -> None:
    file = tmp_path / "test_twice.py"
    file.write_text(ONCE.format(folder=tmp_path, fails=fails, passes=passes, leaves=leaves), encoding="utf-8")
    command = runner.pytest(
        str(file), "-c", "/dev/null", "--rootdir", str(tmp_path), *runner.workers(2, by="worksteal")
    )
    before = [sys.executable, "-c", "import sys; assert sys.argv[1:] == ['programs']", "programs"]
    use(runner, monkeypatch, runner.Part("slow", "for a test", [before, command], 60, repeats=repeats))
    assert runner.main(["slow"]) == status
    out = capfd.readouterr().out
    assert "the evidence" in out  # of the first attempt
    assert len((tmp_path / "attempt-0").read_text(encoding="utf-8")) == attempts
    last = "passed, but at the second attempt only: test_twice.py::test_of_time[0]"
    assert (last in out.split("slow ")[-1]) == (status == 0)


SHARED = """
import pytest

@pytest.fixture(scope="module")
def serving():
    with open("{folder}/attempts", "a") as file:
        file.write("x")
        assert file.tell() == 2, "the evidence"

@pytest.mark.parametrize("number", range(9))
def test_of_time(number, serving):
    pass
"""


@pytest.mark.slow
def test_run_counts_a_fixture_that_many_tests_share_once(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "test_twice.py"
    file.write_text(SHARED.format(folder=tmp_path), encoding="utf-8")
    command = runner.pytest(str(file), "-c", "/dev/null", "--rootdir", str(tmp_path))
    use(runner, monkeypatch, runner.Part("slow", "for a test", [command], 60, repeats=True))
    assert runner.main(["slow"]) == 0
    assert (tmp_path / "attempts").read_text(encoding="utf-8") == "xx"
    assert "9 errors" in capfd.readouterr().out


def test_programs_that_are_built_before_a_tier_are_known(runner: ModuleType) -> None:
    assert runner.TIER_PROGRAMS.keys() <= runner.parts().keys()
    assert {name for names in runner.TIER_PROGRAMS.values() for name in names} <= PROGRAMS.keys()
