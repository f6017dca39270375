"""Make the project's Python environment in the user's cache and print where it is.

Standard library only, and written so that an old Python can still read it and say what is missing.
The environment is keyed by the lock file and the Python version, so clones share it; it holds no checkout.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
CHECKOUT = Path(__file__).resolve().parent.parent
DEVELOPMENT = CHECKOUT / "requirements" / "dev.lock"
CLUSTER = CHECKOUT / "requirements" / "cluster.lock"
"""What the local cluster and the demo need: a small part of the above, there in seconds."""
INSTALL_LIMIT = 900  # seconds; a cold install takes about 30


class BootstrapError(Exception):
    """What this machine lacks, and how to get it."""


def main() -> int:
    """Print the environment's directory (or, with --launcher, the directory of this checkout's ``vmn``)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--launcher", action="store_true", help="write a `vmn` for this checkout; print its directory")
    parser.add_argument("--cluster", action="store_true", help="only what the local cluster and the demo need")
    parser.add_argument("--announce", choices=["cluster", "tests"], help="say first what is going to be fetched")
    arguments = parser.parse_args()
    try:
        use_a_python_that_will_do()
        if arguments.announce:
            announce(tests=arguments.announce == "tests")
        environment = make_environment(CLUSTER if arguments.cluster else DEVELOPMENT)
        print(make_launcher(environment) if arguments.launcher else environment)
    except BootstrapError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("Interrupted. What is finished is kept: the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def announce(*, tests: bool) -> None:
    """Say what is going to be fetched and how much room it takes.

    Raises:
        BootstrapError: this machine has not enough of it.
    """
    from localcluster import host, needs  # not before an old Python has been left

    try:
        needs.announce(tests=tests)
    except host.HostError as error:
        raise BootstrapError(str(error)) from error


def use_a_python_that_will_do() -> None:
    """Run again under a newer Python of this machine when this one is too old."""
    if sys.version_info[:2] >= OLDEST:
        return
    for minor in range(19, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, *sys.argv])
    wanted, given = ".".join(map(str, OLDEST)), ".".join(map(str, sys.version_info[:2]))
    raise BootstrapError(
        f"Python {wanted} or newer is needed, this is {given}. Install it (Debian 12 and Ubuntu 24.04: "
        "`apt-get install python3 python3-venv`) or run `make PYTHON=/path/to/python3.11`."
    )


def cache_dir() -> Path:
    """Return the project's directory in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vllm-multinode"


def environment_dir(lock: Path = DEVELOPMENT) -> Path:
    """Return where the environment of a lock file and this Python belongs."""
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(f"{sys.version} {Path(sys.executable).resolve()}".encode())
    return cache_dir() / f"venv-{digest.hexdigest()[:16]}"


def make_environment(lock: Path = DEVELOPMENT) -> Path:
    """Return the environment's directory, filled when it is not there yet.

    A virtual environment can't be moved, so it is made in its place and counts once its last file, ``complete``, is
    there; a half-made one, left by an interrupted run, is thrown away.

    Raises:
        BootstrapError: the ``venv`` module is missing, or pip failed.
    """
    target = environment_dir(lock)
    complete = target / "complete"
    if complete.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if complete.is_file():  # another run made it while this one waited
            return target
        shutil.rmtree(target, ignore_errors=True)
        require_venv()
        start = time.monotonic()
        print(f"==> Python packages of requirements/{lock.name} into {target}", file=sys.stderr)
        call([sys.executable, "-m", "venv", str(target)])
        pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        whole = [
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
        ]  # the lock has all but what is overridden
        call([*pip, "install", "--quiet", *whole, "--requirement", str(lock)])
        complete.touch()
        print(f"    done in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return target


def require_venv() -> None:
    """Raise when this Python comes without ``venv`` or ``ensurepip``, as Debian's does without its package."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise BootstrapError(
            f"this Python has no module {error.name!r}. On Debian and Ubuntu: `apt-get install {package}`."
        ) from error


def call(command: list[str]) -> None:
    """Run a command with its output on standard error.

    Raises:
        BootstrapError: it failed or took too long.
    """
    # PYTHONPATH and a surrounding environment's variables would leak into the new one
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, env=env, timeout=INSTALL_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise BootstrapError(f"no end after {INSTALL_LIMIT} s: {shlex.join(command)}") from error
    except subprocess.CalledProcessError as error:
        message = f"exit status {error.returncode}: {shlex.join(command)}"
        hint = "A package index or mirror is configured as for any pip (pip.conf, PIP_*)."
        raise BootstrapError(f"{message}\n{hint}") from error


def make_launcher(environment: Path) -> Path:
    """Write a ``vmn`` that runs this checkout's code; return the directory to put on PATH."""
    key = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:16]
    folder = cache_dir() / f"bin-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    sources, python = shlex.quote(str(CHECKOUT / "tools")), shlex.quote(str(environment / "bin" / "python"))
    script = f'#!/bin/sh\nPYTHONPATH={sources}${{PYTHONPATH:+:$PYTHONPATH}} exec {python} -m vmn "$@"\n'
    fresh = folder / f".vmn-{os.getpid()}"
    fresh.write_text(script, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.replace(folder / "vmn")
    return folder


if __name__ == "__main__":
    sys.exit(main())
