"""Values files: reading and merging them, and what is wrong with them."""
