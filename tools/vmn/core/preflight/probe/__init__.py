"""Probes, the pods of ``vmn preflight --active``: what they look like, what they look for, and what they found."""
