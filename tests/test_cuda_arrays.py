"""lba_onnx.matmul and conv on arrays of a CUDA device give the bits of the host path.

The CUDA library is the emulated one, whose device memory is the host's, and CuPy is a stand-in on that memory.
"""

import subprocess
import sys

import fake_cupy
import numpy as np
import pytest
from cuda_emulation import emulated_cuda_library

import lba_onnx
from lba_onnx import AccumulatorSpec
from lba_onnx.errors import LbaError, LibraryError
from lba_onnx.native import cuda

SPEC = AccumulatorSpec.parse("M7E4b10")
CHUNKS = AccumulatorSpec.parse("M4E3b3/M4E3b4,chunk=5,underflow=off")


@pytest.fixture
def cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(emulated_cuda_library()))
    with fake_cupy.memory():
        yield fake_cupy


@pytest.fixture
def calls(monkeypatch):
    """The calls that are queued, with the device and the stream they are queued on."""
    seen, queue = [], cuda.queue

    def spy(call, workspace, size_bytes, stream):
        seen.append((call, fake_cupy.current_device(), stream))
        queue(call, workspace, size_bytes)

    monkeypatch.setattr(cuda, "queue", spy)
    return seen


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def assert_same(got, expected):
    assert isinstance(got, fake_cupy.ndarray)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got.values, expected)


OPERANDS = {
    "matrices": (draw(5, 19), draw(19, 7)),
    "one_matrix_for_a_batch": (draw(2, 3, 5, 19), draw(19, 7)),
    "batch": (draw(2, 3, 5, 19), draw(2, 3, 19, 7)),
    "broadcast_in_the_middle": (draw(2, 1, 3, 4, 9), draw(1, 2, 3, 9, 2)),
    "broadcast_both": (draw(3, 1, 4, 9), draw(2, 9, 5)),
    "vector_and_matrix": (draw(19), draw(19, 7)),
    "matrix_and_vector": (draw(5, 19), draw(19)),
    "vector_and_batch": (draw(19), draw(2, 19, 7)),
    "batch_and_vector": (draw(2, 5, 19), draw(19)),
    "vectors": (draw(19), draw(19)),
    "transposed": (draw(19, 5).T, draw(7, 19).T),
    "every_other": (draw(10, 38)[::2, ::2], draw(19, 21)[:, ::3]),
    "backwards": (draw(5, 19)[::-1], draw(19, 7)[:, ::-1]),
    "rows_of_a_wider_batch": (draw(2, 6, 9)[:, :4], draw(9, 5)),
    "no_depth": (np.zeros((3, 0), np.float32), np.zeros((0, 4), np.float32)),
    "no_rows": (np.zeros((0, 3), np.float32), draw(3, 4)),
    "no_batch": (np.zeros((0, 2, 3), np.float32), draw(3, 4)),
}


@pytest.mark.parametrize("spec", [SPEC, CHUNKS], ids=str)
@pytest.mark.parametrize("name", OPERANDS)
def test_matmul_has_the_bits_of_the_host_path(cupy, name, spec):
    a, b = OPERANDS[name]
    assert_same(lba_onnx.matmul(cupy.to_device(a), cupy.to_device(b), spec), lba_onnx.matmul(a, b, spec))


@pytest.mark.parametrize("name", ["matrices", "broadcast_both", "every_other", "vectors"])
def test_float16_is_the_float32_result_rounded_to_nearest(cupy, name):
    a, b = (x.astype(np.float16) for x in OPERANDS[name])
    expected = lba_onnx.matmul(a.astype(np.float32), b.astype(np.float32), SPEC).astype(np.float16)
    assert_same(lba_onnx.matmul(cupy.to_device(a), cupy.to_device(b), SPEC), expected)


CONVOLUTIONS = {
    "1d": (draw(2, 3, 11), draw(4, 3, 3), {}),
    "2d": (draw(2, 3, 8, 9), draw(4, 3, 3, 2), {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)}),
    "3d": (draw(1, 2, 4, 5, 4), draw(3, 2, 2, 2, 2), {}),
    "groups": (draw(1, 6, 5, 5), draw(4, 3, 3, 3), {"group": 2}),
    "depthwise": (draw(1, 6, 5, 5), draw(6, 1, 3, 3), {"group": 6, "pads": (1, 1, 1, 1)}),
    "views": (draw(2, 8, 9, 3).transpose(0, 3, 1, 2), draw(3, 2, 3, 4).transpose(3, 2, 0, 1), {}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv_has_the_bits_of_the_host_path(cupy, name, dtype):
    x, w, settings = CONVOLUTIONS[name]
    x, w = x.astype(dtype), w.astype(dtype)
    expected = lba_onnx.conv(x.astype(np.float32), w.astype(np.float32), SPEC, **settings).astype(dtype)
    assert_same(lba_onnx.conv(cupy.to_device(x), cupy.to_device(w), SPEC, **settings), expected)


@pytest.mark.parametrize(
    "wrap",
    [fake_cupy.DlpackArray, lambda values: fake_cupy.DlpackArray(values, is_managed=True), fake_cupy.InterfaceArray],
    ids=["dlpack", "managed", "interface"],
)
def test_arrays_of_other_packages_are_taken_without_a_copy(cupy, calls, wrap):
    a, b = draw(10, 19), draw(19, 7)
    there = cupy.to_device(a).values[::2]
    assert_same(lba_onnx.matmul(wrap(there), cupy.to_device(b), SPEC), lba_onnx.matmul(a[::2], b, SPEC))
    ((call, *_),) = calls
    assert (call.args.a, call.args.a_row_stride) == (there.ctypes.data, 38)


def test_work_is_queued_on_the_current_stream_of_the_operands_device(cupy, calls):
    a, b = draw(5, 19), draw(19, 7)
    x, w = draw(1, 2, 5), draw(3, 2, 2)
    with cupy.use_stream(77, device=1), cupy.use_stream(55, device=0):
        y = lba_onnx.matmul(cupy.to_device(a, 1), cupy.to_device(b, 1), SPEC)
        z = lba_onnx.conv(cupy.to_device(x, 0), cupy.to_device(w, 0), SPEC)
    assert [place for _, *place in calls] == [[1, 77], [0, 55]]
    assert (y.device.id, z.device.id, cupy.current_device()) == (1, 0, 0)


@pytest.mark.parametrize(
    ("a", "b", "batch", "rows"),
    [
        (draw(2, 3, 5, 19), draw(19, 7), [], 30),
        (draw(2, 3, 5, 19), draw(2, 3, 19, 7), [(6, 95, 133)], 5),
        (draw(2, 3, 4, 5, 19), draw(4, 19, 7), [(6, 380, 0), (4, 95, 133)], 5),
        (draw(2, 1, 5, 19), draw(2, 3, 19, 7), [(2, 95, 399), (3, 0, 133)], 5),
        (draw(2, 6, 9)[:, :4], draw(9, 5), [(2, 54, 0)], 4),
        (draw(1, 1, 5, 19), draw(1, 19, 7), [], 5),
    ],
)
def test_batch_dimensions_become_as_few_as_describe_the_operands(cupy, calls, a, b, batch, rows):
    lba_onnx.matmul(cupy.to_device(a), cupy.to_device(b), SPEC)
    args = calls[0][0].args
    found = zip(args.batch, args.a_batch_strides, args.b_batch_strides, strict=True)
    assert list(found)[: args.batch_rank] == batch
    assert args.rows == rows


def test_more_batch_strides_than_the_library_takes_are_refused(cupy):
    a = np.zeros((1, 2) * 4 + (1, 3, 4), np.float32)
    b = np.zeros((2, 1) * 4 + (2, 4, 5), np.float32)
    with pytest.raises(ValueError, match="at most 8 strides, got 9 for .*make them contiguous"):
        lba_onnx.matmul(cupy.to_device(a), cupy.to_device(b), SPEC)


def test_threads_are_checked_and_have_no_effect_on_a_device(cupy):
    a, b = OPERANDS["matrices"]
    assert_same(lba_onnx.matmul(cupy.to_device(a), cupy.to_device(b), SPEC, threads=3), lba_onnx.matmul(a, b, SPEC))
    with pytest.raises(ValueError, match="expected threads of at least 1, got 0"):
        lba_onnx.matmul(cupy.to_device(a), cupy.to_device(b), SPEC, threads=0)


def test_operands_on_the_host_and_on_a_device_are_refused(cupy):
    with pytest.raises(TypeError, match="all operands on one CUDA device, .*, got a on a device, b on the host"):
        lba_onnx.matmul(cupy.to_device(draw(2, 3)), draw(3, 2), SPEC)
    with pytest.raises(TypeError, match="got x on the host, w on a device"):
        lba_onnx.conv(draw(1, 2, 3), cupy.to_device(draw(1, 2, 3)), SPEC)


def test_operands_on_different_devices_are_refused(cupy):
    with pytest.raises(ValueError, match="operands on one device, got a on device 0, b on device 1"):
        lba_onnx.matmul(cupy.to_device(draw(2, 3)), cupy.to_device(draw(3, 2), 1), SPEC)


def test_values_that_are_not_aligned_are_refused(cupy):
    apart = np.zeros((2, 3), [("value", np.float32), ("other", np.int16)])["value"]
    with pytest.raises(ValueError, match=r"expected a to have .* multiples of 4 bytes, got 0x.* and \(18, 6\)"):
        lba_onnx.matmul(cupy.to_device(apart), cupy.to_device(draw(3, 2)), SPEC)


def test_accumulators_of_integers_are_refused_on_a_device(cupy):
    a = cupy.to_device(draw(2, 3))
    with pytest.raises(ValueError, match="expected an accumulator of float32, got int16-wrap, of uint8 and int8"):
        lba_onnx.matmul(a, cupy.to_device(draw(3, 2)), "int16-wrap")
    with pytest.raises(ValueError, match="expected an accumulator of float32, got x86-u8s8, of uint8 and int8"):
        lba_onnx.conv(cupy.to_device(draw(1, 2, 3)), cupy.to_device(draw(1, 2, 3)), "x86-u8s8")


@pytest.mark.parametrize(("a", "b"), [("float64", "float64"), ("float32", "float16"), ("int32", "float32")])
def test_operands_of_other_types_are_refused(cupy, a, b):
    with pytest.raises(TypeError, match=f"all float32 or all float16, got a {a}, b {b}"):
        lba_onnx.matmul(cupy.to_device(np.ones((2, 2), a)), cupy.to_device(np.ones((2, 2), b)), SPEC)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((2, 3), (4, 5), "the same depth"),
        ((2, 1, 3), (4, 3, 2), "batch dimensions that broadcast"),
        ((), (3,), "at least one dimension"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_as_on_the_host(cupy, a, b, message):
    operands = [np.ones(shape, np.float32) for shape in (a, b)]
    for wrap in (cupy.to_device, np.asarray):
        with pytest.raises(ValueError, match=message):
            lba_onnx.matmul(*map(wrap, operands), SPEC)


def test_a_kernel_that_does_not_fit_is_refused_as_on_the_host(cupy):
    for wrap in (cupy.to_device, np.asarray):
        with pytest.raises(ValueError, match="a kernel that fits the padded input"):
            lba_onnx.conv(wrap(draw(1, 1, 2)), wrap(draw(1, 1, 3)), SPEC)


def test_a_missing_cupy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(LbaError, match=r"need CuPy: pip install 'lba-onnx\[cuda\]'"):
        lba_onnx.matmul(fake_cupy.DlpackArray(draw(2, 3)), fake_cupy.DlpackArray(draw(3, 2)), SPEC)


def test_a_missing_cuda_library_says_how_to_get_it(cupy, monkeypatch, tmp_path):
    a, b = cupy.to_device(draw(2, 3)), cupy.to_device(draw(3, 2))
    with monkeypatch.context() as inner:
        inner.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(tmp_path / "absent.so"))
        with pytest.raises(LibraryError, match=r"LBA_ONNX_CUDA_LIBRARY says, but .*absent.so is no file; set it"):
            lba_onnx.matmul(a, b, SPEC)


def test_arrays_on_the_host_that_speak_dlpack_take_the_host_path():
    torch = pytest.importorskip("torch")
    a, b = OPERANDS["matrices"]
    got = lba_onnx.matmul(torch.from_numpy(a), torch.from_numpy(b), SPEC)
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, lba_onnx.matmul(a, b, SPEC))


def test_the_host_path_loads_neither_cupy_nor_the_cuda_library():
    code = (
        "import sys, numpy as np, lba_onnx, lba_onnx.device_arrays, lba_onnx.kernels, lba_onnx.native.cuda; "
        "assert 'liblba_ops' not in open('/proc/self/maps').read(), 'a native library is loaded'; "
        "one = np.ones((2, 2), np.float32); "
        "lba_onnx.matmul(one, one, lba_onnx.AccumulatorSpec.parse('M7E4b10')); "
        "assert 'liblba_ops_cuda' not in open('/proc/self/maps').read(), 'the CUDA library is loaded'; "
        "assert 'cupy' not in sys.modules, 'CuPy is loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sums_on_a_device_start_from_zero(cupy):
    a, b = (fake_cupy.to_device(values) for values in OPERANDS["matrices"])
    with pytest.raises(ValueError, match="expected no initial values of operands on a CUDA device"):
        lba_onnx.matmul(a, b, SPEC, initial=np.zeros(7, np.float32))
