"""Runs with vLLM's packages: import what the processes of a server import; called with the name of a model's class."""

import importlib
import sys

MODULES = (
    "vllm.entrypoints.cli.main",
    "vllm.entrypoints.cli.serve",
    "vllm.entrypoints.openai.api_server",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.worker.cpu_model_runner",
    "vllm.model_executor.models.llama",
)
"""What ``vllm serve`` imports at the start of its processes, and with it nearly all that they import later."""

for module in MODULES:
    importlib.import_module(module)

models = importlib.import_module("vllm.model_executor.models").ModelRegistry.models
models[sys.argv[1]].inspect_model_cls()
