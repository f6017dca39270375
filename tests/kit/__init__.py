"""Tested helpers for the tests."""
