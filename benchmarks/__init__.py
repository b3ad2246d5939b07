"""What measures speed, memory and accuracy: each checks bits before it times, prints a table and writes JSON.

Run from the repository root, such as `python -m benchmarks.matmul` (docs/benchmarks.md, docs/results.md).
"""
