"""`python -m lba_onnx` is the command `lba-onnx`."""

from lba_onnx.cli import main

main()
