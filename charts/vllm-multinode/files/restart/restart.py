"""PID 1 of a pod whose engine restarts in place (group.inPlaceRestart). It runs entrypoint.sh, once per run.

With group.inPlaceRestart.keepWeights, it first starts the weight daemons of this node, and every engine on them. With
group.inPlaceRestart.standby, vLLM is imported for the next run while this one serves.

When an engine of a group ends without being told to, the leader's PID 1 has all pods kill what is left of that run, and
start the next one once no process of it is left in any pod, with another port where the ranks meet. Everything that
keeps the pods from agreeing ends this pod with the exit status and the termination message of entrypoint.sh, so that
LeaderWorkerSet recreates the group, as it does without this program.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from agreement import LOST_SECONDS, STOP_SECONDS, Agreement, Order, RestartLimits
from awaiting import TERMINATED, await_weights
from daemons import WeightDaemons
from links import TICK, LeaderLink, WorkerLink
from processes import Children, EngineProcesses, being_deleted
from standby import Standby
from state import PodFiles, say

PORTS = 8
"""Ports from engine.masterPort on at which the ranks meet, one per run. The pods agree on the port after them, and the
ports of weight daemons follow."""
WORD_SECONDS = 10
"""Seconds that a pod whose engine has ended waits for the leader to say what follows."""


@dataclass
class EnginePod:
    """This pod: its engine, and what it still has to do.

    Attributes:
        link: to the other pods.
        engine: the processes.
        daemons: those that keep the weights, None without them.
        standby: what is started in advance of the next run, None without it.
        files: for probes and Kubernetes.
        env: variables of the engine.
        budget: seconds that a restart may take.
        serves_at: port that tells that this pod serves, None in a pod that does not.
    """

    link: LeaderLink | WorkerLink
    engine: EngineProcesses
    daemons: WeightDaemons | None
    standby: Standby | None
    files: PodFiles
    env: dict[str, str]
    budget: float
    serves_at: int | None
    run: int = 0
    asked: list[signal.Signals] = field(default_factory=list)
    _over: bool = False
    _leaves: bool = False
    _ended: bool = False
    _stopped: bool = False
    _kills: bool = False
    _serves: bool = False
    _unkept: bool = False
    _status: int = TERMINATED
    _deadline: float = float("inf")
    _looked: float = 0.0
    _kv_cache: int | None = None

    def live(self) -> int:
        """Run engines until one ends for good, and return the exit status of the pod."""
        if self.daemons:
            status = await_weights(self.daemons, self.link, self.files, self.env, self.asked)
            if status is not None:
                return status
        self._start(0, measured=False)
        while True:
            for order in self.link.poll(TICK):
                self._obey(order)
            self._pass_signals()
            self._look()
            if (status := self._end()) is not None:
                return status

    def _start(self, run: int, *, measured: bool) -> None:
        self.run, self._deadline = run, float("inf")
        self._ended = self._stopped = self._kills = self._serves = False
        env = self._env_of(run)
        self.files.begin(run, int(env["MULTINODE_MASTER_PORT"]), self._kv_cache if measured else None)
        if self.standby:
            self.engine.start(env, self.standby.take_turn)
        else:
            self.engine.start(env)

    def _env_of(self, run: int) -> dict[str, str]:
        """Return the variables of a run."""
        port = int(self.env["MULTINODE_MASTER_PORT"]) + run % PORTS
        env = {**self.env, "MULTINODE_MASTER_PORT": str(port), "MULTINODE_RUN": str(run)}
        if run:
            env["MULTINODE_BACKOFF_SECONDS"] = "0"  # of a start that fails: the group is recreated, which takes longer
        return env

    def _obey(self, order: Order) -> None:
        """Do what the leader says, unless it is about another run."""
        if self._over or order.run != self.run + (order.verb == "start"):
            return
        if order.verb == "stop":
            self._stop(order.why)
        elif order.verb == "start" and self._stopped:
            say(f"starts run {order.run} in place")
            self._start(order.run, measured=order.measured)
        elif order.verb == "served":
            self._serves = True
            self.files.serving()
            if order.why:
                say(order.why)
            if self.standby:
                self.standby.start(self._env_of(self.run + 1))
        elif order.verb == "end":
            self._give_up(order)

    def _stop(self, why: str) -> None:
        if self._leave_if_deleted():
            return
        say(f"restarts in place: {why}")
        self.files.restarting(self.budget)
        self._kills = True
        self._deadline = time.monotonic() + STOP_SECONDS + LOST_SECONDS

    def _give_up(self, order: Order) -> None:
        self._begin_end()
        say(f"does not restart in place: {order.why}")
        if order.kill and not self._ended:
            self.files.explain(f"the engines could not restart in place: {order.why}\n")
            self._status = 1
        self._kills = self._kills or order.kill

    def _pass_signals(self) -> None:
        """Pass signals on; after one, nothing restarts, and nothing keeps weights."""
        while self.asked:
            number = self.asked.pop()
            self._leave()
            self.engine.signal(number)
            if self.daemons:
                self.daemons.kill()

    def _leave_if_deleted(self) -> bool:
        if being_deleted():
            self._leave()
        return self._leaves

    def _leave(self) -> None:
        """Tell the others that this pod takes part in nothing any more."""
        self._leaves = True
        self._begin_end()
        self.link.report(leaving=True)

    def _begin_end(self) -> None:
        """Take part in no restart any more: probes mean what they mean without this program."""
        self._over = True
        self.files.serving()
        if self.standby:
            self.standby.kill()

    def _look(self) -> None:
        """Report what has become of the engine and of its weights."""
        self.engine.reap()
        if self.standby:
            self.standby.look()
        self._look_after_weights()
        if self.engine.status is not None and not self._kills:
            self._kills = self._ended = True
            self._report_end()
        if self._kills and not self._stopped:
            self.engine.kill()
            if not self.engine.left() and self._knows_of_weights():
                self._stopped = True
                if not (self.daemons and self.daemons.lost):
                    self.link.report(stopped=True, run=self.run, measured=self._has_measured())
        elif self.serves_at and not self._serves and not self._kills and time.monotonic() - self._looked >= 1:
            self._looked = time.monotonic()
            if self._listens(self.serves_at):
                self.link.report(served=True, run=self.run)

    def _look_after_weights(self) -> None:
        if not self.daemons:
            return
        self.daemons.look()
        if self.daemons.lost and not self._unkept and not self._over:
            self._unkept = True
            say(f"error: the weight daemons are lost ({self.daemons.lost}): if the engine ends, the group is recreated")
            self.link.report(unkept=self.daemons.lost, run=self.run)

    def _knows_of_weights(self) -> bool:
        """Return whether the weights are there for another run, or it is known that there will be none."""
        return self.daemons is None or self._over or self.daemons.check() or bool(self.daemons.lost)

    def _has_measured(self) -> bool:
        """Return whether the memory for the KV cache is known, which stays the same as long as the weights do."""
        if self.daemons and self._kv_cache is None:
            self._kv_cache = self.files.kv_cache_bytes()
        return self._kv_cache is not None

    def _report_end(self) -> None:
        self._status = self.engine.status or 0
        if self._over or self._leave_if_deleted():
            return
        self.files.restarting(self.budget)
        self._deadline = time.monotonic() + WORD_SECONDS
        why = self.files.reason() or f"entrypoint.sh ended with exit status {self._status}"
        self.link.report(ended=why, run=self.run)

    def _end(self) -> int | None:
        """Return the exit status of the pod once it has nothing left to do."""
        if self.engine.runs and not self._kills:
            return None
        if time.monotonic() > self._deadline:
            say("does not restart in place: the leader has not said what follows")
            return self._status
        alone = self._over or not self.link.connected
        return self._status if alone and self._stopped else None

    @staticmethod
    def _listens(port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True


def pod_of(env: dict[str, str], arguments: list[str]) -> EnginePod:
    """Return the pod that the variables of its container describe."""
    rank, size = int(env.get("LWS_WORKER_INDEX", "0")), int(env.get("LWS_GROUP_SIZE", "1"))
    files = PodFiles(env)
    port = int(env["MULTINODE_MASTER_PORT"]) + PORTS
    limits = RestartLimits(
        int(env["MULTINODE_RESTARTS"]),
        float(env["MULTINODE_RESTART_WINDOW_SECONDS"]),
        float(env["MULTINODE_STARTUP_SECONDS"]),
    )
    link: LeaderLink | WorkerLink
    if rank:
        link = WorkerLink(rank, files.leader, port)
    else:
        name = env.get("LWS_LEADER_ADDRESS", "the leader").partition(".")[0]
        link = LeaderLink(Agreement(name, size, limits), env["VLLM_HOST_IP"], port)
    health = None if rank else int(env.get("MULTINODE_HEALTH_PORT", env["MULTINODE_PORT"]))
    children = Children()
    daemons = None
    if env.get("MULTINODE_KEEP_WEIGHTS"):
        script = Path(__file__).with_name("preload.sh")
        daemons = WeightDaemons(children, ["bash", str(script), *arguments], port + 1, files.temporary)
        arguments = [*arguments, *daemons.flags]
    command = ["bash", env["MULTINODE_ENTRYPOINT"], *arguments]
    engine = EngineProcesses(command, children)
    standby = Standby(children, command) if env.get("MULTINODE_KEEP_STANDBY") else None
    return EnginePod(link, engine, daemons, standby, files, env, limits.budget, health)


def main() -> int:
    """Live as PID 1, and return the exit status."""
    asked: list[signal.Signals] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: asked.append(signal.Signals(got)))
    try:
        pod = pod_of(dict(os.environ), sys.argv[1:])
    except OSError as error:
        say(f"error: the pods of this group can't agree: {error} (engine.masterPort + {PORTS})")
        return 1
    pod.asked = asked
    try:
        return pod.live()
    finally:
        pod.link.close()
        if pod.daemons:
            pod.daemons.kill()
        if pod.standby:
            pod.standby.kill()


if __name__ == "__main__":
    sys.exit(main())
