"""Fixtures for all tests, and the tiers: without a cluster its tests are skipped, not failed."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a cluster when KUBECONFIG names none."""
    if os.environ.get("KUBECONFIG"):
        return
    skip = pytest.mark.skip(reason="needs a cluster: set KUBECONFIG, or run make test-cluster or make test-engine")
    for item in items:
        if item.get_closest_marker("cluster") or item.get_closest_marker("engine"):
            item.add_marker(skip)
