"""Trying settings on a running release: which ones, what came of them, and which one to keep."""
