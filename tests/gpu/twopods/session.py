"""A scenario that runs: its group, the caches of its nodes, and what it keeps."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpu.twopods import machine as host
from gpu.twopods.group import Group
from gpu.twopods.groupspec import GroupSpec
from gpu.twopods.machine import INSTRUMENTS, OWN, Machine
from gpu.twopods.objects import recorded
from gpu.twopods.plan import Clock, Scenario
from gpu.twopods.results import Results

TICK = 0.1
TRANSPORT = re.compile(
    r"via NET/|via P2P|via SHM|NET/Socket|nNodes \d+|Using network|vLLM is using nccl|Using \[.*all-reduce"
)
"""Lines of NCCL and vLLM that say how ranks talk to each other."""


@dataclass
class Session:
    """A scenario that runs.

    Attributes:
        scenario: of the plan.
        spec: its group as rendered.
        machine: the host.
        results: of the run.
        numbers: counts the groups of the run.
        answer: text of the last ``ask``.
    """

    scenario: Scenario
    spec: GroupSpec
    machine: Machine
    results: Results
    numbers: list[int]
    seed: int = 0
    answer: str | None = None
    memory_before: dict[str, int] = field(default_factory=dict)
    _group: Group | None = None

    @property
    def group(self) -> Group:
        """The group of the last start.

        Raises:
            LookupError: there was none.
        """
        if self._group is None:
            raise LookupError("no group yet: the plan needs a step `start` before")
        return self._group

    @property
    def whole(self) -> bool:
        """Whether there is a group, and all of its containers run."""
        return self._group is not None and self._group.whole

    @property
    def caches(self) -> Path:
        """Directory of the nodes' caches."""
        return self.machine.work / "caches" / self.scenario.caches

    @property
    def packed(self) -> Path:
        """Directory of the bundle that ``pack`` writes."""
        return self.machine.work / "bundles" / self.scenario.caches

    def say(self, text: str) -> None:
        """Print a line, and keep it."""
        self.results.say(text)

    def new_group(self) -> Group:
        """End the group before, and return a new one, which has not started."""
        self.close()
        self.numbers[0] += 1
        number = self.numbers[0]
        self.memory_before = host.gpu_memory()
        machine = replace(self.machine, gpus=self._gpus(), volumes={**self._bundle_volume(), **self.machine.volumes})
        folder = self.machine.work / f"group-{number}"
        self._group = Group(self.spec, machine, folder, self.caches, number, env=self._env())
        return self._group

    def _gpus(self) -> list[str]:
        """Return the GPU of each pod, with what the scenario says."""
        pods = self.spec.pods
        every = [*self.machine.gpus, *[""] * len(pods)] if self.machine.gpus else []
        return [self.scenario.gpus.get(pod.role, every[pod.index]) for pod in pods] if every else []

    def _env(self) -> dict[str, Mapping[str, str]]:
        """Return the variables of each role; ``PYTHONPATH+`` puts something before the image's."""
        found: dict[str, Mapping[str, str]] = {}
        for role, variables in self.scenario.env.items():
            own = dict(variables)
            for name in [name for name in own if name.endswith("+")]:
                first, plain = own.pop(name), name[:-1]
                first = first.replace("INSTRUMENTS", f"{OWN}/{INSTRUMENTS.name}")
                rest = self.machine.env.get(plain, "")
                own[plain] = f"{first}:{rest}" if rest else first
            found[role] = own
        return found

    def bundle(self, given: bool) -> None:
        """Give the next group's pods the bundle, or an empty directory in its place."""
        empty = self.machine.work / "no-bundle"
        empty.mkdir(exist_ok=True)
        self._bundle = self.packed if given else empty

    def _bundle_volume(self) -> dict[str, Path]:
        return {"bundle": self._bundle} if hasattr(self, "_bundle") else {}

    def pack(self) -> dict[str, Any]:
        """Pack the nodes' caches by the code of ``vmn cache pack``, and unpack the bundle for ``start bundle``.

        Raises:
            ImportError: ``tools`` is not on PYTHONPATH.
        """
        from gpu.twopods.packing import pack

        shutil.rmtree(self.packed, ignore_errors=True)
        nodes = {pod.name: self.caches / f"node-{pod.index + 1}" for pod in self.spec.pods}
        return pack(self.group.kubelets[0].container.env, nodes, self.packed, self.say)

    def gpu_memory(self) -> dict[str, int]:
        """Return the MiB in use of each GPU."""
        return host.gpu_memory()

    def memory_free(self) -> bool:
        """Return whether the group's GPUs are as free as before it."""
        return host.free_of(self.machine.gpus, self.memory_before)

    def transports(self) -> dict[str, list[str]]:
        """Return the lines of each pod that say how its ranks talk to each other, each once."""
        found = {}
        for kubelet in self.group.kubelets:
            texts = [text[-300:] for _, text in list(kubelet.container.log.lines) if TRANSPORT.search(text)]
            found[kubelet.container.pod.role] = list(dict.fromkeys(texts))[:12]
        return found

    def last_words(self) -> list[str]:
        """Return the last line of each pod."""
        logs = [(kubelet.container.pod.role, kubelet.container.log.lines) for kubelet in self.group.kubelets]
        return [f"{role}: {lines[-1][1][:110] if lines else 'nothing yet'}" for role, lines in logs]

    def wait_for_end(self, clock: Clock) -> None:
        """Wait until all containers of the group have ended, or time is over."""
        while self.group.running and clock.left > 0:
            time.sleep(TICK)

    def keep_objects(self, says: str, group: Group) -> None:
        """Keep what ``vmn doctor`` would read of the group now."""
        self.results.keep_objects({"scenario": self.scenario.name, **recorded(says, group)})

    def end_clients(self) -> None:
        """End what a step has left of its clients."""
        if self._group is not None:
            self._group.end_clients()

    def close(self) -> None:
        """End what is left of the group, and keep its logs."""
        if self._group is None:
            return
        group, self._group = self._group, None
        try:
            group.destroy()
        finally:
            self.results.keep_logs(f"{self.scenario.name}, group {group.generation}", group)
