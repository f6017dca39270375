"""How a model is divided over GPUs, and which layouts are possible."""
