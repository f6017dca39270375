"""Documents under test: what stands in them, and rules that their commands must follow."""
