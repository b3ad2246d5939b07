"""Exact sums of exact products, rounded once."""
