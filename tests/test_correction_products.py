"""Products of two computed operands, as attention has them: they get a factor, and what has none is named."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import OPSET, loop_model, model, tensor

import lba_onnx
from lba_onnx import Execution, Samples
from lba_onnx.correction import correct
from lba_onnx.correction.product import product_factor
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.split import is_kept_apart
from lba_onnx.native.observed_layer import float32_products
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.folding import ChannelAffine, find_scalable, fold
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.product_scaling import REPEATED

SPEC = "M3E5b16,chunk=8"
HEADS, SIZE = 2, 8
WIDTH = HEADS * SIZE


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def attention(kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Self-attention of two heads on x [batch, rows, 16], any number of rows."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    weights = {name: (draw(WIDTH, WIDTH, seed=seed) / 4).astype(dtype) for seed, name in enumerate("qkv")}
    weights["heads"] = np.array([0, 0, HEADS, SIZE])
    nodes = []
    for name in "qkv":
        perm = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        nodes += [
            helper.make_node("MatMul", ["x", name], [f"{name}1"], f"project_{name}"),
            helper.make_node("Reshape", [f"{name}1", "heads"], [f"{name}2"], f"split_{name}"),
            helper.make_node("Transpose", [f"{name}2"], [f"{name}3"], f"move_{name}", perm=perm),
        ]
    nodes += [
        helper.make_node("MatMul", ["q3", "k3"], ["scores"], "qk"),
        helper.make_node("Softmax", ["scores"], ["shares"], "softmax"),
        helper.make_node("MatMul", ["shares", "v3"], ["y"], "pv"),
    ]
    x = tensor("x", "batch", "rows", WIDTH, kind=kind)
    return model(nodes, [x], [tensor("y", "batch", HEADS, "rows", SIZE, kind=kind)], weights)


def texts(count: int, seed: int, dtype: type = np.float32) -> list[dict[str, np.ndarray]]:
    """Inputs of several lengths."""
    return [{"x": draw(1, 9 + number % 5, WIDTH, seed=seed + number).astype(dtype)} for number in range(count)]


def converted(proto: onnx.ModelProto) -> onnx.ModelProto:
    return lba_onnx.convert(proto, SPEC)[0]


def sqnr_db(candidate: onnx.ModelProto, feeds: list[dict[str, np.ndarray]]) -> float:
    return lba_onnx.compare(attention(), candidate, feeds).outputs[0].sqnr_db


def test_a_factor_is_that_of_least_squares_over_all_pairs():
    y = [draw(4, 5), draw(3, 7, seed=1)]
    q = [y[0] * np.float32(0.8), y[1] * np.float32(0.8) + np.float32(0.1) * draw(3, 7, seed=2)]
    all_q, all_y = (np.concatenate([part.ravel() for part in parts]).astype(np.float64) for parts in (q, y))
    expected = all_q @ all_y / (all_q @ all_q)
    np.testing.assert_allclose(product_factor(zip(q, y, strict=True)), [expected], rtol=1e-6)


@pytest.mark.parametrize(("shrunk_to", "factor"), [(0.1, 2.0), (4.0, 0.5), (0.0, 1.0), (np.nan, 1.0)])
def test_a_factor_stays_within_bounds_and_is_one_where_nothing_is_known(shrunk_to, factor):
    y = draw(4, 5)
    assert product_factor([(y * np.float32(shrunk_to), y)]) == np.float32([factor])


@pytest.mark.parametrize("recipe", ["refit", "refit_rows", "scale"])
def test_both_products_of_attention_get_factors_that_help_on_other_samples(recipe):
    plain = converted(attention())
    corrected, report = correct(plain, texts(24, seed=10), recipes=[recipe])
    scales = {node.node: node.mean_scale for node in report.corrected}
    assert scales.keys() == {"project_q", "project_k", "project_v", "qk", "pv"}
    assert 1.05 < scales["qk"] < 1.5 and 1.05 < scales["pv"] < 1.5
    without = onnx.ModelProto()
    without.CopyFrom(corrected)
    for node in without.graph.node:
        if node.op_type == "Constant" and node.output[0] in ("qk_factor", "pv_factor"):
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.array(1, np.float32)))
    assert without != corrected
    others = texts(24, seed=100)
    assert sqnr_db(corrected, others) > sqnr_db(without, others) + 1


def test_runs_go_on_with_what_the_corrected_model_computes():
    """Factors are those of the products that the corrected model's own nodes meet."""
    plain = converted(attention())
    feeds = texts(16, seed=10)
    corrected, report = correct(plain, feeds, recipes=["scale"])
    kept = [feed for number, feed in enumerate(feeds) if not is_kept_apart(number)]
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"qk": [], "pv": []}

    def keep(call):
        if call.node in pairs:
            pairs[call.node] += zip(call.y.copy(), float32_products(call), strict=True)

    inputs = describe_inputs(lba_onnx.make_session(corrected))
    with observing_session(OpenModel(corrected, None), keep) as observing:
        for batch in read_batches(Samples(kept), inputs):
            observing.run(batch)
    scales = {node.node: node.mean_scale for node in report.nodes}
    for name, found in pairs.items():
        assert product_factor(found)[0] == pytest.approx(scales[name], rel=2e-3)


def test_float16_gets_a_factor_of_float16():
    plain = converted(attention(TensorProto.FLOAT16))
    feeds = texts(8, seed=10, dtype=np.float16)
    corrected, report = correct(plain, feeds, recipes=["scale"])
    scale = next(node.mean_scale for node in report.nodes if node.node == "qk")
    assert scale != 1 and scale == np.float16(scale)
    lba_onnx.make_session(corrected)


def test_names_stay_and_a_factor_of_one_adds_nothing():
    plain = converted(attention())
    found = find_scalable(plain)
    assert found.products.keys() == {"qk", "pv"} and not found.reasons
    untouched = plain.SerializeToString()
    zero = np.zeros(1, np.float32)
    fold(plain, {"qk": ChannelAffine(np.ones(1, np.float32), zero)})
    assert plain.SerializeToString() == untouched
    fold(plain, {"qk": ChannelAffine(np.full(1, 1.5, np.float32), zero)})
    constant, qk, multiply = [node for node in plain.graph.node if node.name.startswith("qk")]
    assert list(qk.output) == ["scores_unscaled"]
    assert list(multiply.input) == ["scores_unscaled", constant.output[0]] and list(multiply.output) == ["scores"]
    assert find_scalable(plain).products.keys() == {"qk", "pv"}


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path):
    plain, feeds, path = converted(attention()), texts(8, seed=10), tmp_path / "progress"

    def run(stop=None, path=None):
        def progress(done: int, total: int) -> None:
            assert total == 5
            if done == stop:
                raise KeyboardInterrupt

        return correct(plain, feeds, recipes=["refit"], execution=Execution(progress=progress), resume_path=path)

    whole, report = run()
    for stop in (2, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(stop, path)
        resumed, other = run(path=path)
        assert resumed.SerializeToString() == whole.SerializeToString() and other == report


def in_a_function() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Relu", ["a"], ["h"], "relu"),
        helper.make_node("MatMul", ["h", "h"], ["b"], "inner"),
    ]
    inner = helper.make_function("mine", "Square", ["a"], ["b"], nodes, OPSET)
    call = helper.make_node("Square", ["x"], ["y"], "call", domain="mine")
    opsets = [*OPSET, helper.make_opsetid("mine", 1)]
    return model([call], [tensor("x", 2, 2)], [tensor("y", 2, 2)], functions=[inner], opsets=opsets)


def in_a_loop() -> onnx.ModelProto:
    proto = loop_model(2)
    body = next(attribute.g for attribute in proto.graph.node[0].attribute if attribute.name == "body")
    body.node[0].input[1] = "state"
    for value in (body.input[2], body.output[1], proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    return proto


@pytest.mark.parametrize("make", [in_a_function, in_a_loop])
def test_products_in_functions_and_loops_are_left_with_the_reason(make):
    found = find_scalable(converted(make()))
    assert not found.products and list(found.reasons.values()) == [REPEATED]


def test_a_product_in_a_branch_gets_its_factor_there():
    def branch(name: str, columns: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["x", columns], [f"{name}_y"], name)
        return helper.make_graph([node], name, [], [tensor(f"{name}_y", 6, 6)])

    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "transpose"),
        helper.make_node("ReduceSum", ["x"], ["sum"], "sum", keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["condition"], "greater"),
        helper.make_node("If", ["condition"], ["y"], "if", then_branch=branch("a", "t"), else_branch=branch("b", "t")),
    ]
    proto = model(nodes, [tensor("x", 6, 20)], [tensor("y", 6, 6)], {"zero": np.array(0, np.float32)})
    feeds = [{"x": np.abs(draw(6, 20, seed=seed))} for seed in range(8)]
    corrected, report = correct(converted(proto), feeds, recipes=["scale"])
    by_name = {node.node: node for node in report.nodes}
    assert by_name["a"].mean_scale > 1.05 and by_name["b"].reason == "did not run on these data"
    assert lba_onnx.compare(proto, corrected, feeds).outputs[0].sqnr_db > 15
