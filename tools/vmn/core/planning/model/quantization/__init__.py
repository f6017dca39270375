"""How a checkpoint is quantized: one file for each kind of description."""
