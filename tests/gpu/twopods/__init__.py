"""A group of pods as the chart renders it, run on one Linux host as if each pod had a node of its own.

``render`` and ``doctor`` run on a developer's machine. ``run`` runs on the host and needs only the standard library.
"""
