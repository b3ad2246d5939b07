"""The CUDA library of lba_onnx, which finds it where this package is installed beside it."""

from pathlib import Path


def library_path() -> Path:
    """Path of the library: what LBA_ONNX_CUDA_LIBRARY names where lba_onnx's library is deployed without Python."""
    return Path(__file__).with_name("liblba_ops_cuda.so")
