"""A cluster against what a release asks of it, before an install. Pure: what was rendered, and what was read."""
