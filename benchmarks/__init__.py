"""Benchmarks: each checks bits before it times, prints a table and writes JSON (docs/benchmarks.md).

Run from the repository root: python -m benchmarks.matmul, .conv, .models, .memory or .training.
"""
