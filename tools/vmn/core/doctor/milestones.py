"""How far vLLM came: the stages of a start, and the lines that show that one is complete."""

from __future__ import annotations

import re

from vmn.core.doctor.evidence import Evidence, Source
from vmn.core.doctor.levels import Level

ENDED = re.compile(r"vllm serve ended with exit status")
"""How the chart's entrypoint.sh reports that vLLM exited."""
SERVES = r"Application startup complete|OpenAI server is ready to accept requests"
"""What the API server in Python says, and the one in Rust."""
UP = re.compile(rf"{SERVES}|init engine (?:\([^)\n]*\) )?took ")
"""Lines that vLLM prints when all ranks have started."""
PROGRESS = re.compile(
    rf"{SERVES}|init engine (?:\([^)\n]*\) )?took |Starting to load model|Loading model from |"
    r"Loading weights took|Initializing model took|"
    r"Model loading took|Available KV cache memory|GPU KV cache size|Graph capturing finished|Init COMPLETE|"
    r"Initialized NET plugin|checkpoint shards: +\d+% Completed"
)
"""Lines that a process only prints when everything before them went well, or was replaced."""
PROCESS = re.compile(r"^\([\w.-]+ pid=\d+\)")
"""How vLLM begins the lines of each of its processes."""
STAGES = (
    (
        "serving requests",
        re.compile(SERVES),
        re.compile(r", in (?:execute_model|step|run_busy_loop_step)\b"),
    ),
    (
        "capturing CUDA graphs",
        re.compile(r"Capturing (?:CUDA graph|cudagraph)|Graph capturing"),
        re.compile(r", in (?:capture_model|compile_or_warm_up_model|_capture_cudagraphs)\b"),
    ),
    (
        "allocating the KV cache",
        re.compile(r"GPU KV cache size|Available KV cache memory"),
        re.compile(r", in (?:initialize_from_config|initialize_kv_cache\w*|get_kv_cache_config)\b"),
    ),
    (
        "measuring memory with a first run of the model",
        re.compile(r"Model loading took|Starting torch\.compile|torch\.compile takes|Dynamo bytecode"),
        re.compile(r", in (?:determine_available_memory|profile_run)\b"),
    ),
    (
        "loading the weights",
        re.compile(r"Starting to load model|Loading model from scratch|checkpoint shards"),
        re.compile(r", in (?:load_model|load_weights|process_weights_after_loading|initialize_model)\b"),
    ),
    (
        "connecting the ranks",
        re.compile(r"world_size=\d+ |NCCL INFO|Init torch distributed"),
        re.compile(r", in (?:init_device|init_distributed_environment|init_worker_distributed_environment)\b"),
    ),
    (
        "reading its configuration",
        re.compile(r"Resolved architecture|non-default args"),
        re.compile(r", in (?:create_engine_config|create_model_config|parse_args)\b"),
    ),
)
"""The stages, the last one first: its name, a line of the log that begins it, and functions of a stack in it."""
BEFORE = "starting"


def stage_of(before: str, stack: str) -> str:
    """Return the stage that vLLM was in, from the functions of a stack, else from the lines before it."""
    by_stack = next((name for name, _, frames in STAGES if frames.search(stack)), None)
    return by_stack or next((name for name, line, _ in STAGES if line.search(before)), BEFORE)


def has_ended(source: Source) -> bool:
    """Return whether the run that wrote a log is over."""
    return source.ended or source.past or bool(ENDED.search(source.text))


def goes_on(source: Source, found: Evidence) -> bool:
    """Return whether vLLM went on after a line, so that the line does not explain a failure.

    A line below the level of an error needs a failure to explain, and explains none after which the start went on. An
    error counts at once, unless the process that printed it went on, or all ranks have started since then. Once all
    ranks have started, other progress does not show a start: NCCL's lines can come late, when a buffer is flushed.
    """
    if found.level is not Level.ERROR:
        up = source.reached(UP)
        return not has_ended(source) or (up if up >= 0 else source.reached(PROGRESS)) > found.index
    if process := PROCESS.match(found.line):
        own = re.compile(rf"^{re.escape(process[0])} INFO [^\n]*(?:{PROGRESS.pattern})", re.MULTILINE)
        return source.reached(own) > found.index
    return not has_ended(source) and source.reached(UP) > found.index
