"""The diagnosis of integer nodes: bits that sums need, wraps and saturations, kernels whose pairs overflow."""

from collections import Counter

import numpy as np
import onnx
import pytest
from integer_models import make_model, operator_case, quantize_dequantize_case, run
from onnx import helper

from lba_onnx import convert, debug, promote_until, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.diagnosis.needed_bits import count_bits
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.provenance import PROVENANCE_KEY, read_json_entry
from lba_onnx.rewrite.specs import read_specs


def bits_of(value: int) -> int:
    """Return the least width that holds a value, by looking for it."""
    return next(bits for bits in range(1, 65) if -(1 << (bits - 1)) <= value < 1 << (bits - 1))


def prefixes(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the exact sums on their way, [rows, columns, depth]."""
    return np.cumsum(x.astype(np.int64)[:, np.newaxis, :] * w.astype(np.int64).T[np.newaxis], axis=2)


def centered(case) -> tuple[np.ndarray, np.ndarray]:
    sums = case.sums
    x, w = (sums[name].astype(np.int64) for name in ("x", "w"))
    return x - sums["x_zero_point"].astype(np.int64), w - sums["w_zero_point"].astype(np.int64)


def sqnr(expected: np.ndarray, got: np.ndarray) -> float:
    expected, got = expected.astype(np.float64), got.astype(np.float64)
    return float(10 * np.log10((expected**2).sum() / ((expected - got) ** 2).sum()))


def matmul_integer(x: np.ndarray, w: np.ndarray):
    """Return y = MatMulInteger(x, w) without zero points."""
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"], name="node")
    return make_model([node], {"x": (x.dtype, ["n", x.shape[1]])}, {"w": w}, ("y", np.int32))


@pytest.mark.parametrize("value", [0, 1, -1, 127, 128, -128, -129, 2**31 - 1, -(2**31)])
def test_bits_of_results_are_the_least_that_hold_them(value):
    assert count_bits(np.array([[value]], np.int32)) == {bits_of(value): 1}


@pytest.mark.parametrize("op_type", ["QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"])
def test_wrapping_sums_need_the_bits_of_their_results(op_type):
    case = operator_case(op_type, "uint8", "int8")
    (layer,) = debug(convert(case.model, "int16-wrap")[0], case.feeds).layers
    x, w = centered(case)
    exact = x @ w
    (needed,) = layer.bits
    counts = Counter(bits_of(int(value)) for value in exact.flat)
    assert dict(needed.counts) == counts and needed.most == max(counts)
    beyond = sum(count for bits, count in counts.items() if bits > 16) / exact.size
    assert 0 < needed.share_beyond == beyond
    wrapped = reference.matmul(case.sums["x"], case.sums["w"], "int16-wrap", **zero_points(case))
    assert layer.exact_input_err == layer.qdq_err == layer.xmodel_err == pytest.approx(sqnr(exact, wrapped))
    assert layer.main_cause == "wrap" and layer.shares["wrap"] == 1.0
    told = f"sums need {needed.most} bits, have 16: {100 * beyond:.2g} % wrap; int{needed.most}-wrap would lose nothing"
    assert told in debug(convert(case.model, "int16-wrap")[0], case.feeds).sentences()[0]


def zero_points(case) -> dict[str, np.ndarray]:
    return {"a_zero_point": case.sums["x_zero_point"], "b_zero_point": case.sums["w_zero_point"]}


def test_as_many_bits_as_results_need_lose_nothing():
    case = operator_case("QLinearMatMul", "int8", "int8", per_channel=True)
    narrow = debug(convert(case.model, "int12-wrap")[0], case.feeds).layers[0]
    enough = f"int{narrow.bits[0].most}-wrap"
    diagnosis = debug(convert(case.model, enough)[0], case.feeds)
    layer = diagnosis.layers[0]
    assert layer.exact_input_err == np.inf and layer.output_sqnr_alone == 100.0  # percent of equal codes
    assert diagnosis.sentences()[0].startswith("node: makes no error of its own: sums need")
    one_less = debug(convert(case.model, f"int{narrow.bits[0].most - 1}-wrap")[0], case.feeds).layers[0]
    assert one_less.bits[0].share_beyond > 0 and one_less.exact_input_err < np.inf


def test_saturating_sums_need_the_bits_of_all_on_their_way():
    case = operator_case("QLinearMatMul", "uint8", "int8")
    (layer,) = debug(convert(case.model, "int16-saturate")[0], case.feeds).layers
    way = prefixes(*centered(case))
    counts = Counter(int(np.frexp(abs(value))[1]) + 1 for value in way.flat)
    (needed,) = layer.bits
    assert dict(needed.counts) == counts and needed.most == max(counts)
    told = debug(convert(case.model, "int16-saturate")[0], case.feeds).to_json()["layers"][0]["bits"][0]
    assert told["needs"]["100"] == needed.most and told["histogram"] == [list(pair) for pair in needed.counts]
    assert told["needs"]["99"] <= told["needs"]["99.9"] <= needed.most


def test_events_are_those_of_each_level_and_of_products_alone():
    case = operator_case("QLinearMatMul", "uint8", "int8")
    (layer,) = debug(convert(case.model, "int12x8-saturate/int16-wrap")[0], case.feeds).layers
    assert list(layer.events.shares) == ["product_overflow", "partial_sum_saturation", "total_wrap"]
    x, w = centered(case)
    products = x[:, np.newaxis, :] * w.T[np.newaxis]
    assert layer.events["product_overflow"] == np.mean([bits_of(int(p)) > 12 for p in products.flat])
    assert [needed.width.level for needed in layer.bits] == ["partial_sum", "total"]
    sentence = debug(convert(case.model, "int12x8-saturate/int16-wrap")[0], case.feeds).sentences()[0]
    inner, outer = (needed.most for needed in layer.bits)
    assert "partial sums need" in sentence and "totals need" in sentence
    assert f"int{inner}x8-saturate/int{outer}-wrap would lose nothing" in sentence


def test_dropped_bits_are_a_cause_of_their_own():
    case = operator_case("QLinearMatMul", "uint8", "int8")
    diagnosis = debug(convert(case.model, "fixed<20,26>")[0], case.feeds)
    assert diagnosis.layers[0].main_cause == "rounding"
    assert "6 low bits dropped of products makes 100 % of its error" in diagnosis.sentences()[0]


def test_kernels_differ_between_processors_where_pairs_saturate():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (16, 64)).astype(np.uint8)
    w = rng.integers(-128, 128, (64, 16)).astype(np.int8)
    diagnosis = debug(convert(matmul_integer(x, w), "x86-u8s8")[0], {"x": x})
    (layer,) = diagnosis.layers
    pairs = (x.astype(int)[:, np.newaxis, :] * w.astype(int).T).reshape(16, 16, 32, 2).sum(axis=3)
    saturating = np.mean((pairs > 32767) | (pairs < -32768))
    assert layer.events["partial_sum_saturation"] == saturating / 2  # of two sums a pair, the first never does
    assert layer.can_overflow
    assert (
        "of the sums of pairs saturate, and machines with AVX2 and VNNI differ: weights in [-64, 63]"
        in (diagnosis.sentences()[0])
    )


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([[64, 64], [-64, -64]], "its weights let no pair overflow: machines with AVX2 and VNNI agree"),
        ([[64, 65], [0, 0]], "no pair overflows on these samples"),
    ],
)
def test_kernels_agree_where_weights_prove_it(weights, words):
    x, w = np.full((3, 2), 7, np.uint8), np.array(weights, np.int8).T
    diagnosis = debug(convert(matmul_integer(x, w), "x86-u8s8")[0], {"x": x})
    assert words in diagnosis.sentences()[0]
    assert diagnosis.layers[0].exact_input_err == np.inf


def test_can_overflow_is_what_the_worst_codes_do():
    """The largest code where weights are positive and the least where they are not, and the reverse."""
    rng = np.random.default_rng(0)
    for kernel, codes in (("x86-u8s8", (0, 255)), ("arm-smlal16", (-128, 127))):
        spec, found = as_spec(kernel), set()
        for _ in range(200):
            depth = int(rng.integers(1, 20))
            w = rng.choice([-128, -127, -65, -64, 0, 63, 64, 65, 127], (1, depth), p=[0.1, 0.1, 0.05] + [0.125] * 6)
            least, most = codes
            worst = [np.where(w[0] > 0, most, least), np.where(w[0] > 0, least, most)]
            overflows = any(spec.dot(x.tolist(), w[0].tolist()) != int(x @ w[0]) for x in worst)
            assert spec.can_overflow(w.astype(np.int8)) == overflows
            found.add(overflows)
        assert found == {True, False}
    assert as_spec("x86-u8s8").can_overflow(np.full((1, 2), 127, np.int8), is_depthwise=True) is False
    assert as_spec("x86-u8s8").can_overflow(np.full((1, 2), 127, np.uint8)) is False
    assert as_spec("int16-wrap").can_overflow(np.full((1, 2), 127, np.int8)) is None


def test_convolutions_pair_channels():
    """Neighbours are channels of one kernel position: two of 127 overflow, those of two positions do not."""
    x = np.full((1, 2, 3, 3), 255, np.uint8)
    for axis, expected in ((1, True), (3, False)):
        w = np.zeros((1, 2, 3, 3), np.int8)
        w[(0, slice(None), 0, 0) if axis == 1 else (0, 0, 0, slice(None, 2))] = 127
        node = helper.make_node("ConvInteger", ["x", "w"], ["y"], name="node")
        model = make_model([node], {"x": (np.uint8, x.shape)}, {"w": w}, ("y", np.int32))
        (layer,) = debug(convert(model, "x86-u8s8")[0], {"x": x}).layers
        assert layer.can_overflow is expected and (layer.exact_input_err < np.inf) is expected


@pytest.mark.parametrize("op_type", ["Conv", "MatMul", "Gemm"])
def test_the_int8_model_as_it_was_may_be_the_reference(op_type):
    case = quantize_dequantize_case(op_type, "uint8", "int8")
    converted = convert(case.model, "int14-saturate")[0]
    given = debug(converted, case.feeds, case.model, samples_alone=0)  # which onnxruntime's own kernels would judge
    assert given.layers == debug(converted, case.feeds, samples_alone=0).layers


def two_products():
    rng = np.random.default_rng(1)
    w = {f"w{i}": rng.integers(-64, 64, (64, 64)).astype(np.int8) for i in range(2)}
    scales = {"one": np.float32(1), "small": np.float32(2**-10), "zero": np.uint8(128), "none": np.int8(0)}
    nodes = [
        helper.make_node(
            "QLinearMatMul",
            [f"x{i}", "one", "zero", f"w{i}", "small", "none", "one", "zero"],
            [f"x{i + 1}"],
            f"node{i}",
        )
        for i in range(2)
    ]
    model = make_model(nodes, {"x0": (np.uint8, ["n", 64])}, {**w, **scales}, ("x2", np.uint8))
    return model, {"x0": rng.integers(0, 256, (32, 64)).astype(np.uint8)}


def test_promotion_gives_nodes_back_their_32_bits():
    model, feeds = two_products()
    converted = convert(model, {"node0": "int12-wrap", "node1": "int24-wrap"})[0]
    promotion = promote_until(converted, feeds, "sqnr>=100", model)
    assert promotion.is_fulfilled and promotion.promoted == ("node0",)
    assert {name: str(spec) for name, spec in promotion.specs.items()} == {"node1": "int24-wrap"}
    wider = promote_until(converted, feeds, "sqnr>=100", model, wider="int-wrap")
    assert wider.promoted == ("node0",)
    least = debug(converted, feeds).layers[0].bits[0].most
    assert str(wider.specs["node0"]) == f"int{least}-wrap"


@pytest.mark.parametrize("is_given", [True, False])
def test_a_promoted_model_is_written_as_it_was_tried(tmp_path, is_given):
    model, feeds = two_products()
    converted = convert(model, {"node0": "int12-wrap", "node1": "int24-wrap"})[0]
    path = tmp_path / "promoted.onnx"
    promotion = promote_until(converted, feeds, "sqnr>=100", model if is_given else None, model_output=path)
    found = {name: str(spec) for name, spec in read_specs(onnx.load(path)).items()}
    assert found == {"node1": "int24-wrap"} if is_given else {"node0": "int32-wrap", "node1": "int24-wrap"}
    np.testing.assert_array_equal(run(onnx.load(path), feeds), run(convert(model, "int32-wrap")[0], feeds))
    assert read_json_entry(onnx.load(path), PROVENANCE_KEY)["promotion"]["promoted"] == list(promotion.promoted)


def test_wider_families_of_other_sorts_or_without_the_int8_model_are_refused():
    model, feeds = two_products()
    converted = convert(model, "int12-wrap")[0]
    with pytest.raises(ValueError, match="expected a family of integers for int12-wrap of node 'node0', got M10E5"):
        promote_until(converted, feeds, "sqnr>=100", model, wider="M10E5")
    with pytest.raises(ModelError, match="expected the int8 model as reference beside a wider family"):
        promote_until(converted, feeds, "sqnr>=100", wider="int-wrap")


def test_another_model_as_reference_is_refused():
    model, feeds = two_products()
    other = operator_case("QLinearMatMul", "uint8", "int8")
    with pytest.raises(ModelError, match="expected a reference with the nodes of the converted model"):
        debug(convert(model, "int12-wrap")[0], feeds, other.model)
