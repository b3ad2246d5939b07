"""The one place that knows the C entry points of the CUDA library (custom_ops/include/lba/cuda_api.h).

call = matmul_call(Tensor(...), Tensor(...), y, spec)     what is to be computed, in memory of a device
queue(call, workspace, bytes, stream)                     computed on the device, in the stream's order
matmul_host(a, b, spec), conv_host(...)                   the same of numpy arrays, copied there and back

The library is opened by the first function that needs it.
"""

from lba_onnx.native.cuda.calls import Call, Tensor, conv_call, matmul_call
from lba_onnx.native.cuda.devices import Device, DeviceBuffer, devices, kernel_counts, synchronize
from lba_onnx.native.cuda.library import (
    CUDA_LIBRARY_NAME,
    CUDA_LIBRARY_VARIABLE,
    cuda_library_path,
    cuda_version,
    find_cuda_library,
)
from lba_onnx.native.cuda.products import (
    Weights,
    compute_host,
    conv_host,
    matmul_host,
    pack,
    queue,
    statistics,
    workspace_bytes,
)

__all__ = [
    "CUDA_LIBRARY_NAME",
    "CUDA_LIBRARY_VARIABLE",
    "Call",
    "Device",
    "DeviceBuffer",
    "Tensor",
    "Weights",
    "compute_host",
    "conv_call",
    "conv_host",
    "cuda_library_path",
    "cuda_version",
    "devices",
    "find_cuda_library",
    "kernel_counts",
    "matmul_call",
    "matmul_host",
    "pack",
    "queue",
    "statistics",
    "synchronize",
    "workspace_bytes",
]
