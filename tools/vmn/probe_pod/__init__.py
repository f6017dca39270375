"""What ``vmn preflight --active`` runs in its pods: reports facts, one line each, and judges nothing.

It goes there as a ConfigMap, and runs with the image's Python (3.9 or newer) and its standard library alone. It knows
nothing of the rest of vmn, changes nothing, and always ends with status 0: another one would end the other pods' Job.
"""
