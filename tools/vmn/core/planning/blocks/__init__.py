"""The kinds of blocks that decoder layers consist of. Each file has one kind: its weights, caches, and activations."""
