"""Runs in vLLM's environment: says which flags ``vllm serve`` takes, and which variables vLLM reads."""
