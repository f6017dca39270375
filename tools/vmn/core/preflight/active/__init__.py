"""Checks that run in pods like the release's own: which pods, what they are asked, and what their answers mean."""
