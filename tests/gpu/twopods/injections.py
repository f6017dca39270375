"""What is done to a group that serves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gpu.twopods.group import Group
from gpu.twopods.processes import children
from gpu.twopods.slowness import slow_down

TAKE_MEMORY = Path(__file__).with_name("take_memory.py")
TITLES: Mapping[str, str] = {
    "server": r"vllm serve |cli[./]main(\.py)? serve |bin/vllm serve|api_server |VLLM::APIServer",
    "core": r"VLLM::EngineCore",
    "rank": r"VLLM::Worker",
}
"""Kind of process -> its command line, or the title that vLLM gives it."""
SPAWNED = r"multiprocessing\.spawn import spawn_main|multiprocessing-fork"
"""Command line of a process of vLLM's that has no title (without the package setproctitle)."""
Undo = Callable[[], None]


def processes(group: Group, role: str, kind: str) -> list[int]:
    """Return the processes of a kind in a pod, by their numbers on the host.

    Args:
        group: that runs.
        role: of the pod.
        kind: ``pid1``, ``server``, ``core``, ``rank``, ``all``, or words of a command line.

    Raises:
        LookupError: there is none.
    """
    container = group.pod(role).container
    every = container.processes()
    found = [number for number in (container.first,) if number] if kind == "pid1" else numbers_of(kind, every, children)
    if not found:
        raise LookupError(f"no {kind} in the {role}: {every}")
    return found


def numbers_of(kind: str, every: Mapping[int, str], children: Callable[[int], Sequence[int]]) -> list[int]:
    """Return the processes of a kind.

    Args:
        kind: ``server``, ``core``, ``rank``, ``all``, or words of a command line.
        every: the processes of a pod: number -> command line.
        children: returns those that a process started.
    """
    if kind == "all":
        return list(every)
    pattern = TITLES.get(kind, re.escape(kind))
    found = [number for number, title in every.items() if re.search(pattern, title)]
    if kind == "server":
        return found[:1]
    found = found or _untitled(kind, every, children)
    if kind == "rank" and not found:  # an engine of one rank has it in its own process
        found = [number for number, title in every.items() if re.search(TITLES["core"], title)]
    return found


def _untitled(kind: str, every: Mapping[int, str], children: Callable[[int], Sequence[int]]) -> list[int]:
    """Return an engine core or ranks that have no titles, by who started them."""
    server = next((number for number, title in every.items() if re.search(TITLES["server"], title)), None)
    if server is None or kind not in ("core", "rank"):
        return []
    under = [number for number in children(server) if re.search(SPAWNED, every.get(number, ""))]
    below = [number for one in under for number in children(one) if re.search(SPAWNED, every.get(number, ""))]
    if kind == "core":
        return under if "--headless" not in every[server] else []
    return below or under


def send(group: Group, sign: int, role: str, kind: str) -> Undo:
    """Send a signal to processes of a pod."""
    numbers = processes(group, role, kind)
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, sign)

    def undo() -> None:
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGCONT)

    return undo if sign == signal.SIGSTOP else _nothing


def kill(group: Group, role: str, kind: str) -> Undo:
    """Kill processes of a pod."""
    return send(group, signal.SIGKILL, role, kind)


def stop(group: Group, role: str, kind: str) -> Undo:
    """Stop processes of a pod, so that they neither work nor end."""
    return send(group, signal.SIGSTOP, role, kind)


def stuck(group: Group, role: str, kind: str = "rank") -> Undo:
    """Let a rank start a kernel that does not end; its pod must have the plugin of ``instruments``."""
    return send(group, signal.SIGUSR2, role, kind)


def exhaust(group: Group, role: str, kind: str = "rank") -> Undo:
    """Let the next step of a rank run out of GPU memory; its pod must have the plugin of ``instruments``."""
    return send(group, signal.SIGRTMIN + 1, role, kind)


def cut(group: Group, how: str = "silent") -> Undo:
    """Cut the cable: ``silent`` lets packets vanish, ``carrier`` takes the link away."""
    if how == "carrier":
        group.cable.pull()
        return group.cable.push
    group.cable.lose_packets()
    return group.cable.find_packets


def slow(group: Group, *words: str) -> Undo:
    """Slow the network down with netem's words; delays and losses count in each direction."""
    slowness = slow_down(group.cable, words)
    group.notes.append(f"slow: {slowness.how}")
    return slowness.end


def fill_shared_memory(group: Group, role: str) -> Undo:
    """Fill a pod's /dev/shm."""
    first = group.pod(role).container.first
    filler = Path(f"/proc/{first}/root/dev/shm/filler")
    with filler.open("wb") as file:
        room = os.fstatvfs(file.fileno())
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)

    def undo() -> None:
        with suppress(OSError):
            filler.unlink()

    return undo


def take_memory(group: Group, role: str) -> Undo:
    """Let another process take what is free of the pod's first GPU.

    Raises:
        LookupError: it could not.
    """
    gpu = group.machine.gpus[group.pod(role).container.pod.index].split(",")[0]
    process = subprocess.Popen(
        [sys.executable, "-I", str(TAKE_MEMORY), "600"],
        env={**group.machine.image_env(0), "CUDA_VISIBLE_DEVICES": gpu},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    said = process.stdout.readline().strip()
    group.notes.append(f"the other process {said}")

    def undo() -> None:
        process.kill()
        process.wait()

    if not said.startswith("took "):
        undo()
        raise LookupError(f"no memory of GPU {gpu} could be taken: {said}")
    return undo


def delete(group: Group, role: str) -> Undo:
    """Delete one pod, as ``kubectl delete pod`` does; LeaderWorkerSet then deletes the others."""
    group.delete_soon(role)
    return _nothing


def nothing(group: Group) -> Undo:
    """Do nothing: what a group does by itself in that time."""
    return _nothing


def _nothing() -> None:
    return None


INJECTIONS: Mapping[str, Callable[..., Undo]] = {
    "kill": kill,
    "stop": stop,
    "stuck": stuck,
    "exhaust": exhaust,
    "cut": cut,
    "slow": slow,
    "shm": fill_shared_memory,
    "memory": take_memory,
    "delete": delete,
    "nothing": nothing,
}
"""Word of a plan -> the injection; its further words are the arguments."""
