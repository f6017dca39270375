"""What a model is made of: its shapes, how its weights are stored, and what its checkpoint holds."""
