"""A container of a pod: started in namespaces of its own, with its log, its processes, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpu.twopods.log import Log
from gpu.twopods.machine import OWN, Machine
from gpu.twopods.network import NSENTER, ProgramFailed, Sandbox
from gpu.twopods.podspec import Mount, Pod
from gpu.twopods.processes import children, command_line, sharing_pids_with

ENTER = Path(__file__).with_name("enter.py")
MESSAGE = "/dev/termination-log"
MESSAGE_BYTES = 4096
"""Of a termination message that are kept (kubelet 1.36, container/runtime.go)."""
KILL_LIMIT = 10
"""Seconds until a container that was killed has ended; a process that waits for a GPU's driver takes its time."""
BEGIN_LIMIT = 30
"""Seconds until the container's command runs."""


@dataclass(frozen=True)
class Ended:
    """How a container ended: exit status (128 and the signal, if one killed it), message, and when."""

    status: int
    message: str
    at: float


class Container:
    """One run of a pod's container."""

    def __init__(
        self,
        pod: Pod,
        sandbox: Sandbox,
        machine: Machine,
        folder: Path,
        *,
        files: Mapping[str, Path],
        cache: Path,
        extra_env: Mapping[str, str],
    ) -> None:
        """Lay a container out.

        Args:
            pod: whose container it is.
            sandbox: the pod's namespaces.
            machine: the host.
            folder: a new directory, for volumes that end with the pod.
            files: file in the container -> file of the host, such as /etc/hosts.
            cache: directory of the node for the volume ``cache``.
            extra_env: variables of the image, for this pod only.

        Raises:
            ValueError: the pod has something that this package does not know.
        """
        self.pod, self.sandbox, self.machine, self.folder, self.cache = pod, sandbox, machine, folder, cache
        self.log, self.started_at = Log(), time.monotonic()
        self.ended: Ended | None = None
        self.process: subprocess.Popen[bytes] | None = None
        fields = {
            "status.podIP": sandbox.address,
            "metadata.name": pod.name,
            "metadata.namespace": pod.namespace,
            "spec.nodeName": f"node-{pod.index + 1}",
        }
        image = {**machine.image_env(pod.index), **extra_env}
        self.env = {"HOSTNAME": sandbox.name, **image, **pod.env(fields)}
        if "PATH" in pod.env(fields):  # the pod's own PATH comes after the programs of this package
            self.env["PATH"] = f"{OWN}:{self.env['PATH']}"
        user, group, groups = pod.user
        self.user = 0 if machine.as_root else machine.user if user is None else user
        self.group, self.groups = group, groups
        self.message = folder / "termination-log"
        self.files = {**files, MESSAGE: self.message}

    def start(self) -> None:
        """Start the container's command as PID 1.

        Raises:
            ProgramFailed: it does not begin.
            OSError: a volume can't be made.
        """
        spec = self._lay_out()
        inner = [sys.executable, "-I", str(ENTER), str(spec)]
        command = [NSENTER, f"--target={self.sandbox.process.pid}", "--net", "--uts", "--ipc", "--", *inner]
        self.started_at = time.monotonic()
        with (self.folder / "start.log").open("wb") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        assert self.process.stdout
        self._listener = self.log.listen(self.process.stdout)
        while self.running() and time.monotonic() < self.started_at + BEGIN_LIMIT:
            if (first := self.first) and str(ENTER) not in command_line(first):
                return
            time.sleep(0.005)
        if self.running():
            self.kill()
            said = (self.folder / "start.log").read_text(errors="replace")
            raise ProgramFailed(f"{self.pod.name}: its command did not begin: {self.log.tail()} {said[-500:]}")

    def _lay_out(self) -> Path:
        """Make the volumes, and write what ``enter.py`` reads."""
        stage = self.folder / "root"
        stage.mkdir(parents=True)
        self.message.touch()
        self.message.chmod(0o666)
        volumes = self.pod.mounts()
        if not any(mount.path == "/tmp" for mount in volumes):  # of the image, and no other pod's
            volumes.append(Mount("own-tmp", "/tmp", "scratch"))
        mounts = [self._volume(mount) for mount in volumes]
        mounts.append(("bind", str(self.machine.programs_dir), OWN, "ro"))
        for inside, file in self.files.items():
            mounts.append(("bind", str(file), inside, ""))
        for path in self.machine.keep:
            mounts.append(("bind", str(path), str(path), ""))
        spec = self.folder / "container.json"
        content = {
            "root": str(self.machine.root),
            "stage": str(stage),
            "mounts": mounts,
            "user": self.user,
            "group": self.group,
            "groups": self.groups,
            "confined": self.pod.confined,
            "read_only": self.pod.read_only,
            "environment": self.env,
            "command": self.pod.command(self.env),
        }
        spec.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return spec

    def _volume(self, mount: Mount) -> tuple[str, str, str, str]:
        """Make a volume, and return its mount for ``enter.py``."""
        if mount.kind == "memory":
            size = f",size={mount.size}" if mount.size else ""
            return ("memory", "", mount.path, f"mode=1777{size}")
        folder = self.folder / "volumes" / mount.volume
        if mount.kind == "node":
            folder = self.cache if mount.volume == "cache" else self._of_node(mount)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o1777)
        for name, text in mount.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for path in self.machine.keep:  # so that it has a place on the volume
            if path.is_relative_to(mount.path) and mount.kind == "scratch":
                (folder / path.relative_to(mount.path)).mkdir(parents=True, exist_ok=True)
        return ("bind", str(folder), mount.path, "ro" if mount.read_only else "")

    def _of_node(self, mount: Mount) -> Path:
        """Return the directory of the host for a volume of the node.

        Raises:
            ValueError: none was named.
        """
        if mount.volume not in self.machine.volumes:
            raise ValueError(
                f"{self.pod.name}: no directory for the volume {mount.volume}: --volume {mount.volume}=DIR"
            )
        return self.machine.volumes[mount.volume]

    @property
    def first(self) -> int | None:
        """The number of the container's PID 1 on the host, None if it is gone."""
        if not self.process:
            return None
        return next(iter(children(self.process.pid)), None)

    def running(self) -> bool:
        """Return whether the container runs; once it has ended, ``ended`` says how."""
        if self.ended or not self.process:
            return False
        status = self.process.poll()
        if status is None:
            return True
        self._listener.join(5)
        message = self.message.read_bytes()[:MESSAGE_BYTES].decode(errors="replace") or (
            self.log.tail() if status else ""
        )
        self.ended = Ended(128 - status if status < 0 else status, message, time.monotonic())
        return False

    def processes(self) -> dict[int, str]:
        """Return the container's processes: number on the host -> command line, or the title that it gave itself."""
        first = self.first
        return {number: command_line(number) for number in sharing_pids_with(first)} if first else {}

    def execute(self, command: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run a command in the container, as the kubelet does for probes and hooks.

        Returns:
            exit status (-1 when the container is gone) and output.

        Raises:
            TimeoutError: it took longer, and was killed.
        """
        if not (first := self.first):
            return -1, "the container is gone"
        enter = [NSENTER, f"--target={first}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        enter += [f"--setgid={self.group}", f"--setuid={self.user}", "--", *command]
        with subprocess.Popen(
            enter,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise TimeoutError(f"no end after {seconds:.0f} s") from error
        return process.returncode, output.decode(errors="replace").strip()

    def signal(self, sign: signal.Signals) -> None:
        """Send a signal to PID 1."""
        if first := self.first:
            with suppress(ProcessLookupError):
                os.kill(first, sign)

    def kill(self) -> None:
        """End the container at once; the kernel ends its other processes."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(KILL_LIMIT)
            self.process.kill()  # had it no PID 1 yet
            self.process.wait()
        self.running()

    def remove(self) -> None:
        """Delete what ends with the pod."""
        shutil.rmtree(self.folder / "volumes", ignore_errors=True)
