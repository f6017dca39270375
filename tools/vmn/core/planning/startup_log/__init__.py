"""The log of a start of vLLM: what it says, what it should say, and where the two differ."""
