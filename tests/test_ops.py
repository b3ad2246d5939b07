"""The operators in onnxruntime against the slow reference, bit for bit."""

import threading
import zlib

import numpy as np
import onnxruntime
import pytest
from operator_models import SPEC, expected_conv, expected_gemm, expected_matmul, node_model, operand_model

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.session import make_session

FLOATS = (np.float32, np.float16)
SPECS = [
    AccumulatorSpec.parse(text)
    for text in ("M7E4b10", "M7E4b10,chunk=none", "M3E3b5/M4E4b6,chunk=1,underflow=off", "M10E5b15,chunk=7", "M22E7b63")
]


def draw(seed: object, dtype=np.float32, **shapes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(repr(seed).encode()))
    return {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}


def run(model: bytes, operands: dict[str, np.ndarray], **options) -> np.ndarray:
    session_options = onnxruntime.SessionOptions()
    for name, value in options.items():
        setattr(session_options, name, value)
    session = make_session(model, session_options)
    return session.run(None, {i.name: operands[i.name] for i in session.get_inputs()})[0]


MATMUL_SHAPES = [
    ((3, 5), (5, 4)),
    ((33, 47), (47, 65)),
    ((5,), (5, 4)),
    ((3, 5), (5,)),
    ((5,), (5,)),
    ((2, 3, 5), (5,)),
    ((5,), (2, 5, 4)),
    ((2, 3, 4, 17), (17, 6)),
    ((2, 3, 4, 17), (1, 17, 6)),
    ((4, 17), (2, 3, 17, 6)),
    ((2, 1, 4, 17), (3, 17, 6)),
    ((2, 3, 4, 17), (2, 3, 17, 6)),
    ((0, 5), (5, 4)),
    ((3, 5), (5, 0)),
    ((0, 3, 5), (5, 4)),
    ((0, 3, 5), (0, 5, 4)),
    ((3, 0), (0, 4)),
    ((2, 3, 0), (2, 0, 4)),
]


@pytest.mark.parametrize("constant", ["", "A", "B"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("a_shape, b_shape", MATMUL_SHAPES)
def test_matmul_gives_the_references_bits(a_shape, b_shape, dtype, constant):
    operands = draw((a_shape, b_shape), dtype, A=a_shape, B=b_shape)
    y = run(operand_model("LbaMatMul", operands, constant, SPEC.to_attributes()), operands)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected_matmul(operands, SPEC))


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
def test_matmul_honours_every_arithmetic_attribute(spec, dtype):
    operands = draw(str(spec), dtype, A=(9, 50), B=(50, 21))
    y = run(operand_model("LbaMatMul", operands, "B", spec.to_attributes()), operands)
    np.testing.assert_array_equal(y, expected_matmul(operands, spec))


def test_absent_arithmetic_attributes_take_their_defaults():
    operands = draw("defaults", A=(4, 40), B=(40, 3))
    formats = {"product_format": "M7E4b12", "accumulator_format": "M7E4b10"}
    y = run(operand_model("LbaMatMul", operands, "", formats), operands)
    np.testing.assert_array_equal(y, expected_matmul(operands, SPEC))


@pytest.mark.parametrize("is_constant", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("c_shape", [None, (), (1,), (6,), (1, 6), (4, 1), (4, 6), (1, 1)])
@pytest.mark.parametrize("transposes", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_gemm_gives_the_references_bits(transposes, c_shape, dtype, is_constant):
    shapes = {"A": (19, 4) if transposes[0] else (4, 19), "B": (6, 19) if transposes[1] else (19, 6)}
    operands = draw((transposes, c_shape), dtype, **shapes, **({} if c_shape is None else {"C": c_shape}))
    attributes = {"transA": transposes[0], "transB": transposes[1], "alpha": 0.3, "beta": -1.7}
    constant = [key for key in "BC" if is_constant and key in operands]
    y = run(operand_model("LbaGemm", operands, constant, {**SPEC.to_attributes(), **attributes}), operands)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected_gemm(operands, SPEC, attributes))


def test_gemm_does_not_read_c_when_beta_is_0():
    operands = draw("beta", A=(2, 3), B=(3, 4)) | {"C": np.full((4,), np.nan, np.float32)}
    y = run(operand_model("LbaGemm", operands, "", {**SPEC.to_attributes(), "beta": 0.0}), operands)
    np.testing.assert_array_equal(y, expected_matmul(operands, SPEC))


@pytest.mark.parametrize("depth, rows", [(0, 2), (3, 0)])
def test_gemm_takes_empty_operands(depth, rows):
    operands = draw("empty", A=(rows, depth), B=(depth, 4), C=(4,))
    y = run(operand_model("LbaGemm", operands, "", SPEC.to_attributes()), operands)
    np.testing.assert_array_equal(y, np.broadcast_to(operands["C"], (rows, 4)) if depth == 0 else np.empty((0, 4)))


CONV_CASES = {  # x, w, attributes, the padding that they ask for
    "1-D": ((2, 3, 9), (4, 3, 3), {}, None),
    "2-D": ((2, 3, 7, 8), (4, 3, 3, 2), {"kernel_shape": [3, 2]}, None),
    "3-D": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"strides": [2, 1, 2]}, None),
    "pads": ((1, 3, 7, 8), (4, 3, 3, 3), {"pads": [1, 0, 2, 3]}, [1, 0, 2, 3]),
    "dilations": ((1, 3, 9, 9), (4, 3, 3, 3), {"dilations": [2, 3], "pads": [1, 1, 1, 1]}, [1, 1, 1, 1]),
    "groups": ((2, 6, 5, 5), (4, 3, 3, 3), {"group": 2}, None),
    "depthwise": ((1, 35, 6, 6), (35, 1, 3, 3), {"group": 35, "pads": [1, 1, 1, 1]}, [1, 1, 1, 1]),
    "depthwise multiplier": ((1, 5, 6, 6), (10, 1, 3, 3), {"group": 5, "strides": [2, 2]}, None),
    "1x1": ((2, 20, 5, 6), (17, 20, 1, 1), {}, None),
    "valid": ((1, 2, 7, 7), (3, 2, 3, 3), {"auto_pad": "VALID", "pads": [0, 0, 0, 0]}, None),
    "same upper": ((1, 2, 7, 8), (3, 2, 4, 3), {"auto_pad": "SAME_UPPER"}, [1, 1, 2, 1]),
    "same lower": ((1, 2, 7, 8), (3, 2, 4, 3), {"auto_pad": "SAME_LOWER"}, [2, 1, 1, 1]),
    "same upper, strides": ((1, 2, 7, 8), (3, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, [1, 0, 1, 1]),
    "same lower, dilations": (
        (1, 2, 7, 8),
        (3, 2, 2, 3),
        {"auto_pad": "SAME_LOWER", "dilations": [3, 2]},
        [2, 2, 1, 2],
    ),
    "no samples": ((0, 2, 5), (3, 2, 3), {}, None),
    "no channels": ((1, 0, 5), (3, 0, 3), {}, None),
    "no filters": ((1, 2, 5), (0, 2, 3), {}, None),
}


@pytest.mark.parametrize("constant", ["", "B", "BC"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CONV_CASES)
def test_conv_gives_the_references_bits(case, dtype, constant):
    x_shape, w_shape, attributes, pads = CONV_CASES[case]
    bias = {} if constant == "B" else {"C": w_shape[:1]}
    operands = draw(case, dtype, A=x_shape, B=w_shape, **bias)
    y = run(operand_model("LbaConv", operands, constant, {**SPEC.to_attributes(), **attributes}), operands)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected_conv(operands, SPEC, attributes, pads))


@pytest.mark.parametrize("op_type", ["LbaMatMul", "LbaConv"])
def test_nan_and_infinite_operands_give_the_references_values(op_type):
    operands = draw("special", A=(1, 20, 20), B=(20, 20, 1) if op_type == "LbaConv" else (20, 20))
    for key, index in (("A", 3), ("B", 77)):
        operands[key].flat[[index, index + 40, index + 111]] = np.nan, np.inf, -np.inf
    y = run(operand_model(op_type, operands, "B", SPEC.to_attributes()), operands)
    expected = expected_conv(operands, SPEC, {}, None) if op_type == "LbaConv" else expected_matmul(operands, SPEC)
    assert np.isnan(expected).any() and not np.isnan(expected).all()
    np.testing.assert_array_equal(y, expected)


def test_float16_results_round_once_and_overflow_to_infinity():
    spec = AccumulatorSpec.parse("M22E6b31")
    operands = {
        "A": np.array([[1, 255, 0.5, 0.5]], np.float16),
        "B": np.diag([1, 257, 2**-13, 2**-13]).astype(np.float16),
    }
    operands["B"][0] = 1, 0, 2**-24, 2**-15
    operands["C"] = np.array([2**-11, 0, 0, 2**-11 * 2**-14], np.float16)
    y = run(operand_model("LbaGemm", operands, "", spec.to_attributes()), operands)
    np.testing.assert_array_equal(y, expected_gemm(operands, spec, {}))
    assert y[0, 0] == 1 and np.isinf(y[0, 1])


def test_subnormal_float16_operands_count_exactly():
    spec = AccumulatorSpec.parse("M10E5b31/M10E5b30")
    operands = {"A": (np.arange(1, 33, dtype=np.float32) * 2.0**-24).astype(np.float16).reshape(2, 16)}
    operands["B"] = np.ones((16, 3), np.float16)
    y = run(operand_model("LbaMatMul", operands, "B", spec.to_attributes()), operands)
    np.testing.assert_array_equal(y, expected_matmul(operands, spec))
    assert (y > 0).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_count_changes_no_bit(threads):
    operands = draw("threads", A=(130, 70), B=(70, 90), C=(90,))
    model = operand_model("LbaGemm", operands, "BC", SPEC.to_attributes())
    y = run(model, operands, intra_op_num_threads=threads)
    np.testing.assert_array_equal(y, expected_gemm(operands, SPEC, {}))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_sessions_denormal_setting_changes_no_bit(dtype):
    operands = draw("denormals", dtype, A=(8, 16), B=(16, 8), C=(8,))
    operands["C"] = (operands["C"] * 2.0**-24).astype(dtype)
    attributes = {"alpha": 2.0**-14 if dtype == np.float16 else 2.0**-126, "beta": 0.25}
    session_options = onnxruntime.SessionOptions()
    session_options.add_session_config_entry("session.set_denormal_as_zero", "1")
    model = operand_model("LbaGemm", operands, "", {**SPEC.to_attributes(), **attributes})
    y = make_session(model, session_options).run(None, operands)[0]
    np.testing.assert_array_equal(y, expected_gemm(operands, SPEC, attributes))


def test_subnormal_operands_saturate_whatever_the_sessions_denormal_setting():
    # A random search found that such sessions took the largest operand for 0 in the proof that nothing saturates.
    spec = AccumulatorSpec.parse("M22E1b126/M22E1b126")
    operands = {"A": np.full((8, 16), 2.0**-137, np.float32), "B": np.full((16, 8), 2.0**36, np.float32)}
    session_options = onnxruntime.SessionOptions()
    session_options.add_session_config_entry("session.set_denormal_as_zero", "1")
    for constant in ("", "B"):
        model = operand_model("LbaMatMul", operands, constant, spec.to_attributes())
        fed = {key: value for key, value in operands.items() if key not in constant}
        y = make_session(model, session_options).run(None, fed)[0]
        np.testing.assert_array_equal(y, expected_matmul(operands, spec))
        np.testing.assert_array_equal(y, np.full((8, 8), spec.accumulator_format.max_value, np.float32))


def test_concurrent_sessions_and_calls_give_the_same_bits():
    operands = draw("concurrency", A=(64, 80), B=(80, 48))
    sessions = [
        make_session(operand_model("LbaMatMul", operands, constant, SPEC.to_attributes())) for constant in ("", "B")
    ]
    feeds = [operands, {"A": operands["A"]}]
    expected = expected_matmul(operands, SPEC)
    failures: list[str] = []

    def work(index: int) -> None:
        for _ in range(20):
            y = sessions[index % 2].run(None, feeds[index % 2])[0]
            if not np.array_equal(y, expected):
                failures.append(f"session {index % 2}, thread {index}")

    workers = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.parametrize("seed", range(40))
def test_random_convolutions_give_the_references_bits(seed):
    rng = np.random.default_rng(seed)
    axes, group = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3]))
    kernel, dilations = rng.integers(1, 4, axes), rng.integers(1, 3, axes)
    pads = rng.integers(0, 3, 2 * axes).tolist()
    size = (kernel - 1) * dilations + 1 + rng.integers(0, 6, axes)
    channels, filters = int(rng.integers(1, 6)), group * int(rng.integers(1, 5))
    shapes = {"A": (int(rng.integers(1, 3)), channels * group, *size), "B": (filters, channels, *kernel)}
    operands = draw(seed, FLOATS[seed % 2], **shapes, **({"C": (filters,)} if seed % 3 else {}))
    attributes = {"group": group, "pads": pads, "dilations": dilations.tolist()}
    attributes["strides"] = rng.integers(1, 3, axes).tolist()
    spec = SPECS[seed % len(SPECS)]
    y = run(
        operand_model("LbaConv", operands, "BC"[: len(operands) - 1], {**spec.to_attributes(), **attributes}), operands
    )
    np.testing.assert_array_equal(y, expected_conv(operands, spec, attributes, pads), err_msg=f"seed {seed}, {shapes}")


def test_scalar_operands_of_unknown_rank_are_an_error_when_run():
    model = node_model("LbaMatMul", {"A": (np.float32, None), "B": (np.float32, None)}, {}, SPEC.to_attributes())
    with pytest.raises(
        Exception, match=r"node 'node' \(LbaMatMul\): expected operands of rank 1 or more, got a scalar"
    ):
        make_session(model).run(None, {"A": np.array(1, np.float32), "B": np.ones((1, 1), np.float32)})


def test_a_scalar_bias_is_an_error_when_run():
    # Its shape looks like that of an absent bias. A review found that values behind it were read.
    model = node_model(
        "LbaConv",
        {"A": (np.float32, None), "C": (np.float32, None)},
        {"B": np.ones((3, 2, 1), np.float32)},
        SPEC.to_attributes(),
    )
    operands = {"A": np.ones((1, 2, 4), np.float32), "C": np.array(1, np.float32)}
    with pytest.raises(Exception, match=r"node 'node' \(LbaConv\): expected operands of rank 1 or more, got a scalar"):
        make_session(model).run(None, operands)
