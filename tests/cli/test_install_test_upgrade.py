"""``vmn install-test --upgrade``: from what git has, from what the checkout keeps, and what it says without either."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.smallchart import write_chart
from localcluster.programs import program
from vmn import __version__
from vmn.cli import main

pytestmark = pytest.mark.slow

Run = Callable[..., Result]
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
case "$(basename "$0") $*" in
  *leaderworkersets*jsonpath*) echo "1 1 1" ;;
  "kubectl get namespace"*) exit 1 ;; # ct waits until it is gone
  "helm version"*) echo v4.0.0 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with a small chart, a preset, ct.yaml, and the previous chart."""
    root = tmp_path / "checkout"
    chart = write_chart(root / "charts" / "small")
    (chart / "ci").mkdir()
    (chart / "ci" / "two-values.yaml").write_text("tensor: 2\n")
    (root / "values").mkdir()
    (root / "values" / "one.yaml").write_text("tensor: 1\n")
    (root / "ct.yaml").write_text("chart-dirs: [charts]\ntarget-branch: main\nvalidate-maintainers: false\n")
    kept = root / "tests" / "upgrade" / "previous.tar.gz"
    kept.parent.mkdir(parents=True)
    with tarfile.open(kept, "w:gz") as archive:
        for name in ("charts", "values"):
            archive.add(root / name, arcname=name)
    (root / "values" / "new.yaml").write_text("tensor: 4\n")
    return root


@pytest.fixture
def run(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in the checkout, with stand-ins for helm and kubectl."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("helm", "kubectl"):
        (programs / name).write_text(STAND_IN.format(log=tmp_path / "log"))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{program('ct').parent}", prepend=":")
    monkeypatch.chdir(checkout)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def call(*options: str) -> Result:
        return CliRunner().invoke(main, ["install-test", "--chart", "charts/small", "--upgrade", *options])

    return call


def git(folder: Path, *arguments: str) -> None:
    """Run git with an author of its own."""
    own = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def with_history(checkout: Path, branch: str = "origin/main") -> None:
    """Make the checkout a git repository whose remote branch has the chart, and raise its version since."""
    git(checkout, "init")
    git(checkout, "add", "charts", "values", "ct.yaml")
    git(checkout, "commit", "-m", "before")
    git(checkout, "update-ref", f"refs/remotes/{branch}", "HEAD")
    file = checkout / "charts" / "small" / "Chart.yaml"
    file.write_text(file.read_text().replace(__version__, f"{__version__.rpartition('.')[0]}.99"))
    git(checkout, "commit", "-am", "now")


def test_ct_itself_upgrades_from_the_target_branch(run: Run, checkout: Path, tmp_path: Path) -> None:
    """The real ct in a real repository: it would say nothing when it found no chart to upgrade from."""
    with_history(checkout)
    (tmp_path / "bin" / "yamllint").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "yamale").write_text("#!/bin/sh\n")
    for name in ("yamllint", "yamale"):
        (tmp_path / "bin" / name).chmod(0o755)
    result = run("--wait", "60")
    log = (tmp_path / "log").read_text().splitlines()
    assert "passed  ct install --upgrade" in result.stdout, result.output
    installed = [line for line in log if line.startswith("helm install") and "ct-previous-revision" in line]
    assert installed, log
    assert [line for line in log if line.startswith("helm upgrade") and "ct-previous-revision" not in line], log
    assert list(checkout.glob("ct-previous-revision*")) == []


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda root: None, "is not the top of a git checkout"),
        (
            lambda root: with_history(root, "elsewhere/main"),
            "branch origin/main does not exist (git fetch origin main)",
        ),
        (lambda root: (root / "ct.yaml").unlink(), "has no ct.yaml"),
    ],
    ids=["no git", "no branch", "no configuration"],
)
def test_upgrade_says_why_ct_can_not_and_starts_from_what_the_checkout_keeps(
    run: Run, checkout: Path, prepare: Callable[[Path], object], words: str
) -> None:
    prepare(checkout)
    result = run("--dry-run")
    assert result.exit_code == 0, result.output
    assert f"ct install runs without --upgrade: {words}" in result.stderr or words in result.stderr
    assert "# ct install\n" in result.stdout
    names = [line for line in result.stdout.splitlines() if line.startswith("# upgrade")]
    assert names == ["# upgrade two-values.yaml", "# upgrade one.yaml"], "new.yaml has nothing to upgrade from"


def test_upgrade_takes_the_previous_chart_that_it_is_given(run: Run, checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / "tests")
    older = write_chart(tmp_path / "older")
    result = run("--dry-run", "--previous", str(older))
    assert f"helm install install-test-3 {older} --namespace" in result.stdout
    assert "# upgrade new.yaml" in result.stdout, "it came without values files: today's serve for both"


@pytest.mark.parametrize("text", [b"no archive", b""])
def test_upgrade_ends_with_3_when_the_file_is_not_an_archive(run: Run, checkout: Path, text: bytes) -> None:
    (checkout / "tests" / "upgrade" / "previous.tar.gz").write_bytes(text)
    result = run("--dry-run")
    assert result.exit_code == 3
    assert "previous.tar.gz" in result.stderr


def test_upgrade_ends_with_3_when_there_is_no_previous_chart(run: Run, checkout: Path) -> None:
    shutil.rmtree(checkout / "tests")
    result = run("--dry-run")
    assert result.exit_code == 3
    assert "Name one with --previous" in result.stderr


def test_previous_is_refused_without_upgrade(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    result = CliRunner().invoke(main, ["install-test", "--chart", "charts/small", "--previous", "charts/small"])
    assert result.exit_code == 2
    assert "Give both" in result.stderr
