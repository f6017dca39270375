"""What fills the memory of a GPU: weights, activations, and the KV cache."""
