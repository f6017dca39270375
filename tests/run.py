"""Run parts of the checks one after the other, each bounded, with the time it took; called by the Makefile.

The cluster tiers use a local cluster of their own, which is started for them, and stopped at the end however the tests
end. They use the cluster of KUBECONFIG instead where that is set to another than the local one of ``make demo``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from localcluster import instance
from localcluster.cache import cache_dir, locked
from localcluster.kubectl import kubeconfig

CHECKOUT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
PASSED = "passed"
"""How the outcome of what went well begins."""
SECONDS_TO_CLEAN_UP = 60
"""After a part's time is up it is interrupted, and killed when it has not ended by then."""

CODE = ("tools", "tests", "benchmarks", "charts")
"""Directories with Python code."""

OFFLINE = ("tests/unit", "tests/cli", "tests/chart")
"""Each worker collects all tests, which takes seconds, so it gets only the directories and plugins this tier needs."""
ONCE = ("env", "GOGC=off", "LC_MESSAGES=ko_KR.UTF-8")
"""Keeps Go from collecting garbage in programs that end soon, 29 % of the time of ``helm template``, for 10 MB more.

And lets Helm compress only a few of kubectl's translations before it begins: see ``findings``.
"""
RARELY = ("env", "GOGC=800", "GOMEMLIMIT=1500MiB")
"""The same where some programs, such as an API server, run longer."""
SLOW_WORKERS = 4
"""More than processors, as these tests mostly wait: with two workers they used 36 % of two processors."""
CLUSTER_WORKERS = 3
"""One more than processors: about a third of the time of a test on a cluster is waiting."""
SIMULATED_NODES = 28
"""Two groups of two nodes for each of two other files of tests, and those of ``vmn install-test``."""

UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""With this variable, each process compiles all of its modules again, 13 s of each run of the fast tier."""

MOST_REPEATED = 3
"""So many failures of a command run a second time, alone; more than that are not the machine's."""

TIER_PROGRAMS: Mapping[str, Sequence[str]] = {
    "fast": ("cyclonus",),
    "slow": ("argocd-health", "flux-health", "registry", "cosign", "helm3", "kube-score"),
    "cluster": ("ct", "kueue"),
    "engine": ("kube-state-metrics",),
}
"""Programs of a tier that take minutes to build at first: before its tests, which would be silent meanwhile, or whose
pods would wait for processors that compile."""


@dataclass(frozen=True)
class Part:
    """A named list of commands with a bound on its time."""

    name: str
    says: str
    commands: Sequence[Sequence[str]]
    limit: int
    """Seconds."""
    cluster: bool = False
    repeats: bool = False
    """Whether tests that failed run a second time, alone, as another program may have slowed them (ADR 27)."""


def pytest(*arguments: str) -> list[str]:
    """Return pytest's command line."""
    return [PYTHON, "-m", "pytest", "-q", *arguments]


def workers(count: int, *, by: str) -> list[str]:
    """Return pytest's options that run tests side by side.

    Args:
        count: number of workers.
        by: how tests are distributed, ``worksteal`` or ``loadfile``.
    """
    order = ["--no-loadscope-reorder"] if by == "loadfile" else []  # that of tests/conftest.py
    return ["-n", str(count), "-p", "no:anyio", "--dist", by, *order]


def programs_of(tier: str) -> list[str]:
    """Return the command line that builds the programs of a tier's tests, as far as the cache lacks them."""
    return [PYTHON, "-m", "localcluster", "programs", *TIER_PROGRAMS[tier]]


def on_cluster(tier: str, *, own: bool) -> list[list[str]]:
    """Return pytest's command lines for a tier on a cluster: the files that can run beside others, then the rest.

    Args:
        tier: the tier's mark and directory.
        own: whether the cluster is the tests' own, which has nodes for several files at a time.
    """
    beside = workers(CLUSTER_WORKERS, by="loadfile") if own else []
    directory = f"tests/{tier}"
    return [
        *([programs_of(tier)] if own else []),
        [*RARELY, *pytest(directory, *beside, "-m", f"{tier} and not alone")],
        [*RARELY, *pytest(directory, "-m", f"{tier} and alone")],
    ]


def shell_scripts() -> list[str]:
    """Return the project's shell scripts, by name or by their first line."""
    folders = [CHECKOUT / name for name in ("charts", "images", "tools", ".ci")]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return [str(file.relative_to(CHECKOUT)) for file in files if file.suffix == ".sh" or is_shell(file)]


def is_shell(file: Path) -> bool:
    """Return whether a file without a suffix starts like a shell script."""
    if file.suffix:
        return False
    with file.open("rb") as handle:
        line = handle.readline(80)
    return line.startswith(b"#!") and line.rstrip().endswith(b"sh")


def yaml_directories() -> list[str]:
    """Return the plain YAML files and directories that are there (templates are not plain YAML)."""
    names = ["ct.yaml", ".github", "examples", "values", "tests/cases", "tests/cluster"]
    names += [f"charts/vllm-multinode/{name}" for name in ("values.yaml", "files/renamed.yaml", "ci")]
    return [name for name in names if (CHECKOUT / name).exists()]


def workflows() -> list[str]:
    """Return the workflows of GitHub Actions."""
    folder = CHECKOUT / ".github" / "workflows"
    return [str(file.relative_to(CHECKOUT)) for file in sorted(folder.glob("*.y*ml"))]


def parts(*, own: bool = True) -> dict[str, Part]:
    """Return every part by its name, in the order in which they make sense.

    Args:
        own: whether the cluster is the tests' own.
    """
    # mypy compares the content of files whose time differs, so that clones can share its cache: 50 s of a first run.
    lint = [
        [PYTHON, "-m", "ruff", "check", *CODE],
        [PYTHON, "-m", "ruff", "format", "--check", *CODE],
        [PYTHON, "-m", "mypy", "--cache-dir", str(cache_dir() / "mypy")],
        ["lint-imports", "--no-logo"],
        ["yamllint", "--strict", "--config-file", ".ct/lintconf.yaml", *yaml_directories()],
        ["shellcheck", "--external-sources", *shell_scripts()],
        [PYTHON, "-m", "localcluster", "run", "actionlint", "-no-color", *workflows()],
    ]
    fast = [*ONCE, *pytest(*OFFLINE, *workers(2, by="worksteal"), "-m", "not slow and not cluster and not engine")]
    slow = [*RARELY, *pytest(*OFFLINE, *workers(SLOW_WORKERS, by="worksteal"), "-m", "slow")]
    faults = [
        [PYTHON, "-m", "localcluster", "up", "--real-nodes", "3"],
        pytest("-m", "faults"),
        ["env", "PYTHONPATH=tools:tests", PYTHON, "-m", "faults.results"],
    ]
    every = [
        Part("lint", "style, types, layers, YAML, shell, workflows", lint, 600),
        Part("verify", "what is generated is up to date", [[PYTHON, "-m", "chartfiles", "--verify"]], 120),
        Part("fast", "offline tests", [programs_of("fast"), fast], 900, repeats=True),
        Part("slow", "offline tests that wait for many processes", [programs_of("slow"), slow], 1800, repeats=True),
        Part("cluster", "tests on a real API server", on_cluster("cluster", own=own), 1800, cluster=True, repeats=True),
        Part("engine", "tests with vLLM in real pods", on_cluster("engine", own=own), 3300, cluster=True, repeats=True),
        Part("faults", "what happens when parts of it break", faults, 3 * 3600, cluster=True),
    ]
    return {part.name: part for part in every}


CLUSTER_NEW = Part("cluster-new", "remove what an interrupted run left", [[PYTHON, "-m", "localcluster", "down"]], 180)
CLUSTER_UP = Part(
    "cluster-up",
    "start the local cluster",
    [[PYTHON, "-m", "localcluster", "up", "--simulated-nodes", str(SIMULATED_NODES)]],
    2700,
)
CLUSTER_DOWN = Part("cluster-down", "stop the local cluster", [[PYTHON, "-m", "localcluster", "down"]], 180)


@dataclass
class Session:
    """What has been run, how it ended, and the environment of what comes next."""

    env: dict[str, str]
    results: list[tuple[str, str, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def run(self, part: Part) -> bool:
        """Run all commands of a part, also after one failed, and return whether all went well."""
        print(f"\n==> {part.name}: {part.says} (at most {minutes(part.limit)})", flush=True)
        start = time.monotonic()
        outcomes = []
        for command in part.commands:
            run = self.call_twice if part.repeats and "pytest" in command else self.call
            outcomes.append(run(command, part.limit - (time.monotonic() - start)))
        notes = [outcome for outcome in outcomes if outcome.startswith(PASSED)]
        failed = [outcome for outcome in outcomes if outcome and outcome not in notes]
        seconds = time.monotonic() - start
        self.results.append((part.name, "; ".join([*failed, *notes]) or PASSED, seconds))
        print(f"<== {part.name}: {'FAILED' if failed else 'passed'} in {minutes(seconds)}", flush=True)
        return not failed

    def call(self, command: Sequence[str], limit: float) -> str:
        """Run one command; return what went wrong, or nothing."""
        shown = shlex.join([Path(command[0]).name, *command[1:]])
        print(f"$ {shown if len(shown) < 300 else shown[:300] + ' …'}", flush=True)
        try:
            process = subprocess.Popen(command, cwd=CHECKOUT, env=self.env, start_new_session=True)
        except OSError as error:
            return str(error)
        try:
            code = process.wait(max(limit, 1))
        except subprocess.TimeoutExpired:
            end(process)
            return f"time is up: {Path(command[0]).name}"
        except BaseException:  # an interrupt ends the command as well, with time to clean up
            end(process)
            raise
        return f"exit {code}: {' '.join(shown.split()[:4])}" if code else ""

    def call_twice(self, command: Sequence[str], limit: float) -> str:
        """Run a command of pytest, and the tests that failed a second time, alone; return what went wrong."""
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as cache:
            own = [*command, "-o", f"cache_dir={cache}", f"--junitxml={cache}/junit.xml"]
            outcome = self.call(own, limit)
            left = limit - (time.monotonic() - begun)
            if not outcome.startswith("exit 1:") or left <= 0:
                return outcome
            failed = failed_tests(Path(cache))
            if not all("::" in test for test in failed) or not 0 < failures(Path(cache)) <= MOST_REPEATED:
                return outcome
            print(f"\nA second attempt, alone: {', '.join(failed)}", flush=True)
            again = self.call([*own, "-n", "0", "--last-failed"], left)
            if missing := failed_tests(Path(cache)):  # those that failed again, or did not run
                return again or f"not repeated: {', '.join(missing)}"
        return again or f"{PASSED}, but at the second attempt only: {', '.join(failed)}"

    def skip(self, part: Part, why: str) -> None:
        """Record a part that can't run as failed."""
        print(f"\n==> {part.name}: not run, {why}", flush=True)
        self.results.append((part.name, f"not run, {why}", 0.0))

    def summary(self) -> str:
        """Return the table of all parts and one line that sums it up."""
        lines = [f"  {name:<13} {minutes(seconds):>8}  {outcome}" for name, outcome, seconds in self.results]
        bad = [name for name, outcome, _ in self.results if not outcome.startswith(PASSED)]
        total = minutes(time.monotonic() - self.begun)
        return "\n".join(["", *lines, f"FAILED after {total}: {', '.join(bad)}" if bad else f"all passed in {total}"])


def failed_tests(cache: Path) -> list[str]:
    """Return the tests that pytest has recorded as failed in a cache."""
    file = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else []


def failures(cache: Path) -> int:
    """Return how much failed: a fixture that several tests share counts once.

    The end of a test that failed says that it has left something, which a second attempt can't tell: that counts as
    more failures than are repeated.
    """
    found = set()
    for case in ElementTree.parse(cache / "junit.xml").iter("testcase"):
        found |= {(case.get("classname"), case.get("name")) for _ in case.iter("failure")}
        errors = [error.get("message", "") for error in case.iter("error")]
        if any("on teardown" in message for message in errors):
            return MOST_REPEATED + 1
        found |= {(case.get("classname"), message) for message in errors}
    return len(found)


def end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command's process group, then kill what is left of it."""
    for sign, patience in ((signal.SIGINT, SECONDS_TO_CLEAN_UP), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def minutes(seconds: float) -> str:
    """Return a time as people read it."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def local_environment(env: dict[str, str]) -> dict[str, str]:
    """Return the environment that the local cluster's own shell lines make (PATH, KUBECONFIG)."""
    script = 'lines=$("$0" -m localcluster env) && eval "$lines" && env -0'
    done = subprocess.run(
        ["/bin/sh", "-c", script, PYTHON], env=env, cwd=CHECKOUT, check=True, capture_output=True, timeout=2700
    )
    pairs = (item.partition("=") for item in done.stdout.decode().split("\0") if "=" in item)
    return {name: value for name, _, value in pairs}


def foreign_cluster(env: Mapping[str, str]) -> str:
    """Return the kubeconfig of a cluster that the tests are to use, nothing when they are to have their own."""
    given = env.get("KUBECONFIG", "")
    return "" if given and Path(given).resolve() == kubeconfig().resolve() else given


def run_on_cluster(session: Session, wanted: Sequence[Part]) -> None:
    """Run the tiers that need a cluster: on that of KUBECONFIG, or on one that is started and stopped for them."""
    if given := foreign_cluster(session.env):
        session.env.update(local_environment(session.env) | {"KUBECONFIG": given})
        for part in wanted:
            session.run(part)
        return
    session.env.pop("KUBECONFIG", None)
    session.env[instance.VARIABLE] = "tests"
    with only_run():
        try:
            run_on_own_cluster(session, wanted)
        finally:
            session.run(CLUSTER_DOWN)


def run_on_own_cluster(session: Session, wanted: Sequence[Part]) -> None:
    """Start the tests' own cluster and run the tiers on it; nothing of an earlier run is in it."""
    if not session.run(CLUSTER_NEW) or not session.run(CLUSTER_UP):
        for part in wanted:
            session.skip(part, "no cluster")
        return
    session.env.update(local_environment(session.env))
    for part in wanted:
        session.run(part)


@contextlib.contextmanager
def only_run() -> Iterator[None]:
    """Wait until no other run uses the tests' own cluster, and keep others waiting meanwhile."""
    with locked(cache_dir() / "tests-cluster"):
        yield


def main(names: Sequence[str]) -> int:
    """Run the named parts."""
    known = parts(own=not foreign_cluster(os.environ))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        print(f"usage: run.py {{{','.join(known)}}}…", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `nohup … &`: commands must still hear it, to clean up
        signal.signal(signal.SIGINT, lambda *_: None)  # ignored here, and by exec the default again in what it starts
    session = Session({name: value for name, value in os.environ.items() if name != UNCOMPILED})
    wanted = [known[name] for name in names]
    try:
        for part in wanted:
            if not part.cluster:
                session.run(part)
        clustered = [part for part in wanted if part.cluster]
        if clustered:
            run_on_cluster(session, clustered)
    except KeyboardInterrupt:
        session.results.append(("interrupted", "stopped from outside", 0.0))
    print(session.summary(), flush=True)
    return int(any(not outcome.startswith(PASSED) for _, outcome, _ in session.results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
