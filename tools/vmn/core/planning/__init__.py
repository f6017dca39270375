"""What a model needs on given GPUs, as vLLM itself works it out: weights, activations, KV cache, layouts. No I/O."""
