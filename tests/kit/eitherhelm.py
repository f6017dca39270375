"""Helm 4 and Helm 3 as a parameter of tests."""

from __future__ import annotations

import pytest

either_helm = pytest.mark.parametrize("helm", ["helm", pytest.param("helm3", marks=pytest.mark.slow)])
"""Runs a test with both. Helm 3 renders the same, which the slow tests check, so the fast ones don't need it."""
