"""Started by ``inside.py`` in fresh mount and process namespaces: sets the mounts up, then becomes the command.

Arguments: ROOT USER [SOURCE:TARGET:ro|rw]... -- PROGRAM [ARGUMENT]...
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Mount, drop root's rights and execute the program; returns only by an exception.

    Raises:
        OSError: the program or the directory to enter isn't there.
        subprocess.CalledProcessError: a mount fails.
    """
    split = arguments.index("--")
    root, user, *plan = arguments[:split]
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    for line in plan:
        source, target, mode = line.rsplit(":", 2)
        place = Path(root) / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        mount("--bind", source, place)
        mount("-o", f"remount,bind,{mode}", place)
    for name, options in {"tmp": "mode=1777", "dev/shm": "mode=1777", "home/vllm": "mode=0777"}.items():
        (Path(root) / name).mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", options, "tmpfs", Path(root) / name)
    for name in ("null", "zero", "random", "urandom", "full"):
        device = Path(root) / "dev" / name
        device.touch()
        mount("--bind", Path("/dev") / name, device)
    mount("-t", "proc", "proc", Path(root) / "proc")
    mount("--rbind", "/sys", Path(root) / "sys")
    become(root, int(user), arguments[split + 1 :])


def mount(*arguments: str | Path) -> None:
    """Change the mounts of this namespace, with the arguments of the program ``mount``.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    subprocess.run(["mount", *arguments], check=True)


def become(root: str, user: int, command: list[str]) -> None:
    """Enter the root file system as ``user`` with group 0 and execute ``command`` there.

    Raises:
        OSError: the program or directory does not exist.
    """
    os.chroot(root)
    os.chdir("/tmp")
    os.setgroups([])
    os.setgid(0)
    os.setuid(user)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
