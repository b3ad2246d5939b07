"""What the operators tell onnxruntime before anything runs: shapes that follow, and what is wrong with a node."""

import ctypes

import numpy as np
import onnxruntime
import pytest
from operator_models import SPEC, node_model, old_attributes

from lba_onnx import native
from lba_onnx.errors import ModelError
from lba_onnx.session import make_session

F = np.float32
ATTRIBUTES = old_attributes(SPEC)


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def inferred(op_type, inputs, constants, **attributes):
    """The output's shape; None stands for a dimension that equals no other."""
    declared = {key: (F, shape) for key, shape in inputs.items()}
    session = make_session(node_model(op_type, declared, constants, {**ATTRIBUTES, **attributes}))
    shape = session.get_outputs()[0].shape
    unknown = [d for d in shape if str(d).startswith("lba_onnx_")]
    assert len(set(unknown)) == len(unknown), "two unknown dimensions are taken for equal"
    return [None if d in unknown else d for d in shape]


@pytest.mark.parametrize(
    "a, b, expected",
    [
        (["N", 3, 8], [8, 5], ["N", 3, 5]),
        (["N", "T", "D"], ["D", "E"], ["N", "T", "E"]),
        (["N", 1, "T", 4], ["H", 4, "S"], ["N", "H", "T", "S"]),
        (["N", "T", 4], ["N", 4, "S"], ["N", "T", "S"]),
        (["N", "T", 4], ["B", 4, "S"], [None, "T", "S"]),
        (["N", 2, 4], [7, 4, 3], [7, 2, 3]),
        ([None, 2, 4], [None, 4, None], [None, 2, None]),
        (["N", 4], [4], ["N"]),
        ([4], ["N", 4, 3], ["N", 3]),
        (None, [4, 3], []),
    ],
)
def test_matmul_infers_symbolic_shapes(a, b, expected):
    assert inferred("LbaMatMul", {"A": a, "B": b}, {}) == expected


@pytest.mark.parametrize(
    "a, b, attributes, expected",
    [
        (["N", 4], [4, 3], {}, ["N", 3]),
        ([4, "N"], [3, 4], {"transA": 1, "transB": 1}, ["N", 3]),
        (None, [4, "M"], {}, [None, "M"]),
        (None, None, {}, [None, None]),
    ],
)
def test_gemm_infers_symbolic_shapes(a, b, attributes, expected):
    assert inferred("LbaGemm", {"A": a, "B": b}, {}, **attributes) == expected


@pytest.mark.parametrize(
    "x, w, attributes, expected",
    [
        (["N", 3, "H", 9], (4, 3, 3, 3), {}, ["N", 4, None, 7]),
        (["N", 3, "H", "W"], (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}, ["N", 4, "H", "W"]),
        (["N", 3, "H", "W"], (4, 3, 3, 3), {"pads": [2, 0, 2, 1], "dilations": [2, 1]}, ["N", 4, "H", None]),
        (["N", 3, "H", 9], (4, 3, 3, 4), {"auto_pad": "SAME_LOWER"}, ["N", 4, "H", 9]),
        (["N", 3, "H", 9], (4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, ["N", 4, None, 5]),
        (["N", "C", "L"], (4, 3, 1), {}, ["N", 4, "L"]),
        (None, (4, 3, 3), {}, [None, 4, None]),
    ],
)
def test_conv_infers_symbolic_shapes(x, w, attributes, expected):
    assert inferred("LbaConv", {"A": x}, {"B": weights(*w)}, **attributes) == expected


def test_conv_infers_shapes_from_kernel_shape_where_w_is_unknown():
    inputs = {"A": ["N", 3, 9, 9], "B": None}
    assert inferred("LbaConv", inputs, {}, kernel_shape=[3, 2]) == ["N", None, 7, 8]


def test_a_declared_output_shape_is_kept():
    model = node_model("LbaMatMul", {"A": (F, [None, 8])}, {"B": weights(8, 5)}, ATTRIBUTES)
    session = make_session(model)
    assert session.run(None, {"A": weights(3, 8)})[0].shape == (3, 5)


MATMUL = ("LbaMatMul", {"A": (F, ["N", 8])}, {"B": weights(8, 5)})
GEMM = ("LbaGemm", {"A": (F, ["N", 8])}, {"B": weights(8, 5)})
CONV = ("LbaConv", {"A": (F, ["N", 4, 9, 9])}, {"B": weights(6, 2, 3, 3)})
GROUPED = {"group": 2}


@pytest.mark.parametrize(
    "node, attributes, reason",
    [
        (MATMUL, {"product_format": None}, "attribute product_format: expected a format such as M7E4b10, got none"),
        (MATMUL, {"accumulator_format": "M7E4"}, 'attribute accumulator_format: expected a format .*, got "M7E4"'),
        (MATMUL, {"product_format": "M23E4b10"}, "product_format: expected mantissa_bits from 0 to 22, got 23"),
        (MATMUL, {"product_format": 7}, "attribute product_format: expected a string, got an int"),
        (MATMUL, {"chunk_size": -1}, "attribute chunk_size: expected 0 .* or more, got -1"),
        (MATMUL, {"chunk_size": 1.5}, "attribute chunk_size: expected an int, got a float"),
        (MATMUL, {"chunk_size": [16]}, "attribute chunk_size: expected an int, got a list of ints"),
        (MATMUL, {"underflow": 2}, "attribute underflow: expected 0 or 1, got 2"),
        (MATMUL, {"statistics": "closed/node"}, 'statistics: expected a key whose run is open, got "closed/node"'),
        (GEMM, {"alpha": 1}, "attribute alpha: expected a float, got an int"),
        (GEMM, {"transA": "yes"}, "attribute transA: expected an int, got a string"),
        (CONV, {"group": 0}, "attribute group: expected 1 to 2147483647, got 0"),
        (CONV, {**GROUPED, "auto_pad": "SAME"}, 'attribute auto_pad: expected NOTSET, .* or VALID, got "SAME"'),
        (CONV, {**GROUPED, "strides": [0, 1]}, "attribute strides: expected values from 1 to 2147483647, got 0"),
        (CONV, {**GROUPED, "pads": [0, 0, -1, 0]}, "attribute pads: expected values from 0 to .*, got -1"),
        (CONV, {**GROUPED, "dilations": 2}, "attribute dilations: expected a list of ints, got an int"),
        (CONV, {**GROUPED, "strides": [1.0, 2.0]}, "attribute strides: expected a list of ints, got a list of floats"),
        (CONV, {**GROUPED, "strides": [1]}, "expected 2 strides, got 1"),
        (CONV, {**GROUPED, "pads": [1, 1]}, "expected 4 pads, got 2"),
        (CONV, {**GROUPED, "kernel_shape": [3, 2]}, r"kernel_shape \[3, 2\] and W \[6, 2, 3, 3\]"),
        (CONV, {}, r"as many channels in X as group times those in W, got X \[N, 4, 9, 9\] and W .* with group=1"),
        (
            CONV,
            {**GROUPED, "dilations": [1, 5]},
            "fits into the padded input, got a reach of 11 in 9 .* spatial axis 1",
        ),
    ],
)
def test_wrong_attributes_fail_with_the_nodes_name_and_the_reason(node, attributes, reason):
    op_type, inputs, constants = node
    given = {key: value for key, value in {**ATTRIBUTES, **attributes}.items() if value is not None}
    with pytest.raises(ModelError, match=rf"node 'node' \({op_type}\): .*{reason}"):
        make_session(node_model(op_type, inputs, constants, given))


@pytest.mark.parametrize(
    "op_type, inputs, constants, reason",
    [
        ("LbaMatMul", {"A": ["N", 9]}, {"B": (8, 5)}, r"the depth of B, got A \[N, 9\] and B \[8, 5\]"),
        ("LbaMatMul", {"A": [2, 3, 8]}, {"B": (4, 8, 5)}, r"batch dimensions that broadcast, got A \[2, 3, 8\]"),
        ("LbaGemm", {"A": ["N", 2, 8]}, {"B": (8, 5)}, r"A of rank 2, got A \[N, 2, 8\]"),
        ("LbaGemm", {"A": ["N", 9]}, {"B": (8, 5)}, "A and B of one depth, got .* transA=0 and transB=0"),
        ("LbaGemm", {"A": ["N", 8]}, {"B": (8, 5), "C": (4,)}, r"C that broadcasts to \[N, 5\], got C \[4\]"),
        ("LbaGemm", {"A": [3, 8]}, {"B": (8, 5), "C": (1, 3, 5)}, r"C that broadcasts to \[3, 5\]"),
        ("LbaConv", {"A": ["N", 4]}, {"B": (6, 4)}, r"expected 1 to 3 spatial axes, got W \[6, 4\]"),
        ("LbaConv", {"A": ["N", 4, 9]}, {"B": (6, 4, 3, 3)}, "expected X and W of one rank"),
        ("LbaConv", {"A": ["N", 4, 9]}, {"B": (6, 4, 3), "C": (5,)}, r"one value per output channel, got B \[5\]"),
        ("LbaConv", {"A": ["N", 4, 2]}, {"B": (6, 4, 3)}, "a kernel that fits into the padded input"),
    ],
)
def test_wrong_shapes_fail_with_the_nodes_name_and_the_reason(op_type, inputs, constants, reason):
    declared = {key: (F, shape) for key, shape in inputs.items()}
    model = node_model(op_type, declared, {key: weights(*shape) for key, shape in constants.items()}, ATTRIBUTES)
    with pytest.raises(ModelError, match=rf"node 'node' \({op_type}\): .*{reason}"):
        make_session(model)


@pytest.mark.parametrize(
    "op_type, a", [("LbaMatMul", [2, 4]), ("LbaGemm", [2, 4]), ("LbaConv", [1, 4, 9]), ("LbaConv", None)]
)
def test_constant_scalars_fail_with_the_nodes_name_and_the_reason(op_type, a):
    # A scalar's shape looks like an unknown rank to the rules of shapes. A review found that Gemm and Conv went on to
    # pack such a constant, and crashed.
    model = node_model(op_type, {"A": (F, a)}, {"B": np.array(1, F)}, ATTRIBUTES)
    with pytest.raises(
        ModelError, match=rf"node 'node' \({op_type}\): expected operands of rank 1 or more, got a scalar"
    ):
        make_session(model)


def test_spatial_sizes_beyond_every_convolution_fail_with_the_nodes_name_and_the_reason():
    model = node_model("LbaConv", {"A": (F, [1, 4, 2**62]), "B": (F, [6, 4, 2**62])}, {}, ATTRIBUTES)
    with pytest.raises(ModelError, match=r"node 'node' \(LbaConv\): expected spatial sizes of at most 2147483647"):
        make_session(model)


def test_a_node_without_a_name_is_named_by_its_output():
    model = node_model("LbaMatMul", {"A": (F, ["N", 9])}, {"B": weights(8, 5)}, ATTRIBUTES, name="")
    with pytest.raises(ModelError, match=r"unnamed node \(LbaMatMul\) with output 'Y': expected"):
        make_session(model)


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_other_types_fail(dtype):
    model = node_model("LbaMatMul", {"A": (dtype, [2, 8])}, {"B": np.ones((8, 5), dtype)}, ATTRIBUTES)
    with pytest.raises(ModelError, match=r"\(LbaMatMul\) in node \(node\) is invalid"):
        make_session(model)


def test_inputs_of_two_types_fail():
    model = node_model("LbaMatMul", {"A": (F, [2, 8]), "B": (np.float16, [8, 5])}, {}, ATTRIBUTES)
    with pytest.raises(ModelError, match="LbaMatMul"):
        make_session(model)


def test_shapes_that_only_a_run_can_know_fail_there_with_the_nodes_name():
    session = make_session(node_model("LbaMatMul", {"A": (F, ["N", "D"])}, {"B": weights(8, 5)}, ATTRIBUTES))
    with pytest.raises(Exception, match=r"node 'node' \(LbaMatMul\): expected the last dimension .* A \[2, 9\] and B"):
        session.run(None, {"A": weights(2, 9)})
    assert session.run(None, {"A": weights(2, 8)})[0].shape == (2, 5)


def test_an_output_beyond_memory_fails_with_an_error():
    session = make_session(node_model("LbaMatMul", {"A": (F, ["N", 0]), "B": (F, [0, "M"])}, {}, ATTRIBUTES))
    a, b = np.empty((2**31, 0), np.float32), np.empty((0, 2**31), np.float32)
    with pytest.raises(Exception, match=r"node 'node' \(LbaMatMul\)"):
        session.run(None, {"A": a, "B": b})


def test_an_explicitly_empty_c_is_taken_where_onnxruntime_can():
    version = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
    if version < (1, 24):
        pytest.skip(f"onnxruntime {onnxruntime.__version__} crashes on it")
    import onnx

    model = onnx.ModelProto.FromString(node_model(*GEMM, ATTRIBUTES))
    model.graph.node[0].input.append("")
    y = make_session(model).run(None, {"A": weights(2, 8)})[0]
    np.testing.assert_array_equal(y, np.full((2, 5), 8))


def test_an_onnxruntime_older_than_1_17_gets_a_clear_status():
    """A stand-in for OrtApiBase: version 17 is unknown to it, and version 1 only makes statuses."""
    messages: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    def create_status(code, message):
        messages.append(message)
        return 1

    table = (ctypes.c_void_p * 1)(ctypes.cast(create_status, ctypes.c_void_p).value)

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    def get_api(version):
        return ctypes.addressof(table) if version == 1 else None

    text = ctypes.c_char_p(b"1.16.3")

    @ctypes.CFUNCTYPE(ctypes.c_void_p)
    def get_version():
        return ctypes.cast(text, ctypes.c_void_p).value

    base = (ctypes.c_void_p * 2)(*(ctypes.cast(f, ctypes.c_void_p).value for f in (get_api, get_version)))
    register = ctypes.CDLL(str(native.library_path())).RegisterCustomOps
    register.restype = ctypes.c_void_p
    assert register(None, ctypes.byref(base)) == 1
    assert messages == [b"lba_onnx: expected onnxruntime 1.17 or newer, got 1.16.3"]
