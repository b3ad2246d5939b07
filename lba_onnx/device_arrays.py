"""Products of arrays in the memory of a CUDA device: CuPy arrays, and what CuPy takes without a copy.

any of __dlpack__ (PyTorch, JAX), __cuda_array_interface__ (Numba) -> cupy.ndarray -> native.cuda -> cupy.ndarray

Work is queued on CuPy's current stream of the operands' device, as CuPy's own functions do. CuPy is imported when the
first such array comes.
"""

from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.errors import LbaError
from lba_onnx.native import ConvGeometry

_CUDA_DEVICE_TYPES = (2, 13)  # DLPack's kDLCUDA and kDLCUDAManaged
_DTYPES = ("float32", "float16")


def to_device_arrays(**operands: Any) -> tuple[Any, ...] | None:
    """Return operands on a CUDA device as CuPy arrays that share their memory; None where all are on the host.

    Args:
        **operands: Anything, by the names that messages call them.

    Raises:
        LbaError: CuPy is not installed.
        TypeError: Some are on a device and some on the host, or they are not all float32 or all float16.
        ValueError: They are on different devices, or their values are not aligned.
    """
    on_device = {name: is_on_device(value) for name, value in operands.items()}
    if not any(on_device.values()):
        return None
    if not all(on_device.values()):
        places = ", ".join(f"{name} on {'a device' if there else 'the host'}" for name, there in on_device.items())
        raise TypeError(f"expected all operands on one CUDA device, or all on the host, got {places}")
    arrays = {name: _to_cupy(value) for name, value in operands.items()}
    _check_arrays(arrays)
    return tuple(arrays.values())


def is_on_device(value: Any) -> bool:
    """Return whether a value is an array in the memory of a CUDA device."""
    describe = getattr(value, "__dlpack_device__", None)
    if describe is not None:
        return describe()[0] in _CUDA_DEVICE_TYPES
    return hasattr(value, "__cuda_array_interface__")


def matmul(a: Any, b: Any, batch: tuple[int, ...], spec: Accumulator) -> Any:
    """Product of batches of matrices.

    Args:
        a: CuPy array, float32 or float16 [..., rows, depth].
        b: CuPy array of the same type and on the same device, [..., depth, columns].
        batch: What their first dimensions broadcast to.
        spec: The arithmetic.

    Returns:
        CuPy array of the same type and device, [batch..., rows, columns].

    Raises:
        LibraryError: There is no CUDA library.
        ValueError: The batch takes more than 8 strides, or the arithmetic is one of integers.
    """
    spec.check_operands(str(a.dtype))
    import cupy

    from lba_onnx.native import cuda

    with a.device:
        y = cupy.empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)
        a, b = (cupy.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
        _queue(cuda.matmul_call(_tensor(a), _tensor(b), y.data.ptr, spec))
    return y


def conv(x: Any, w: Any, spec: Accumulator, geometry: ConvGeometry, output_shape: tuple[int, ...]) -> Any:
    """Convolution without bias.

    Args:
        x: CuPy array, float32 or float16 [batch, channels, spatial...]; copied where it is not contiguous.
        w: CuPy array of the same type and on the same device, [out_channels, channels / group, kernel...]; likewise.
        spec: The arithmetic.
        geometry: Strides, dilations, pads and group.
        output_shape: [batch, out_channels, output...] that follows from the rest.

    Returns:
        CuPy array of the same type and device, of output_shape.

    Raises:
        LibraryError: There is no CUDA library.
        ValueError: The arithmetic is one of integers.
    """
    spec.check_operands(str(x.dtype))
    import cupy

    from lba_onnx.native import cuda

    with x.device:
        y = cupy.empty(output_shape, x.dtype)
        x, w = cupy.ascontiguousarray(x), cupy.ascontiguousarray(w)
        _queue(cuda.conv_call(_tensor(x), _tensor(w), y.data.ptr, spec, geometry))
    return y


def _to_cupy(value: Any) -> Any:
    try:
        import cupy
    except ImportError as error:
        raise LbaError(f"arrays on a CUDA device need CuPy: pip install 'lba-onnx[cuda]' ({error})") from None
    if isinstance(value, cupy.ndarray):
        return value
    return cupy.from_dlpack(value) if hasattr(value, "__dlpack_device__") else cupy.asarray(value)


def _check_arrays(arrays: dict[str, Any]) -> None:
    types = {name: array.dtype.name for name, array in arrays.items()}
    if len(set(types.values())) > 1 or not set(types.values()) <= set(_DTYPES):
        found = ", ".join(f"{name} {dtype}" for name, dtype in types.items())
        raise TypeError(f"expected operands on a CUDA device to be all float32 or all float16, got {found}")
    numbers = {name: array.device.id for name, array in arrays.items()}
    if len(set(numbers.values())) > 1:
        found = ", ".join(f"{name} on device {number}" for name, number in numbers.items())
        raise ValueError(f"expected operands on one device, got {found}")
    for name, array in arrays.items():
        if any(place % array.itemsize for place in (array.data.ptr, *array.strides)):
            raise ValueError(
                f"expected {name} to have an address and strides that are multiples of {array.itemsize} bytes, got "
                f"{array.data.ptr:#x} and {array.strides}"
            )


def _tensor(array: Any) -> Any:
    from lba_onnx.native import cuda

    strides = tuple(stride // array.itemsize for stride in array.strides)
    return cuda.Tensor(array.data.ptr, array.shape, strides, array.dtype.name)


def _queue(call: Any) -> None:
    """Queue a call on CuPy's current stream; CuPy hands its scratch memory on in the order of that stream."""
    import cupy

    from lba_onnx.native import cuda

    size = cuda.workspace_bytes(call)
    scratch = cupy.cuda.alloc(size)
    cuda.queue(call, scratch.ptr, size, cupy.cuda.get_current_stream().ptr)
