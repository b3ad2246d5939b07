"""lba_onnx.native.cuda: its structures are those of the C header, and its functions compute what they say.

The CUDA library is the emulated one, whose device memory is the host's.
"""

import re

import numpy as np
import pytest
from c_headers import INCLUDE, compile_with, fields_in_header, fields_in_python, layout_in_c, layout_in_python
from cuda_emulation import emulated_cuda_library
from hostile import operand
from statistics_numbers import assert_same_statistics

from lba_onnx import AccumulatorSpec, kernels, native
from lba_onnx.errors import LibraryError
from lba_onnx.native import ConvGeometry, cuda
from lba_onnx.native.cuda import library
from lba_onnx.native.cuda.calls import Tensor, conv_call, matmul_call

HEADER = INCLUDE / "lba" / "cuda_api.h"
STRUCTURES = {
    "LbaCudaDevice": library.CudaDevice,
    "LbaCudaMatMulArgs": library.CudaMatMulArgs,
    "LbaCudaConvArgs": library.CudaConvArgs,
}
SPEC = AccumulatorSpec.parse("M7E4b10")
GEOMETRY = ConvGeometry((1, 2), (1, 1), (1, 0), (0, 1), 2)
rng = np.random.default_rng(5)
A, B, C = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 7, 21), (3, 21, 6), (7, 6)))
X, W, BIAS = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 6, 5, 7), (4, 3, 3, 2), (4,)))


@pytest.fixture
def emulated(monkeypatch):
    path = emulated_cuda_library()
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(path))
    return path


def test_structures_have_the_layout_of_the_header(tmp_path):
    assert layout_in_c(HEADER, STRUCTURES, tmp_path) == layout_in_python(STRUCTURES)


def test_structures_hold_every_field_of_the_header():
    assert fields_in_header(HEADER) == fields_in_python(STRUCTURES)


def test_constants_are_the_headers():
    text = HEADER.read_text() + HEADER.with_name("c_api.h").read_text()
    assert re.search(r"#define LBA_CUDA_BATCH_RANK (\d+)", text)[1] == str(library.BATCH_RANK)
    for number, name in enumerate(library.ELEMENT_TYPES):
        assert re.search(rf"#define LBA_{name.upper()} (\d+)", text)[1] == str(number)
    names = re.search(r'#define LBA_CUDA_KERNELS[\s\\]*((?:"\w+",?\s*)+)', text)[1]
    assert tuple(re.findall(r'"(\w+)"', names)) == library.KERNELS
    assert re.search(r"#define LBA_CUDA_KERNEL_COUNT (\d+)", text)[1] == str(len(library.KERNELS))


def test_contiguous_describes_as_numpy_lays_out():
    for shape in ((), (3,), (2, 3), (4, 1, 5), (2, 0, 3)):
        array = np.empty(shape, np.float16)
        described = Tensor.contiguous(array.ctypes.data, shape, "float16")
        assert described.dtype == "float16"
        assert described.pointer == array.ctypes.data
        if array.size:
            assert described.strides == Tensor.of(array).strides


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
def test_host_functions_have_the_bits_of_the_host_path(emulated, dtype):
    a, b, x, w = (value.astype(dtype) for value in (A, B, X, W))
    expected = kernels.matmul(a.astype(np.float32), b.astype(np.float32), SPEC).astype(dtype)
    np.testing.assert_array_equal(cuda.matmul_host(a, b, SPEC), expected)
    y = kernels.conv(x.astype(np.float32), w.astype(np.float32), SPEC, (1, 2), (1, 0, 0, 1), None, 2)
    got = cuda.conv_host(x, w, SPEC, GEOMETRY, y.shape)
    np.testing.assert_array_equal(got, y.astype(dtype))
    assert got.dtype == dtype


def test_a_bias_is_added_in_float32_afterwards(emulated):
    y = kernels.conv(X, W, SPEC, (1, 2), (1, 0, 0, 1), None, 2)
    got = cuda.conv_host(X, W, SPEC, GEOMETRY, y.shape, BIAS)
    np.testing.assert_array_equal(got, y + BIAS[:, np.newaxis, np.newaxis])


def test_alpha_beta_and_c_are_applied_in_float32_afterwards(emulated):
    y = np.empty((3, 7, 6), np.float32)
    call = matmul_call(Tensor.of(A), Tensor.of(B), y.ctypes.data, SPEC, alpha=0.7, beta=-1.3, c=Tensor.of(C))
    cuda.compute_host(call)
    expected = np.float32(0.7) * kernels.matmul(A, B, SPEC) + np.float32(-1.3) * C
    np.testing.assert_array_equal(y, expected)


def test_sums_start_from_an_addend(emulated):
    y = np.empty((3, 7, 6), np.float32)
    started = {"c": Tensor.of(C), "starts_from_c": True}
    cuda.compute_host(matmul_call(Tensor.of(A), Tensor.of(B), y.ctypes.data, SPEC, beta=0.3, **started))
    np.testing.assert_array_equal(y, kernels.matmul(A, B, SPEC, initial=np.float32(0.3) * C))
    with pytest.raises(ValueError, match="expected an alpha of 1 where sums start from c, got 0.7"):
        cuda.compute_host(matmul_call(Tensor.of(A), Tensor.of(B), y.ctypes.data, SPEC, alpha=0.7, **started))
    expected = kernels.conv(X, W, SPEC, (1, 2), (1, 0, 0, 1), None, 2, initial=BIAS[:, np.newaxis, np.newaxis])
    y = np.empty(expected.shape, np.float32)
    described = {"bias": Tensor.of(BIAS), "starts_from_bias": True}
    cuda.compute_host(conv_call(Tensor.of(X), Tensor.of(W), y.ctypes.data, SPEC, GEOMETRY, **described))
    np.testing.assert_array_equal(y, expected)


def test_an_addend_times_zero_is_none_even_where_it_is_not_finite(emulated):
    y, c = np.full((3, 7, 6), np.nan, np.float32), np.full((7, 6), np.inf, np.float32)
    cuda.compute_host(matmul_call(Tensor.of(A), Tensor.of(B), y.ctypes.data, SPEC, beta=0.0, c=Tensor.of(c)))
    assert np.array_equal(y, kernels.matmul(A, B, SPEC))


def exact_share(compute):
    """The share of tiles that the exact kernel computes."""
    before = cuda.kernel_counts()
    compute()
    tiles = {kernel: count - before[kernel] for kernel, count in cuda.kernel_counts().items()}
    return tiles["exact"] / sum(tiles.values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_value_that_is_not_finite_sends_only_its_tiles_to_the_exact_kernel(emulated, monkeypatch, value):
    monkeypatch.setenv("LBA_ONNX_CUDA_TILE", "small")
    a, b = (rng.standard_normal((128, 128)).astype(np.float32) for _ in range(2))
    for operand_with_value, place in ((a, (5, 7)), (b, (7, 5))):
        kept, operand_with_value[place] = operand_with_value[place], value
        assert exact_share(lambda: cuda.matmul_host(a, b, SPEC)) == 4 / 16
        np.testing.assert_array_equal(cuda.matmul_host(a, b, SPEC), kernels.matmul(a, b, SPEC))
        operand_with_value[place] = kept
    x = rng.standard_normal((4, 3, 16, 16)).astype(np.float32)
    w = rng.standard_normal((32, 3, 1, 1)).astype(np.float32)
    x[2, 1, 3, 3] = value
    geometry = ConvGeometry((1, 1), (1, 1), (0, 0), (0, 0), 1)
    assert exact_share(lambda: cuda.conv_host(x, w, SPEC, geometry, (4, 32, 16, 16))) == 1 / 4
    np.testing.assert_array_equal(cuda.conv_host(x, w, SPEC, geometry, (4, 32, 16, 16)), kernels.conv(x, w, SPEC))


def test_packed_weights_change_no_bit(emulated):
    call = matmul_call(Tensor.of(A), Tensor.of(B), 0, SPEC)
    y = kernels.conv(X, W, SPEC, (1, 2), (1, 0, 0, 1), None, 2)
    filters = conv_call(Tensor.of(X), Tensor.of(W), 0, SPEC, GEOMETRY)
    with cuda.pack(call) as b, cuda.pack(filters) as w:
        np.testing.assert_array_equal(cuda.matmul_host(A, B, SPEC, b), kernels.matmul(A, B, SPEC))
        np.testing.assert_array_equal(cuda.conv_host(X, W, SPEC, GEOMETRY, y.shape, weights=w), y)
    assert b.handle is None
    b.release()


def test_calls_on_device_buffers_are_queued_with_their_workspace(emulated):
    with cuda.DeviceBuffer.of(A) as a, cuda.DeviceBuffer.of(B) as b, cuda.DeviceBuffer(3 * 7 * 6 * 4) as y:
        operands = (Tensor.contiguous(a.pointer, A.shape), Tensor.contiguous(b.pointer, B.shape))
        call = matmul_call(*operands, y.pointer, SPEC)
        size = cuda.workspace_bytes(call)
        with cuda.DeviceBuffer(size) as scratch:
            cuda.queue(call, scratch.pointer, size)
            np.testing.assert_array_equal(y.read((3, 7, 6)), kernels.matmul(A, B, SPEC))
    assert y.pointer == 0


def test_a_workspace_too_small_is_refused(emulated):
    with cuda.DeviceBuffer.of(A) as a, cuda.DeviceBuffer.of(B) as b, cuda.DeviceBuffer(3 * 7 * 6 * 4) as y:
        operands = (Tensor.contiguous(a.pointer, A.shape), Tensor.contiguous(b.pointer, B.shape))
        call = matmul_call(*operands, y.pointer, SPEC)
        assert cuda.workspace_bytes(call) > 0
        with pytest.raises(ValueError, match="expected scratch memory of "):
            cuda.queue(call, 0, 0)


def test_a_buffer_gives_back_what_was_written(emulated):
    values = rng.standard_normal((4, 5)).astype(np.float16)
    with cuda.DeviceBuffer.of(values[:, ::2]) as buffer:
        np.testing.assert_array_equal(buffer.read((4, 3), np.float16), values[:, ::2])
        with pytest.raises(ValueError, match="at most 24 bytes, got 40"):
            buffer.write(values)
        with pytest.raises(ValueError, match="at most 24 bytes, got 48 for "):
            buffer.read((4, 3))


def test_statistics_are_those_that_the_host_collects(emulated):
    a, b = (operand(kind, shape, rng) for kind, shape in (("overflow", (13, 40)), ("underflow", (40, 9))))
    with cuda.DeviceBuffer.of(a) as at, cuda.DeviceBuffer.of(b) as bt:
        call = matmul_call(Tensor.contiguous(at.pointer, a.shape), Tensor.contiguous(bt.pointer, b.shape), 0, SPEC)
        got = cuda.statistics(call, 0, 0.5)
    native.statistics_open("binding", 0.5)
    try:
        native.matmul(a[np.newaxis], b[np.newaxis], SPEC, 1, "binding/node")
        expected = native.statistics_read("binding/node")
    finally:
        native.statistics_close("binding")
    assert_same_statistics(got, expected)


def test_devices_and_kernels_are_named(emulated):
    (device,) = cuda.devices()
    assert device.name
    assert device.memory_bytes > 0
    assert device.compute_capability >= (8, 0)
    before = cuda.kernel_counts()
    cuda.matmul_host(A, B, SPEC)
    after = cuda.kernel_counts()
    assert tuple(after) == library.KERNELS
    assert sum(after.values()) > sum(before.values())


def test_operands_that_do_not_fit_are_refused():
    a, b = Tensor.of(A), Tensor.of(B)
    with pytest.raises(ValueError, match="expected a .*rows, depth. and b"):
        matmul_call(a, a, 0, SPEC)
    with pytest.raises(ValueError, match="one type out of float32, float16, got float32, float16"):
        matmul_call(a, Tensor.of(B.astype(np.float16)), 0, SPEC)
    with pytest.raises(ValueError, match="one type out of float32, float16, got float64, float64"):
        conv_call(Tensor.of(X.astype(np.float64)), Tensor.of(W.astype(np.float64)), 0, SPEC, GEOMETRY)
    assert matmul_call(a, b, 0, SPEC).args.columns == 6


def test_axes_are_not_joined_beyond_the_size_that_the_library_takes():
    b = Tensor(0, (1 << 16, 1 << 16, 4, 3), (0, 0, 3, 1))
    a = Tensor.contiguous(0, (1 << 16, 1 << 16, 2, 4))
    args = matmul_call(a, b, 0, SPEC).args
    assert (args.rows, list(args.batch[: args.batch_rank])) == (1 << 17, [1 << 16])


def test_what_the_library_refuses_is_a_value_error_with_its_reason(emulated):
    call = matmul_call(Tensor.of(A), Tensor.of(B), 0, SPEC)
    call.args.rows = -1
    with pytest.raises(ValueError, match="expected rows from 0 to .*, got -1"):
        cuda.workspace_bytes(call)


def test_without_the_variable_the_library_lies_beside_the_native_one(monkeypatch, tmp_path):
    monkeypatch.delenv(cuda.CUDA_LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(library, "library_path", lambda: tmp_path / "liblba_ops.so")
    assert cuda.find_cuda_library() is None
    with pytest.raises(
        LibraryError, match=r"expected the CUDA library at .*liblba_ops_cuda.so, but there is none; .pip"
    ):
        cuda.cuda_library_path()
    (tmp_path / "liblba_ops_cuda.so").touch()
    assert cuda.cuda_library_path() == tmp_path / "liblba_ops_cuda.so"


def test_without_one_beside_it_the_package_of_the_library_is_looked_into(monkeypatch, tmp_path):
    monkeypatch.delenv(cuda.CUDA_LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(library, "library_path", lambda: tmp_path / "lba_onnx" / "liblba_ops.so")
    (tmp_path / "lba_onnx_cuda").mkdir()
    assert cuda.find_cuda_library() is None
    packaged = tmp_path / "lba_onnx_cuda" / "liblba_ops_cuda.so"
    packaged.touch()
    assert cuda.cuda_library_path() == packaged


def test_a_file_that_is_no_library_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "text.so"
    path.write_text("no library")
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(path))
    with pytest.raises(LibraryError, match="text.so does not load: .*LBA_CUDA=ON"):
        cuda.devices()


def test_a_library_without_the_entry_points_is_refused(monkeypatch):
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(native.library_path()))
    with pytest.raises(LibraryError, match="does not load: .*lba_cuda_"):
        cuda.devices()


def test_a_library_of_another_version_is_refused(monkeypatch, tmp_path):
    names = set(re.findall(r"\b(lba_cuda_\w+)\(", HEADER.read_text())) - {"lba_cuda_version"}
    stubs = "".join(f'extern "C" void {name}() {{}}\n' for name in sorted(names))
    source = f'{stubs}extern "C" const char* lba_cuda_version() {{ return "0.0.7"; }}\n'
    compile_with(source, tmp_path / "other.so", "-shared", "-fPIC")
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(tmp_path / "other.so"))
    with pytest.raises(LibraryError, match=rf"other.so of version {native.version()}, the native library's, got 0.0.7"):
        cuda.cuda_version()
