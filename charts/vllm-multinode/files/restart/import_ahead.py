"""Imports vLLM, waits for its turn, and becomes the ``vllm serve`` of the next run (group.inPlaceRestart.standby).

Only the import comes before its turn. What start.sh does before it becomes ``vllm serve`` is done then.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

MODULES = ("vllm.entrypoints.cli.main", "vllm.entrypoints.cli.serve", "vllm.v1.engine.core")
"""What ``vllm serve`` (0.32, 0.33) imports for the server, and for the processes that it forks."""


def import_vllm() -> None:
    """Import what does not need a GPU, in the same way as the program ``vllm``."""
    program = shutil.which("vllm")
    sys.path[0] = str(Path(program).resolve().parent) if program else ""
    for name in MODULES:
        with suppress(ModuleNotFoundError):  # of another version of vLLM
            importlib.import_module(name)


def uses_gpu() -> bool:
    """Return whether PyTorch has begun to use a GPU: it then has memory of it, and vLLM would not fork."""
    torch = sys.modules.get("torch")
    return bool(torch and torch.cuda.is_initialized())


def await_turn() -> None:
    """Wait until PID 1 closes standard input."""
    while os.read(0, 4096):
        pass
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def command_line(script: Path, arguments: list[str]) -> list[str]:
    """Do what comes before ``vllm serve``, and return its command line.

    Raises:
        SystemExit: that failed, and has said why.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as words:
        with subprocess.Popen(
            ["bash", str(script), *arguments], env={**os.environ, "MULTINODE_WORDS": str(writer)}, pass_fds=[writer]
        ) as process:
            os.close(writer)
            given = words.read()
        if process.returncode:
            raise SystemExit(process.returncode)
    return [word.decode() for word in given.split(b"\0")[:-1]]


def main() -> None:
    """Become vLLM."""
    own = Path(__file__).parent
    import_vllm()
    if uses_gpu():
        sys.exit("vllm-multinode: error: importing vLLM has begun to use a GPU, whose memory the engine needs")
    print("vllm-multinode: vLLM is imported for the next run", file=sys.stderr, flush=True)
    await_turn()
    port = Path(os.environ.get("TMPDIR", "/tmp")) / "vllm-multinode-restart-port"
    os.environ["MULTINODE_MASTER_PORT"] = port.read_text(encoding="ascii")
    words = command_line(own / "standby.sh", sys.argv[1:])
    sys.argv = [shutil.which(words[0]) or words[0], *words[1:]]
    with suppress(ImportError):  # vLLM has it
        importlib.import_module("setproctitle").setproctitle(" ".join([sys.executable, *sys.argv]))
    from vllm.entrypoints.cli.main import main as vllm

    sys.exit(vllm())


if __name__ == "__main__":
    main()
