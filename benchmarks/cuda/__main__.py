"""python -m benchmarks.cuda: see run.py."""

from benchmarks.cuda.run import main

main()
