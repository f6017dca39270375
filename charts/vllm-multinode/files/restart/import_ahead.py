"""Imports vLLM, waits for its turn, and becomes the ``vllm serve`` of the next run (group.inPlaceRestart.standby).

Only the import comes before its turn. What start.sh does before it becomes ``vllm serve`` is done then.
"""

from __future__ import annotations

import importlib
import os
import runpy
import select
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SERVER = "vllm.entrypoints.cli.main"
"""What the program ``vllm`` imports (0.32, 0.33)."""
MODULES = ("vllm.entrypoints.cli.serve", "vllm.v1.engine.core")
"""What ``vllm serve`` imports in addition, for the server, and for the processes that it forks."""


def import_vllm(program: str) -> None:
    """Import what does not need a GPU.

    Args:
        program: path of ``vllm``, in whose directory Python would look for modules first.

    Raises:
        ImportError: vLLM is not installed for this interpreter.
    """
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(program).resolve().parent)
    importlib.import_module(SERVER)
    for name in MODULES:
        with suppress(ModuleNotFoundError):  # of another version of vLLM
            importlib.import_module(name)


def uses_gpu() -> bool:
    """Return whether PyTorch has begun to use a GPU: it then has memory of it, and vLLM would not fork."""
    torch = sys.modules.get("torch")
    return bool(torch and torch.cuda.is_initialized())


def is_turn(seconds: float | None) -> bool:
    """Return whether PID 1 closes standard input within some seconds; without a limit, wait until it does."""
    return bool(select.select([0], [], [], seconds)[0])


def command_line(script: Path, arguments: list[str]) -> list[str]:
    """Do what comes before ``vllm serve``, and return its command line.

    Raises:
        SystemExit: that failed, and has said why.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as words:
        with subprocess.Popen(
            ["bash", str(script), *arguments],
            env={**os.environ, "MULTINODE_COMMAND_LINE_TO": str(writer)},
            pass_fds=[writer],
        ) as process:
            os.close(writer)
            given = words.read()
        if process.returncode:
            raise SystemExit(process.returncode)
    return [word.decode() for word in given.split(b"\0")[:-1]]


def main() -> None:
    """Become vLLM."""
    program = shutil.which("vllm") or "vllm"
    import_vllm(program)
    if uses_gpu() and not is_turn(0):
        sys.exit("vllm-multinode: error: importing vLLM has begun to use a GPU, whose memory the engine needs")
    print("vllm-multinode: vLLM is imported for the next run", file=sys.stderr, flush=True)
    is_turn(None)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    words = command_line(Path(__file__).with_name("standby.sh"), sys.argv[1:])
    sys.argv = [program, *words[1:]]
    with suppress(ImportError):  # vLLM has it
        importlib.import_module("setproctitle").setproctitle(" ".join([sys.executable, *sys.argv]))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
