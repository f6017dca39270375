"""Two pods whose engines restart in place, with the small program of a group in place of vLLM."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kit import smalldaemons, smallgroup
from kit.paths import CHART
from kit.scripts import Pod, children, free_ports, inside, terminate, until

LATE = 30
"""Seconds that what must happen may take, on a busy machine."""
PORTS = 11
"""Ports from the master port on that a group with restarts in place and kept weights needs."""
SHARED = "vllm-"
"""A server has a file in /dev/shm with this name and its number in the pod, which it does not delete."""
SERVE, LEAD, FOLLOW = "serve", "lead", "follow"
"""What the processes of the small program are: the server of either pod, and the ranks."""


@dataclass
class RunningPod:
    """One of the two pods.

    Attributes:
        process: what its PID 1 runs in.
        pod: its settings.
        said: the lines of its log.
    """

    process: subprocess.Popen[str]
    pod: Pod
    said: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Keep the lines of the log."""
        with self.process:
            assert self.process.stdout
            self.said += self.process.stdout

    def processes(self, mode: str) -> dict[int, list[str]]:
        """Return the processes of the small program in this pod that do one thing."""
        own = str(smallgroup.__file__)
        found = inside(self.process)
        return {number: words for number, words in found.items() if words[1:3] == [own, mode]}

    def daemons(self) -> set[int]:
        """Return the processes of the weight daemons in this pod."""
        return {number for number, words in inside(self.process).items() if str(smalldaemons.__file__) in words}

    def standby(self) -> list[int]:
        """Return the numbers of the processes that import vLLM ahead, and of what they have become."""
        return self.first("import_ahead.py")

    def send(self, sign: signal.Signals, mode: str) -> None:
        """Signal those processes."""
        numbers = list(self.processes(mode))
        assert numbers, f"no {mode}: {inside(self.process)}"
        for number in numbers:
            os.kill(number, sign)

    def first(self, word: str) -> list[int]:
        """Return the number of the first process with a word or a program in its command line, if there is one."""
        found = inside(self.process).items()
        return [number for number, words in found if word in (one.rpartition("/")[2] for one in words)][:1]

    def shared_memory(self) -> set[str]:
        """Return the names of the files in /dev/shm."""
        return {file.name for file in Path(f"/proc/{self._first()}/root/dev/shm").iterdir()}

    def own_shared_memory(self) -> set[str]:
        """Return the names of the files that the servers of this pod have in /dev/shm."""
        found = [Path(f"/proc/{number}/status").read_text(encoding="ascii") for number in self.processes(SERVE)]
        return {SHARED + re.findall(r"^NSpid:.*\t(\d+)$", text, re.MULTILINE)[0] for text in found}

    def delete(self) -> None:
        """Do what Kubernetes does to a pod that is deleted: run its preStop hook, then send SIGTERM."""
        with suppress(OSError, IndexError, StopIteration):  # it ended meanwhile
            self._enter(self.script("prestop.sh"))
            self.terminate()

    def says(self, pattern: str, limit: float = LATE) -> bool:
        """Return whether a line comes within some seconds."""
        return until(lambda: any(re.search(pattern, line) for line in list(self.said)), limit)

    def count(self, pattern: str) -> int:
        """Return how many lines match so far."""
        return sum(bool(re.search(pattern, line)) for line in list(self.said))

    def ends(self, limit: float = LATE) -> int | None:
        """Return the exit status, nothing when it does not end within some seconds."""
        until(lambda: self.process.poll() is not None, limit)
        return self.process.poll()

    def message(self) -> str:
        """Return the termination message."""
        return self.pod.message.read_text(encoding="utf-8")

    def probe(self, name: str) -> int:
        """Return the exit status of a probe of the pod, which runs in it."""
        return self._enter(self.script("restart-probe.sh"), name, "2", "0")

    def script(self, name: str) -> str:
        """Return the path of a script of this pod."""
        return str(Path(self.pod.env["MULTINODE_ENTRYPOINT"]).with_name(name))

    def terminate(self) -> None:
        """Send SIGTERM to PID 1, as Kubernetes does."""
        terminate(self.process)

    def freeze(self) -> None:
        """Stop PID 1."""
        os.kill(self._first(), signal.SIGSTOP)

    def _first(self) -> int:
        return next(iter(inside(self.process)))

    def _enter(self, *words: str) -> int:
        """Run a script in the pod, and return its exit status."""
        enter = ["nsenter", f"--target={self._first()}", "--mount", "--pid", "bash"]
        return subprocess.run([*enter, *words], env=self.pod.env, capture_output=True, check=False).returncode


@dataclass
class RunningGroup:
    """Both pods.

    Attributes:
        leader: the leader.
        worker: the worker.
        together: the most runs of which processes were seen at one moment.
        crowd: the most servers that were seen in one pod at one moment.
        ports: master ports of the runs, the first one first.
    """

    leader: RunningPod
    worker: RunningPod
    together: int = 0
    crowd: int = 0
    ports: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def pods(self) -> tuple[RunningPod, RunningPod]:
        """Both."""
        return self.leader, self.worker

    def observe(self) -> None:
        """Look all the time which engines run."""
        while not self.over.wait(0.05):
            seen = set()
            for pod in self.pods:
                with suppress(OSError, IndexError):  # a process ended meanwhile
                    servers = pod.processes(SERVE)
                    forked = {child for number in servers for child in children(number)}  # before it runs a rank
                    self.crowd = max(self.crowd, len(servers.keys() - forked))
                    seen |= {words[words.index("--master-port") + 1] for words in servers.values()}
            self.together = max(self.together, len(seen))
            self.ports += seen - set(self.ports)

    def answers(self, limit: float = 5, **body: object) -> bool:
        """Return whether a request is answered within some seconds."""
        address = f"http://127.0.0.1:{self.leader.pod.env['MULTINODE_PORT']}/v1/completions"
        with suppress(OSError):
            data = json.dumps({"max_tokens": 3, **body}).encode()
            with urllib.request.urlopen(address, data=data, timeout=limit) as answer:
                return bool(answer.status == 200)
        return False

    def serves(self, limit: float = LATE) -> bool:
        """Return whether the group answers requests within some seconds."""
        return until(self.answers, limit)

    def ask(self, **body: object) -> None:
        """Send a request with a stream of tokens, and do not wait for its answer."""
        threading.Thread(target=lambda: self.answers(60, **{"stream": True, **body}), daemon=True).start()


def all_scripts(folder: Path) -> Path:
    """Copy the scripts into one directory, as the ConfigMap has them, and return it."""
    for name in ("engine", "restart"):
        shutil.copytree(CHART / "files" / name, folder, dirs_exist_ok=True)
    return folder


PROGRAM = "small-vllm"
"""The small program, when ``vllm`` is one in Python."""
PYTHON = """
from vllm.entrypoints.cli.main import main
if __name__ == "__main__":
    main()
"""
IMPORTED = f"""
import os, sys, time, torch
if "MULTINODE_STANDBY" in os.environ:
    time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))
    assert "IMPORT_FAILS" not in os.environ, "vLLM can't be imported"

def main():
    os.execvp("{PROGRAM}", ["{PROGRAM}", *sys.argv[1:]])
"""
"""A module in place of vLLM's own that becomes the small program."""
TORCH = """
import os
class cuda:
    is_initialized = staticmethod(lambda: "USES_GPU" in os.environ)
"""


def _importable(folder: Path) -> Path:
    """Write packages that import_ahead.py finds in place of vLLM and PyTorch, and return their directory."""
    own = folder / "vllm" / "entrypoints" / "cli"
    own.mkdir(parents=True)
    own.joinpath("main.py").write_text(IMPORTED, encoding="utf-8")
    folder.joinpath("torch.py").write_text(TORCH, encoding="utf-8")
    return folder


@contextmanager
def running(folder: Path, *, serves: bool = True, **settings: object) -> Iterator[RunningGroup]:
    """Run both pods, and end them.

    Args:
        folder: a temporary directory.
        serves: wait until the group serves.
        settings: environment variables over those of a group that may restart three times.
    """
    scripts = all_scripts(folder / "scripts")
    master = free_ports(PORTS)
    group: dict[str, object] = {
        "MULTINODE_ENTRYPOINT": scripts / "entrypoint.sh",
        "MULTINODE_RESTARTS": 3,
        "MULTINODE_RESTART_WINDOW_SECONDS": 600,
        "MULTINODE_STARTUP_SECONDS": 60,
        "MULTINODE_MASTER_PORT": master,
        "MULTINODE_WORKER_LOSS_SECONDS": 0,
        "MULTINODE_PORT": free_ports(1),
        "LWS_LEADER_ADDRESS": "vllm-0.vllm.ns",
        "START_SECONDS": 1,
        "PYTHONPATH": _importable(folder / "modules"),
        **settings,
    }
    daemons = f'[ "$1" != preload ] || exec {sys.executable} {smalldaemons.__file__} "$@"'
    command = f'{daemons}\ntouch /dev/shm/{SHARED}$$ && exec {sys.executable} {smallgroup.__file__} "$@"'
    pods = []
    for rank, name in enumerate(("leader", "worker")):
        own = folder / name
        own.mkdir()
        cache = {"TRITON_CACHE_DIR": own / "triton", "LWS_WORKER_INDEX": rank}
        pod = Pod(own, command, **group, **cache)
        pod.program("getent", "echo 127.0.0.1 STREAM")
        if "MULTINODE_KEEP_STANDBY" in pod.env and "SHELL" not in settings:
            pod.program(PROGRAM, command)
            pod.programs.joinpath("vllm").write_text(f"#!{sys.executable}\n{PYTHON}", encoding="utf-8")
        words = (sys.executable, "-B", str(scripts / "restart.py"), "m", "--port", pod.env["MULTINODE_PORT"])
        pods.append(RunningPod(pod.start_program(*words), pod))
    readers = [threading.Thread(target=pod.read) for pod in pods]
    found = RunningGroup(pods[0], pods[1])
    threads = [threading.Thread(target=found.observe), *readers]
    for thread in threads:
        thread.start()
    try:
        if serves:
            assert found.serves(4 * LATE), found.leader.said + found.worker.said
            time.sleep(1.5)  # PID 1 has seen that it serves
        yield found
    finally:
        found.over.set()
        for one in pods:
            one.process.kill()
        for thread in threads:
            thread.join()
