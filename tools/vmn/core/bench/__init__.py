"""Measuring how fast a release is: the points of a sweep, its Job, its results, and two runs compared."""
