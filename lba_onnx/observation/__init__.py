"""Looks into the nodes of a model while it runs."""
