"""How versions of vLLM differ."""
