"""What the log of a start says about memory, for all versions since 0.6 and any prefix of the lines.

Parsing never fails: what is missing or garbled is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ESCAPE = re.compile(r"(?:\x1b|\^\[)\[[0-9;]*[A-Za-z]")
"""Colors of a terminal, including their form in some copies."""
PROCESS = re.compile(
    r"\((?P<name>[A-Za-z][\w:.-]*)(?: rank=(?P<rank>\d+))?(?: pid=(?P<pid>\d+))?(?:, ip=(?P<ip>[\w.:]+))?\)"
)
RANKS = re.compile(r"_(?:PP|TP|DP|EP)\d")
LEVEL = re.compile(r"\b(?:DEBUG|INFO|WARNING|ERROR)\b")
NUMBER = r"(-?\d[\d,]{0,20}(?:\.\d{1,9})?)"
UNIT = r" ?Gi?B"
LONGEST = 50_000
"""Characters of a line that are read; vLLM's configuration takes about ten thousand."""
PER_WORKER = {
    "weights_gib": rf"Model loading took {NUMBER}{UNIT}|Loading model weights took {NUMBER}{UNIT}"
    rf"|model weights take\s+{NUMBER}{UNIT}|Actual usage(?: is|:) {NUMBER} GiB for weights?\b",
    "consumed_gib": rf"Actual usage is {NUMBER} GiB for consumed memory",
    "activation_gib": rf"(?<!CUDAGraph memory, ){NUMBER} GiB for peak activation"
    rf"|PyTorch activation peak memory(?: takes)?\s+{NUMBER}{UNIT}",
    "non_torch_gib": rf"{NUMBER} GiB for non-torch memory|non_torch_memory(?: takes|=)?\s*{NUMBER}{UNIT}",
    "graphs_gib": rf"{NUMBER} GiB for CUDAGraph memory|Graph capturing finished in .*?took {NUMBER} GiB",
    "graphs_estimate_gib": rf"Estimated CUDA graph memory: {NUMBER} GiB|GiB \(actual\), {NUMBER} GiB \(estimated\)",
    "available_gib": rf"Available KV cache memory: {NUMBER} GiB|Current kv cache memory in use is {NUMBER} GiB"
    rf"|the rest of the memory reserved for KV Cache is {NUMBER}{UNIT}|available_kv_cache_memory\s+{NUMBER}{UNIT}"
    rf"|kv_cache_size={NUMBER}{UNIT}",
    "free_gib": rf"Free memory on device [\w:]*\s?\({NUMBER}/",
    "total_gib": rf"Free memory on device [\w:]*\s?\([\d.]+/{NUMBER} GiB\)|total_gpu_memory[ =]*\(?{NUMBER}{UNIT}",
    "utilization": rf"gpu_memory_utilization[ =]*\(?{NUMBER}\)?|GPU memory utilization (?:is )?\({NUMBER},",
    "budget_gib": rf"x gpu_memory_utilization \([\d.]+\) = {NUMBER}{UNIT}"
    rf"|GPU memory utilization (?:is )?\([\d.]+, {NUMBER} GiB\)|the current vLLM instance can use\s+{NUMBER}{UNIT}",
}
"""What each process says about its GPU: alternatives for several versions, with one number each."""
HELD = re.compile(rf"utilization budget, {NUMBER} GiB is externally held")
"""What a rank says whose weights are in weight daemons (``vllm preload``). It then leaves them out of what follows."""
WITH_WEIGHTS = ("weights_gib", "consumed_gib", "budget_gib", "free_gib")
"""Numbers in which the weights are otherwise; what is free at the start is measured beside the daemon."""
DAEMON = "vllm-weight-cache-"
"""Beginning of the names of weight daemons. They start like an engine, but no engine's numbers are theirs."""
ENGINE = {
    "version": r"LLM engine \(v?([0-9][^)\s]*)\)|vLLM API server version v?([0-9]\S*)|\bversion ([0-9]+\.[0-9]+\S*)",
    "architecture": r"Resolved architecture: (\w+)",
    "tokens": rf"KV cache size: {NUMBER} tokens",
    "gpu_blocks": rf"# (?:GPU|CUDA|cuda) blocks: {NUMBER}|^GPU blocks: {NUMBER}",
    "cpu_blocks": rf"# CPU blocks: {NUMBER}",
    "concurrency_length": rf"Maximum concurrency for {NUMBER} tokens per request",
    "concurrency": rf"tokens per request: {NUMBER}x",
    "batched_tokens": rf"Chunked prefill is enabled with max_num_batched_tokens={NUMBER}",
    "block_tokens": rf"Setting attention block size to {NUMBER} tokens",
}
"""What the engine says once."""
ERRORS = {
    "too_long": r"To serve at least one request with the models?'s max seq len \((?P<length>\d+)\),\s+"
    r"\(?(?P<needed>[\d.]+) GiB KV\s+cache is needed, which is larger than the available KV cache\s+memory "
    r"\((?P<available>-?[\d.]+) GiB\)(?:\.\s+Based on the available memory,\s+the estimated maximum model length is "
    r"(?P<longest>\d+))?",
    "too_long_early": r"The model's max seq len \((?P<length>\d+)\) is larger than the maximum number of tokens that "
    r"can be stored in KV cache \((?P<longest>\d+)\)",
    "no_blocks": r"No available memory for the cache blocks",
    "gpu_in_use": r"Free memory on device \S+ \([\d.]+/[\d.]+ GiB\) on startup\s+is less than",
}
SETTING = re.compile(r"['\"]?\b(\w+)['\"]?\s*[:=]\s*('[^']*'|\"[^\"]*\"|-?[\w.+-]+)")
DRAFTS = re.compile(r"['\"]?\bspeculative_config['\"]?\s*[:=]\s*(?!None)[\w{'\"]")
"""Speculative decoding in vLLM's arguments or configuration."""
SETTING_LINES = re.compile(r"non-default args: |args: Namespace\(|with config: ")


@dataclass(frozen=True)
class WorkerLog:
    """What one process says about its GPU, in GiB.

    Attributes:
        name: name of the process, empty for lines without a name.
        pipeline: pipeline stage, None when the log does not have it.
        tensor: tensor parallel rank, None when the log does not have it.
        weights_gib: model weights.
        consumed_gib: sum of weights and memory outside PyTorch, which 0.32 logs.
        activation_gib: peak activations; since 0.32 they include the estimate of CUDA graphs.
        non_torch_gib: memory outside PyTorch.
        graphs_gib: memory that CUDA graphs took.
        graphs_estimate_gib: memory reserved for CUDA graphs.
        available_gib: memory for the KV cache.
        free_gib: free memory at vLLM's first measurement.
        total_gib: memory of the GPU.
        utilization: share of the memory that vLLM may use.
        budget_gib: memory that vLLM may use.
    """

    name: str
    pipeline: int | None = None
    tensor: int | None = None
    weights_gib: float | None = None
    consumed_gib: float | None = None
    activation_gib: float | None = None
    non_torch_gib: float | None = None
    graphs_gib: float | None = None
    graphs_estimate_gib: float | None = None
    available_gib: float | None = None
    free_gib: float | None = None
    total_gib: float | None = None
    utilization: float | None = None
    budget_gib: float | None = None


@dataclass(frozen=True)
class StartupLog:
    """The log of a start.

    Attributes:
        workers: what each process says about its GPU.
        settings: vLLM's arguments and configuration by name, as text.
        version: version of vLLM.
        architecture: class of the model.
        tokens: tokens of the KV cache.
        gpu_blocks: blocks of the KV cache, in versions that count blocks.
        cpu_blocks: blocks on the host, in versions that count blocks.
        concurrency: number of requests of ``concurrency_length`` tokens at once.
        concurrency_length: tokens of a request.
        batched_tokens: most tokens of a step.
        block_tokens: tokens of a block of a hybrid model.
        second_runner: whether vLLM ran on the second model runner, None when the log does not tell.
        flashinfer: whether FlashInfer samples, None when the log does not tell.
        has_drafts: whether vLLM decodes speculatively, so that layers of the drafts may have a cache, too.
        error: why vLLM did not start, a name of ``ERRORS``.
        needed_gib: KV cache that one request takes, from the error.
        error_length: tokens of that request.
        longest: tokens that would fit, from the error.
    """

    workers: tuple[WorkerLog, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    architecture: str | None = None
    tokens: int | None = None
    gpu_blocks: int | None = None
    cpu_blocks: int | None = None
    concurrency: float | None = None
    concurrency_length: int | None = None
    batched_tokens: int | None = None
    block_tokens: int | None = None
    second_runner: bool | None = None
    flashinfer: bool | None = None
    has_drafts: bool = False
    error: str | None = None
    needed_gib: float | None = None
    error_length: int | None = None
    longest: int | None = None

    def number(self, name: str) -> float | None:
        """Return a numeric setting, None when it is missing or not a number."""
        return _number(self.settings.get(name))

    def stage(self, index: int, stages: int) -> list[WorkerLog]:
        """Return the workers of a pipeline stage; lines without a name belong to the first stage."""
        if stages == 1:
            return list(self.workers)
        return [worker for worker in self.workers if worker.pipeline == index or (not worker.name and not index)]


_PER_WORKER = {name: re.compile(pattern) for name, pattern in PER_WORKER.items()}
_ENGINE = {name: re.compile(pattern) for name, pattern in ENGINE.items()}
_ERRORS = {name: re.compile(pattern) for name, pattern in ERRORS.items()}


def parse_log(text: str) -> StartupLog:
    """Return what a log says; of repeated numbers the last one counts."""
    lines = [line[:LONGEST] for line in ESCAPE.sub("", text.replace("\r", "\n")).splitlines()]
    workers: dict[str, dict[str, float]] = {}
    settings: dict[str, str] = {}
    engine: dict[str, str] = {}
    names: dict[str, str] = {}
    held: dict[str, float] = {}
    last = ""
    for line in lines:
        last = _process(line) if LEVEL.search(line) or PROCESS.search(line) else last
        if last.startswith(DAEMON):
            continue
        if pid := _pid(line):
            names[pid] = last
            if found := HELD.search(line):
                held[pid] = float(found[1].replace(",", ""))
        for name, number in _numbers(line):
            workers.setdefault(last, {})[name] = number
        for name, pattern in _ENGINE.items():
            found = pattern.search(line)
            if found:
                engine[name] = next(part for part in found.groups() if part)
        if SETTING_LINES.search(line):
            settings |= {name: value.strip("'\"") for name, value in SETTING.findall(line)}
    for name, gib in {names[pid]: gib for pid, gib in held.items()}.items():
        own = workers.setdefault(name, {})
        own |= {one: own[one] + gib for one in WITH_WEIGHTS if one in own}
    error, parts = _error("\n".join(lines))
    return StartupLog(
        workers=tuple(_worker(name, numbers) for name, numbers in workers.items()),
        settings=settings,
        version=engine.get("version"),
        architecture=engine.get("architecture"),
        concurrency=_number(engine.get("concurrency")),
        second_runner=_second_runner(lines),
        flashinfer=_flashinfer(lines),
        has_drafts=any(DRAFTS.search(line) for line in lines if SETTING_LINES.search(line)),
        tokens=_integer(engine.get("tokens")),
        gpu_blocks=_integer(engine.get("gpu_blocks")),
        cpu_blocks=_integer(engine.get("cpu_blocks")),
        concurrency_length=_integer(engine.get("concurrency_length")),
        batched_tokens=_integer(engine.get("batched_tokens")),
        block_tokens=_integer(engine.get("block_tokens")),
        error=error,
        needed_gib=_number(parts.get("needed")),
        error_length=_integer(parts.get("length")),
        longest=_integer(parts.get("longest")),
    )


def _process(line: str) -> str:
    """Return the name of the innermost process of a line, with its number if the name has no ranks."""
    found_all = PROCESS.finditer(line[:400])
    names = [found for found in found_all if found["pid"] or found["rank"] or RANKS.search(found["name"])]
    if not names:
        return ""
    found = names[-1]
    if RANKS.search(found["name"]):
        return found["name"]
    if found["name"].startswith(("EngineCore", "APIServer")):
        return ""
    if found["rank"]:
        return f"{found['name']} rank={found['rank']}"
    return f"{found['name']} pid={found['pid']}" + (f" ip={found['ip']}" if found["ip"] else "")


def _pid(line: str) -> str:
    """Return the number of the innermost process of a line, empty if it has none."""
    return next((found["pid"] for found in [*PROCESS.finditer(line[:400])][::-1] if found["pid"]), "")


def _numbers(line: str) -> Iterator[tuple[str, float]]:
    for name, pattern in _PER_WORKER.items():
        for found in pattern.finditer(line):
            number = _number(next(part for part in found.groups() if part is not None))
            if number is not None:
                yield name, number


def _number(text: str | None) -> float | None:
    try:
        return float(text.replace(",", "")) if text else None
    except ValueError:
        return None


def _integer(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


def _rank(name: str, kind: str) -> int | None:
    found = re.search(rf"{kind}(\d+)", name)
    return int(found[1]) if found else None


def _worker(name: str, numbers: Mapping[str, float]) -> WorkerLog:
    return WorkerLog(name, _rank(name, "PP"), _rank(name, "TP"), **numbers)


def _second_runner(lines: list[str]) -> bool | None:
    if any("Using V2 Model Runner" in line for line in lines):
        return True
    return False if any("gpu_model_runner.py" in line for line in lines) else None


def _flashinfer(lines: list[str]) -> bool | None:
    if any("Using FlashInfer for top-p & top-k sampling" in line for line in lines):
        return True
    return False if any("FlashInfer top-p/top-k sampling" in line for line in lines) else None


def _error(text: str) -> tuple[str | None, Mapping[str, str | None]]:
    """Return why vLLM did not start, and the numbers in its message."""
    for name, pattern in _ERRORS.items():
        found = pattern.search(text)
        if found:
            return name, found.groupdict()
    return None, {}
