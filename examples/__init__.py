"""Larger examples, run from the repository root."""
