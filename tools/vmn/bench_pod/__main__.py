"""Runs ``vllm bench serve`` for each point of a sweep, and prints what it and the server's counters say.

Settings come from the variable VMN_BENCH as JSON. Each line that begins with ``VMN `` is a JSON object for vmn.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COUNTERS = (
    "num_preemptions_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "request_queue_time_seconds_sum",
    "request_queue_time_seconds_count",
    "spec_decode_num_draft_tokens_total",
    "spec_decode_num_accepted_tokens_total",
)
ENDED = {"request_success_total": 1, "request_prompt_tokens_bucket": -1}
"""Counters of requests that ended, and of those with one prompt token: with these, the chart sees whether an engine
that is idle still works."""
LINE = re.compile(r"^vllm:([a-z_]+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
TIMEOUT = 10
TAIL = 2000
"""Characters of vLLM's output that are shown when it fails."""


def say(**content: Any) -> None:
    """Print a line for vmn."""
    print("VMN " + json.dumps(content), flush=True)


def counters(urls: list[str]) -> dict[str, float]:
    """Return the sums of the servers' counters, and the tokens of their KV caches; empty if a server does not tell."""
    sums: dict[str, float] = {}
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                text = answer.read().decode(errors="replace")
        except (OSError, urllib.error.URLError):
            return {}
        for name, labels, value in LINE.findall(text):
            if name in COUNTERS:
                sums[name] = sums.get(name, 0.0) + float(value)
            elif name in ENDED and (name.endswith("_total") or 'le="1.0"' in labels):
                sums["requests_ended"] = sums.get("requests_ended", 0.0) + ENDED[name] * float(value)
            elif name == "cache_config_info":
                sums["kv_cache_tokens"] = sums.get("kv_cache_tokens", 0.0) + cache_tokens(labels)
    return sums


def cache_tokens(labels: str) -> float:
    """Return blocks times tokens of a block."""
    found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    try:
        return float(found["num_gpu_blocks"]) * float(found["block_size"])
    except (KeyError, ValueError):
        return 0.0


def command(settings: Mapping[str, Any], point: Mapping[str, Any], folder: str) -> list[str]:
    """Return the command line of a point."""
    options = {
        "backend": "openai",
        "base-url": settings["url"],
        "model": settings["model"],
        "tokenizer": settings["tokenizer"],
        "dataset-name": "random",
        "random-input-len": point["prompt"] - point["prefix"],
        "random-prefix-len": point["prefix"] or None,
        "random-output-len": point["answer"],
        "num-prompts": point["requests"],
        "max-concurrency": point["concurrency"],
        "request-rate": point["rate"],
        "num-warmups": point["warmups"],
        "seed": point["seed"],
        "percentile-metrics": "ttft,tpot,itl,e2el",
        "metric-percentiles": "50,90,99",
        "result-dir": folder,
        "result-filename": "result.json",
        "ready-check-timeout-sec": 60,
    }
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    trust = ["--trust-remote-code"] if settings.get("trust_remote_code") else []
    return ["vllm", "bench", "serve", *given, *trust, "--ignore-eos", "--save-result", "--disable-tqdm"]


def run(settings: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    """Run a point, and return whether it went well."""
    with tempfile.TemporaryDirectory() as folder:
        before = counters(settings["metrics"])
        done = subprocess.run(command(settings, point, folder), capture_output=True, text=True, errors="replace")
        after = counters(settings["metrics"])
        file = Path(folder, "result.json")
        if done.returncode or not file.exists():
            say(index=point["index"], error=(done.stderr or done.stdout)[-TAIL:], code=done.returncode)
            return False
        result = json.loads(file.read_text(encoding="utf-8"))
    changes = {name: after[name] - before.get(name, 0.0) for name in after if name != "kv_cache_tokens"}
    if before and after:
        changes["kv_cache_tokens"] = after.get("kv_cache_tokens", 0.0)
    say(index=point["index"], result=result, counters=changes if before else {})
    return True


def main() -> int:
    """Run all points; stop at the first one that fails."""
    settings = json.loads(os.environ["VMN_BENCH"])
    for point in settings["points"]:
        say(index=point["index"], begins=True)
        if not run(settings, point):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
