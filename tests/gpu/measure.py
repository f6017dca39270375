"""Start vLLM on this machine's GPU with true shapes and dummy weights, and keep each start-up's log for the planner.

Usage: ``python tests/gpu/measure.py --out FOLDER [NAME ...]``, where vLLM, a GPU and its libraries are; nothing else is
needed, and nothing is downloaded. The start-ups are those of ``start_ups.json``; see the README beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REGISTRY = HERE.parents[1] / "tools/vmn/data/models"
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "NO_COLOR": "1", "PYTHONFAULTHANDLER": "1"}
SIZED = "Maximum concurrency for"
"""The last of the lines that the planner predicts."""
START = """
import json, sys, time
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    engine = LLM(load_format="dummy", skip_tokenizer_init=True, **options)
    begin = time.monotonic()
    answer = engine.generate({"prompt_token_ids": list(range(64))},
                             SamplingParams(max_tokens=8, ignore_eos=True, detokenize=False))
    print(f"ANSWERED {len(answer[0].outputs[0].token_ids)} tokens in {time.monotonic() - begin:.2f} s", flush=True)
"""
"""One start-up and one request: the engine prints at its start what `vllm serve` prints."""


def start_ups() -> dict[str, Mapping[str, Any]]:
    """Return the start-ups by name."""
    entries = json.loads((HERE / "start_ups.json").read_text(encoding="utf-8"))
    return {entry["name"]: entry for entry in entries}


def configuration(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json that vLLM gets: the registry's shapes, with what the start-up changes in them."""
    config = json.loads((REGISTRY / f"{entry['model']}.json").read_text(encoding="utf-8"))["config"]
    return {**config.get(entry.get("part", ""), config), **entry.get("change", {}), **entry.get("beside", {})}


def measure(entry: Mapping[str, Any], log: Path, seconds: float, answer_seconds: float) -> int:
    """Start vLLM once, write its whole output to a log, and return 0 when it holds the sizes, else the exit status."""
    with tempfile.TemporaryDirectory() as folder, log.open("w", encoding="utf-8") as output:
        config = Path(folder, "model")
        config.mkdir()
        (config / "config.json").write_text(json.dumps(configuration(entry)), encoding="utf-8")
        program = Path(folder, "start.py")
        program.write_text(START, encoding="utf-8")
        command = [sys.executable, str(program), json.dumps({"model": str(config), **entry["options"]})]
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT, **entry.get("environment", {})},
            start_new_session=True,
        )
        try:
            return _wait(process, log, time.monotonic() + seconds, answer_seconds)
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], log: Path, until: float, answer_seconds: float) -> int:
    """Wait for the answer, at most for its seconds once the sizes are printed: 0 when the log holds them, else not."""
    sized = False
    while process.poll() is None and time.monotonic() < until:
        if not sized and SIZED in log.read_text(encoding="utf-8", errors="replace"):
            sized, until = True, min(until, time.monotonic() + answer_seconds)
        time.sleep(1)
    status = process.poll()
    return (0 if sized else 124) if status is None else status


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a start-up, engines too, which are children of their own; first they say where they are."""
    for number, seconds in ((signal.SIGABRT, 2.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue


def main() -> int:
    """Measure the named start-ups, or all, and say how each went."""
    known = start_ups()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(known)}")
    parser.add_argument("--out", type=Path, required=True, help="directory for the logs")
    parser.add_argument("--seconds", type=float, default=300, help="for each start-up (%(default)s)")
    parser.add_argument(
        "--answer-seconds", type=float, default=60, help="for the request, after the sizes (%(default)s)"
    )
    parser.add_argument("--all-seconds", type=float, default=3600, help="for all; what begins later is left out")
    asked = parser.parse_args()
    if unknown := set(asked.names) - known.keys():
        parser.error(f"no such start-up: {', '.join(sorted(unknown))}")
    asked.out.mkdir(parents=True, exist_ok=True)
    begin, failed = time.monotonic(), 0
    for name in asked.names or known:
        left = asked.all_seconds - (time.monotonic() - begin)
        if left < 30:
            print(f"{name}: left out, no time", flush=True)
            continue
        at = time.monotonic()
        status = measure(known[name], asked.out / f"{name}.log", min(asked.seconds, left), asked.answer_seconds)
        failed += status != 0
        print(f"{name}: exit {status} after {time.monotonic() - at:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
