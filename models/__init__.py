"""Recipes for the models of the examples and tests; run from the repository root, never installed."""
