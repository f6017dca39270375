"""A cluster as it was read, a release on it, and a release as the chart renders it."""
