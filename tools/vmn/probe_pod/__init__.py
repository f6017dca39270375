"""The program in the pods of ``vmn preflight --active``: it prints answers, one line each, and judges nothing.

A ConfigMap brings it into the pods, where it runs with the image's Python (3.9 or later) and the standard library. It
does not depend on the rest of vmn, changes nothing, and always exits with 0: another status would fail the whole Job.
"""
