"""LbaMatMulNBits: its weights are onnxruntime's bits, its products those of LbaMatMul with these weights."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbits_models import NBits, draw, packed, with_scales
from onnx.reference import ReferenceEvaluator

import lba_onnx
from lba_onnx import native, ops
from lba_onnx.reference.block_quantization import quantized_rows

ZERO_POINTS = ("", "codes", "floats")
WIDE = "M22E7b63"


def expected(case: NBits, spec: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        return lba_onnx.matmul(case.multiplied, case.weights, spec).astype(case.a.dtype)


def of_onnxruntime(case: NBits) -> np.ndarray:
    model = case.model()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, case.feeds(model))[0]


def is_computed_by_onnxruntime(bits: int, block_size: int, zero_points: str, has_g_idx: bool) -> bool:
    """Whether onnxruntime's CPU kernel has such a case and reads it rightly.

    Beside g_idx it takes all codes for codes of 4 bits, and overlooks zero points that are codes.
    """
    return not (bits == 8 and zero_points == "floats") and not (has_g_idx and (bits != 4 or zero_points == "codes"))


COMPUTED = [
    case for case in itertools.product((2, 4, 8), (16, 64), ZERO_POINTS, (0, 1)) if is_computed_by_onnxruntime(*case)
]


@pytest.mark.parametrize(("bits", "block_size", "zero_points", "has_g_idx"), COMPUTED)
def test_weights_are_onnxruntimes_bits(bits: int, block_size: int, zero_points: str, has_g_idx: bool):
    shape = {"depth": 2 * block_size + 3, "columns": 21}
    case = draw(7, bits=bits, block_size=block_size, zero_points=zero_points, has_g_idx=has_g_idx, **shape)
    unit_rows = NBits(np.eye(case.attributes["K"], dtype=np.float32), case.inputs, case.attributes)
    found = of_onnxruntime(unit_rows)  # each sum has one weight that is not multiplied by zero
    assert np.array_equal((found + 0).view(np.uint32), (case.weights + 0).view(np.uint32))


@pytest.mark.parametrize(
    ("zero_points", "has_g_idx"), [("", 0), ("codes", 0), ("codes", 1), ("floats", 0), ("floats", 1)]
)
@pytest.mark.parametrize("block_size", [16, 64])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_products_are_the_bits_of_a_product_with_the_weights(bits, block_size, zero_points, has_g_idx):
    shapes = (
        (1, 2 * block_size, 64, np.float32),
        (9, 2 * block_size + 7, 33, np.float16),
        (17, block_size - 3, 1, np.float32),
    )
    for rows, depth, columns, dtype in shapes:
        case = draw(
            rows,
            rows=rows,
            depth=depth,
            columns=columns,
            bits=bits,
            block_size=block_size,
            zero_points=zero_points,
            has_g_idx=has_g_idx,
            dtype=dtype,
            accuracy_level=4 * (columns % 2),
        )
        for is_dynamic in (False, True):
            model = case.model("lba_onnx", accumulator="M7E4b10", is_dynamic=is_dynamic)
            np.testing.assert_array_equal(case.run(model, threads=2), expected(case, "M7E4b10"))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_cases_give_the_reference_evaluators_bits(data: st.DataObject):
    zero_points = data.draw(st.sampled_from(("", "codes", "floats")))
    case = draw(
        data.draw(st.integers(0, 1000)),
        rows=data.draw(st.integers(1, 18)),
        depth=data.draw(st.integers(1, 70)),
        columns=data.draw(st.integers(1, 70)),
        bits=data.draw(st.sampled_from((2, 4, 8))),
        block_size=data.draw(st.sampled_from((16, 32, 64))),
        zero_points=zero_points,
        has_g_idx=bool(zero_points) and data.draw(st.booleans()),
        accuracy_level=data.draw(st.sampled_from((0, 4))),
        dtype=data.draw(st.sampled_from((np.float32, np.float16))),
    )
    spec = data.draw(st.sampled_from(("M7E4b10", "M4E4b8,chunk=24", "M5E5b15,round=nearest", "kulisch")))
    model = case.model("lba_onnx", accumulator=spec)
    evaluator = ReferenceEvaluator(model, new_ops=[ops.LbaMatMulNBits])
    np.testing.assert_array_equal(case.run(model, 2), evaluator.run(None, case.feeds(model))[0])


@pytest.mark.parametrize("zero_points", ["", "codes", "floats"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_hostile_scales_give_the_bits_of_a_product_with_the_weights(bits: int, zero_points: str):
    hostile = np.float32([0, -0.0, 1e-45, -3e-42, 1.2e-38, 3e38, -2e38, np.inf, -np.inf, np.nan])
    case = draw(3, bits=bits, zero_points=zero_points, columns=70)
    rng = np.random.default_rng(bits)
    for share in (0.05, 0.5):
        scales = case.inputs[1].copy()
        chosen = rng.random(scales.shape) < share
        scales[chosen] = rng.choice(hostile, chosen.sum())
        found = with_scales(case, scales)
        model = found.model("lba_onnx", accumulator="M7E4b10")
        np.testing.assert_array_equal(found.run(model), expected(found, "M7E4b10"))


@pytest.mark.parametrize(("dtype", "has_bias"), [(np.float32, False), (np.float32, True), (np.float16, True)])
@pytest.mark.parametrize("accuracy_level", [0, 4])
@pytest.mark.parametrize(
    ("bits", "block_size", "zero_points", "has_g_idx"),
    [case for case in COMPUTED if case[:2] not in ((2, 16), (8, 64))],
)
def test_wide_sums_are_onnxruntimes_within_rounding(
    bits, block_size, zero_points, has_g_idx, accuracy_level, has_bias, dtype
):
    """Bound: K truncations to 23 bits here, K roundings to 24 bits there and a few of scales; then the result's own.

    For 2 bits in blocks of 16, onnxruntime does not quantize A.
    """
    case = draw(
        11,
        depth=2 * block_size + 3,
        bits=bits,
        block_size=block_size,
        zero_points=zero_points,
        has_g_idx=has_g_idx,
        has_bias=has_bias,
        accuracy_level=accuracy_level,
        dtype=dtype,
    )
    converted, report = lba_onnx.convert(case.model(), WIDE)
    assert [entry.node for entry in report.converted] == ["proj"]
    found, wanted = (y.astype(np.float64) for y in (case.run(converted), of_onnxruntime(case)))
    bias = 0 if case.bias is None else np.abs(case.bias.astype(np.float64))
    sizes = np.abs(case.multiplied).astype(np.float64) @ np.abs(case.weights).astype(np.float64) + bias
    bound = (case.attributes["K"] + 8) * (2.0**-22 + 2.0**-24) * sizes
    if dtype == np.float16:
        bound += 2.0**-10 * (np.abs(wanted) + bias)
    assert (np.abs(found - wanted) <= bound).all()
    if dtype == np.float32 and not has_bias:  # the bound tells quantized operands apart
        is_quantized = accuracy_level == 4 and zero_points != "floats" and not has_g_idx
        assert is_quantized == (np.abs(wanted - case.a.astype(np.float64) @ case.weights) > bound).any()


def test_quantized_rows_by_hand():
    rows = np.float32([[254, 1, -1, 3], [0, 0, 1e-40, 0], [1, np.inf, 2, 2], [127, 5, np.nan, 1]])
    nan = np.float32(np.nan)
    wanted = [[254, 0, -2, 4], [0, 0, 0, 0], [nan, nan, 2, 2], [127, 5, nan, nan]]
    wanted[0][2:] = [-1, 3]  # a block of its own, of steps of 3 / 127
    found = quantized_rows(rows, 2)
    np.testing.assert_allclose(found[0], [254, 0, *wanted[0][2:]], rtol=0.02)
    np.testing.assert_array_equal(found[1:], np.float32(wanted[1:]))


def test_flat_scales_and_zero_points_are_those_of_matrices():
    case = draw(5, zero_points="codes")
    codes, scales, zero_points = case.inputs
    flat = NBits(case.a, (codes, scales.reshape(-1), zero_points.reshape(-1)), case.attributes)
    np.testing.assert_array_equal(flat.run(flat.model("lba_onnx", accumulator="M7E4b10")), expected(case, "M7E4b10"))


@pytest.mark.parametrize("shape", [(39,), (0, 39), (2, 3, 39)])
def test_the_last_axis_becomes_the_columns(shape):
    case = draw(2)
    reshaped = NBits(np.ones(shape, np.float32), case.inputs, case.attributes)
    found = reshaped.run(reshaped.model("lba_onnx", accumulator="M7E4b10"))
    assert found.shape == (*shape[:-1], 35)
    np.testing.assert_array_equal(found, expected(reshaped, "M7E4b10"))


def broken(index: int, value: np.ndarray, **attributes: int) -> NBits:
    case = draw(1, zero_points="codes", has_g_idx=True)
    inputs = list(case.inputs)
    if index:
        inputs[index - 1] = value
    return NBits(case.a if index else value, tuple(inputs), {**case.attributes, **attributes})


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (broken(0, np.ones((2, 40), np.float32)), r"expected the last dimension of A to be K, 39, got A \[2, 40\]"),
        (broken(1, np.ones((35, 3, 4), np.uint8)), r"expected B of shape \[35, 3, 8\], got \[35, 3, 4\]"),
        (broken(2, np.ones((35, 2), np.float32)), r"expected scales of shape \[35, 3\] or \[105\], got \[35, 2\]"),
        (broken(3, np.ones((35, 3), np.uint8)), r"expected zero_points of shape \[35, 2\] or \[70\], got \[35, 3\]"),
        (broken(4, np.zeros(40, np.int32)), r"expected g_idx of shape \[39\] or \[48\], got \[40\]"),
        (broken(4, np.full(39, 3, np.int32)), "expected blocks from 0 to 2 in g_idx, got 3 at 0"),
        (broken(0, np.ones((2, 39), np.float32), bits=3), "attribute bits: expected 2, 4 or 8, got 3"),
        (broken(0, np.ones((2, 39), np.float32), block_size=24), "block_size: expected a power of two of at least 16"),
        (broken(0, np.ones((2, 39), np.float32), N=0), "attribute N: expected 1 to 2147483647, got 0"),
        (broken(0, np.ones((2, 39), np.float32), accuracy_level=5), "accuracy_level: expected 0 to 4, got 5"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_node(case: NBits, reason: str):
    with pytest.raises(Exception, match=rf"node 'proj' \(LbaMatMulNBits\): .*{reason}"):
        case.run(case.model("lba_onnx", accumulator="M7E4b10"))


def test_an_accumulator_of_integers_is_refused():
    case = draw(1)
    with pytest.raises(Exception, match=r"node 'proj' \(LbaMatMulNBits\): expected an accumulator of floats"):
        case.run(case.model("lba_onnx", accumulator="int32-wrap"))


@pytest.mark.parametrize("accuracy_level", [0, 4])
def test_statistics_are_those_of_a_product_with_the_weights(accuracy_level: int):
    case = draw(4, rows=20, accuracy_level=accuracy_level, zero_points="codes")
    native.statistics_open("nbits", 1.0)
    try:
        case.run(case.model("lba_onnx", accumulator="M4E3b5", statistics="nbits/proj"))
        plain = lba_matmul(case.multiplied, case.weights, "nbits/plain")
        lba_onnx.make_session(plain).run(None, {"A": case.multiplied})
        found, wanted = (native.statistics_read(f"nbits/{name}") for name in ("proj", "plain"))
    finally:
        native.statistics_close("nbits")
    assert found.outputs == wanted.outputs == 20 * 35
    for level, other in zip(found.levels, wanted.levels, strict=True):
        assert (level.max_abs, level.events) == (other.max_abs, other.events)
        np.testing.assert_array_equal(level.log2, other.log2)


def lba_matmul(a: np.ndarray, b: np.ndarray, statistics: str) -> onnx.ModelProto:
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(
        "LbaMatMul", ["A", "B"], ["Y"], "plain", domain="lba_onnx", accumulator="M4E3b5", statistics=statistics
    )
    weights = [onnx.numpy_helper.from_array(b, "B")]
    graph = onnx.helper.make_graph([node], "graph", [make("A", 1, a.shape)], [make("Y", 1, None)], weights)
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("lba_onnx", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_codes_are_packed_as_the_documentation_says():
    assert packed(np.array([1, 2, 3]), 4).tolist() == [0x21, 0x03]
    assert packed(np.array([1, 2, 3, 0, 1]), 2).tolist() == [0b00111001, 1]


def test_offloaded_sessions_compute_on_the_cpu():
    case = draw(6)
    model = case.model("lba_onnx", accumulator="M7E4b10")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("lba_onnx.offload", "cuda")  # no library is opened, no device asked for
    found = lba_onnx.make_session(model, options).run(None, case.feeds(model))[0]
    np.testing.assert_array_equal(found, expected(case, "M7E4b10"))
