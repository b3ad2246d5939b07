"""The CUDA library on a machine with a GPU: bits, speed, targets."""
