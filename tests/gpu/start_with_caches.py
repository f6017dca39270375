"""Time vLLM's start on this machine's GPU with empty caches, with warm ones, and with a bundle of ``vmn cache pack``.

Usage: ``PYTHONPATH=tests:tools python -m gpu.start_with_caches MANIFESTS --model NAME --tokenizer DIR --out DIR``,
where vLLM and a GPU are; nothing is downloaded. It runs the pod that the chart renders, by the chart's own scripts. The
README beside this file tells how to render the manifests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu.podprocesses import Server, own_address, say, serving
from gpu.renderedpod import Pod, read_pod
from kit.paths import CHECKOUT
from vmn.adapters.cache_bundle import printing, write_archive
from vmn.core.cache_bundle import ROOT, Origin

REGISTRY = CHECKOUT / "tools/vmn/data/models"
SHAPES = [(1, 1000), (8, 300), (32, 700), (100, 37)]
"""Requests at once, and tokens of each prompt: facts of how long a first request of a new shape stalls."""
BESIDE = {
    "deepseek_v3": {
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "n_group": 8,
        "topk_group": 4,
        "routed_scaling_factor": 2.5,
    }
}
"""What vLLM needs of a model's type, and the planner does not: the values of DeepSeek-R1's own config.json."""
FILLED = "filled the caches from the bundle"


def write_checkpoint(folder: Path, model: str, layers: int | None, tokenizer: Path) -> None:
    """Write a directory that ``vllm serve`` takes for a model: true shapes, and anybody's tokenizer.

    Args:
        folder: to make.
        model: a name of the registry.
        layers: of it; all by default.
        tokenizer: a checkpoint whose tokenizer is taken.
    """
    shutil.copytree(tokenizer, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    config = json.loads((REGISTRY / f"{model.replace('/', '--')}.json").read_text(encoding="utf-8"))["config"]
    config |= {"num_hidden_layers": layers} if layers else {}
    config |= BESIDE.get(config["model_type"], {})
    if (quantization := config.get("quantization_config", {})).get("quant_method") == "fp8":
        quantization.setdefault("activation_scheme", "dynamic")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def first_answers(server: Server) -> list[float]:
    """Return the seconds of the first requests of several shapes, whose kernels a start may have left out."""
    found = []
    for count, tokens in SHAPES:
        begin = time.monotonic()
        prompts = [[(17 * one + 3 * place) % 200 + 5 for place in range(tokens)] for one in range(count)]
        server.complete({"prompt": prompts, "max_tokens": 8, "ignore_eos": True, "temperature": 0})
        found.append(round(time.monotonic() - begin, 2))
    return found


def start(pod: Pod, log: Path, seconds: float) -> dict[str, Any]:
    """Start, ask and end; return the seconds until /health, and of the first requests.

    Raises:
        OSError: it ended before it served, did not answer, or did not serve in time.
        subprocess.TimeoutExpired: it did not end.
    """
    with serving(pod, log, seconds) as (server, ready):
        answers = first_answers(server)
        server.end()
    return {
        "ready_s": round(ready, 1),
        "first_requests_s": answers,
        "filled": FILLED in log.read_text("utf-8", "replace"),
    }


def pack(pod: Pod, bundle: Path) -> dict[str, Any]:
    """Pack the caches as ``vmn cache pack`` does, without a cluster, unpack the bundle, and return its sizes."""
    root = Path(pod.env[ROOT])
    gpu = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    file = bundle.with_suffix(".tar.gz")
    origin = Origin(root.name, gpu, "amd64", "on this machine", "2026-01-01T00:00:00Z")
    command = ["env", f"{ROOT}={root}", *printing(pod.env)]
    (share,) = write_archive(file, origin, {"vllm-0": command}, say)
    with tarfile.open(file) as packed:
        packed.extractall(bundle, filter="data")
    return {"files": share.files, "mb": round(share.size / 1e6, 1), "packed_mb": round(file.stat().st_size / 1e6, 1)}


def measure(pod: Pod, out: Path, seconds: float) -> dict[str, Any]:
    """Start three times: with empty caches, with what that left, and with a bundle of it in new, empty caches.

    Raises:
        OSError: a start failed.
        subprocess.TimeoutExpired: one did not end.
    """
    root, bundle = Path(pod.env[ROOT]), Path(pod.env["MULTINODE_BUNDLE"])
    found: dict[str, Any] = {}
    for name in ("cold", "warm", "bundle"):
        if name == "bundle":
            found["packed"] = pack(pod, bundle)
            shutil.rmtree(root)
        found[name] = start(pod, out / f"{name}.log", seconds)
        say(f"{name}: {found[name]}")
    found["bundle_to_warm"] = round(found["bundle"]["ready_s"] / found["warm"]["ready_s"], 2)
    found["cold_to_warm"] = round(found["cold"]["ready_s"] / found["warm"]["ready_s"], 2)
    return found


def main() -> int:
    """Measure, write ``times.json``, and return 0 when the bundle was taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, help="what helm template printed for tests/gpu/caches.yaml")
    parser.add_argument("--model", required=True, help="a model of the registry, for its shapes")
    parser.add_argument("--layers", type=int, help="as many as fit the GPU (all)")
    parser.add_argument("--tokenizer", type=Path, required=True, help="a checkpoint's directory")
    parser.add_argument("--out", type=Path, required=True, help="directory for logs and times.json")
    parser.add_argument("--seconds", type=float, default=900, help="until /health (%(default)s)")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, volumes = Path(folder, "checkpoint"), Path(folder, "volumes")
        volumes.mkdir()
        write_checkpoint(checkpoint, asked.model, asked.layers, asked.tokenizer)
        pod = read_pod(asked.manifests, "mp", checkpoint, volumes, own_address())
        try:
            found = measure(pod, asked.out, asked.seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"failed: {error}; logs: {asked.out}")
            return 1
    (asked.out / "times.json").write_text(json.dumps({"model": asked.model, **found}, indent=1) + "\n", "utf-8")
    say(json.dumps(found, indent=1))
    return 0 if found["bundle"]["filled"] and not found["cold"]["filled"] else 1


if __name__ == "__main__":
    sys.exit(main())
