"""Serve with Ray on this machine's GPU: the pod that the chart renders, by the chart's own scripts, made one node.

Usage: ``PYTHONPATH=tests python -m gpu.serve_with_ray MANIFESTS --checkpoint FOLDER --out FOLDER``, where vLLM, Ray, a
GPU and util-linux are; nothing is downloaded. The README beside this file tells how to render the manifests.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.podprocesses import Server, own_address, say, serving
from gpu.renderedpod import Pod, read_pod

REQUEST: dict[str, Any] = {"prompt": "San Francisco is a", "max_tokens": 7, "temperature": 0}
"""The reference guide's request."""
LONG = {**REQUEST, "max_tokens": 500, "ignore_eos": True}
"""A request that is still in flight when SIGTERM comes: nearly all of the checkpoint's 512 positions."""
RESERVED = r"^1\.0/[0-9.]+ GPU \(1\.0 used of 1\.0 reserved in placement groups\)"
"""What ``ray status`` says when an actor of vLLM's placement group holds a GPU."""


@dataclass(frozen=True)
class Seen:
    """What a served pod showed."""

    text: str
    """The answer to the reference guide's request."""
    titles: Sequence[str]
    """The processes that Ray named."""
    gpus: str
    """The line of ``ray status`` about GPUs."""
    drained: str
    """How the request went that was in flight at SIGTERM."""
    status: int
    """The exit status."""

    def problems(self, expected: str | None) -> list[str]:
        """Return what was not as it should be; the answer's text may be any if none is expected."""
        checks = {
            f"the answer is {self.text!r}, not {expected!r}": expected in (None, self.text),
            f"no worker of vLLM among Ray's processes: {self.titles}": any("Worker" in title for title in self.titles),
            f"no GPU in use in a placement group: {self.gpus}": re.search(RESERVED, self.gpus),
            f"the request in flight at SIGTERM: {self.drained}": self.drained == f"{LONG['max_tokens']} tokens",
            f"exit status {self.status} instead of 0": self.status == 0,
        }
        return [problem for problem, good in checks.items() if not good]


def drain(server: Server) -> tuple[str, int]:
    """Send SIGTERM while a request is in flight; return how the request went, and the exit status.

    Raises:
        TimeoutError: the request was over too soon to show anything.
        subprocess.TimeoutExpired: the pod did not end.
    """
    told: list[str] = []

    def ask() -> None:
        try:
            told.append(f"{server.complete(LONG)['usage']['completion_tokens']} tokens")
        except OSError as error:
            told.append(f"lost: {error}")

    request = threading.Thread(target=ask)
    request.start()
    time.sleep(0.2)
    if not request.is_alive():
        raise TimeoutError(f"the long request was over before SIGTERM: {told}")
    status = server.end()
    request.join()
    return told[0], status


def serve(pod: Pod, log: Path, seconds: float) -> Seen:
    """Start, ask, look, end, and return what was seen.

    Raises:
        OSError: it ended before it served, did not answer, or did not serve in time.
        subprocess.TimeoutExpired: it did not end.
    """
    with serving(pod, log, seconds) as (server, ready):
        say(f"/health after {ready:.1f} s")
        text = server.complete(REQUEST)["choices"][0]["text"]
        titles = sorted({title for title in server.titles() if title.startswith("ray::")})
        command = ["ray", "status", "--address", f"{pod.env['VLLM_HOST_IP']}:{pod.env['MULTINODE_MASTER_PORT']}"]
        usage = subprocess.run(command, env=pod.env, capture_output=True, text=True, timeout=60, check=False).stdout
        found = re.search(r".* GPU .*", usage)
        return Seen(text, titles, found[0].strip() if found else "", *drain(server))


def main() -> int:
    """Serve once, and return 0 when vLLM ran in Ray's actor, answered, drained and ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, help="what helm template printed for tests/gpu/ray.yaml")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the model's directory, with its tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="directory for the log")
    parser.add_argument("--expect", help="the answer's text; any by default")
    parser.add_argument("--seconds", type=float, default=600, help="until /health (%(default)s)")
    parser.add_argument("--address", help="this machine's; found out by default")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    log = asked.out / "vllm.log"
    with tempfile.TemporaryDirectory() as folder:
        try:
            pod = read_pod(
                asked.manifests, "ray", asked.checkpoint.resolve(), Path(folder), asked.address or own_address()
            )
        except (OSError, ValueError) as error:
            parser.error(str(error))
        say(f"as rendered, but for {', '.join(pod.changed) or 'nothing'}, LWS_GROUP_SIZE 1, paths of this machine")
        try:
            seen = serve(pod, log, asked.seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"failed: {error}; log: {log}")
            return 1
    say("\n".join(f"{name}: {value!r}" for name, value in vars(seen).items()))
    problems = seen.problems(asked.expect)
    say("\n".join(f"wrong: {problem}" for problem in problems) or "all as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
