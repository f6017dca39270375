"""The ranks of one pod: it starts one process per GPU, and reports what they have found for its node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from settings import ANSWER, LAUNCHED, NODE, BandwidthSpec, node_name, say
from verdict import BANDWIDTH, KINDS

SLACK = 30
"""Seconds that the ranks have in addition, to import PyTorch and to end."""
SHORTEST_PAUSE = 5
"""Seconds between two attempts in the same container."""
ATTENTION = "Read the log of this pod."
PASSED = "the GPUs of this group communicate as they should"
"""The last line after a success, by which vmn doctor knows that earlier errors are over."""


def run(spec: BandwidthSpec) -> int:
    """Measure until nothing fails, or once if the settings say so, and return the exit status."""
    while True:
        answer = attempt(spec)
        bad = report(answer, answers=not spec.stays)
        if not bad:
            say(PASSED)
        if not bad or not spec.stays:
            return int(bad)
        pause = max(spec.backoff, SHORTEST_PAUSE)
        say(f"vLLM does not start; the next attempt begins in {pause:.0f} s (fabric.bandwidthCheck)")
        time.sleep(pause)


def attempt(spec: BandwidthSpec) -> dict[str, Any]:
    """Run all ranks of this pod once, and return the answer of one of them."""
    ranks = [_start(spec, local) for local in range(max(1, spec.gpus))]
    lines: list[str] = []
    others: list[str] = []
    readers = [threading.Thread(target=_read, args=(rank, lines, others), daemon=True) for rank in ranks]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + spec.meet + spec.limit + SLACK
    try:
        for rank in ranks:
            rank.wait(max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for rank in ranks:
            rank.kill()
    for reader in readers:
        reader.join(1)
    return _answer(lines, others, [rank.wait() for rank in ranks])


def report(answer: dict[str, Any], *, answers: bool) -> bool:
    """Print what was found, and return whether the group fails.

    Args:
        answer: what all ranks have found.
        answers: whether to print what concerns this node for vmn, too, as lines of JSON.
    """
    node = node_name()
    for kind in KINDS:
        own = [one for one in answer["problems"] if one["kind"] == kind and one["node"] in (None, node)]
        line = {"check": kind, "summary": answer["summaries"].get(kind, ""), "problems": own}
        if not line["summary"] and not own:
            line["skipped"] = "the ranks could not measure"
        if answers:
            print(ANSWER + json.dumps(line), flush=True)
        if line["summary"]:
            say(str(line["summary"]))
    for one in answer["problems"]:
        say(f"{'error' if one['fails'] else 'warning'}: {one['node'] or 'the group'}: {one['text']}. {one['fix']}")
    return any(one["fails"] for one in answer["problems"])


def _start(spec: BandwidthSpec, local: int) -> subprocess.Popen[str]:
    env = os.environ
    index, nodes = int(env.get("LWS_WORKER_INDEX", "0")), int(env.get("LWS_GROUP_SIZE", "1"))
    count = max(1, spec.gpus)
    first = env["VLLM_HOST_IP"] if index == 0 else env["LWS_LEADER_ADDRESS"]
    own = {
        "RANK": str(index * count + local),
        "WORLD_SIZE": str(nodes * count),
        "LOCAL_RANK": str(local),
        "MASTER_ADDR": first,
        "MASTER_PORT": str(spec.port),
        NODE: node_name(),
        LAUNCHED: "yes",
    }
    program = [sys.executable, "-B", str(Path(__file__).with_name("bandwidth.py"))]
    return subprocess.Popen(program, env={**env, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _read(rank: subprocess.Popen[str], lines: list[str], others: list[str]) -> None:
    """Sort the output of a rank into answers and other lines, which are printed, too."""
    assert rank.stdout
    for line in rank.stdout:
        if line.startswith(ANSWER):
            lines.append(line.removeprefix(ANSWER))
        else:
            others.append(line.strip())
            print(line, end="", file=sys.stderr, flush=True)


def _answer(lines: list[str], others: list[str], codes: list[int]) -> dict[str, Any]:
    """Return the first complete answer, or that there is none and the last line of the ranks."""
    for line in lines:
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        return found
    last = next((line for line in reversed(others) if line), "they printed nothing")
    text = f"the ranks ended without a result, with exit status {', '.join(map(str, sorted(set(codes))))}: {last[:300]}"
    problem = {"kind": BANDWIDTH, "node": node_name(), "text": text, "fix": ATTENTION, "fails": True}
    return {"measured": {}, "summaries": {}, "problems": [problem]}
