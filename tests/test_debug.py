"""The diagnosis names the layer that was made bad, and the cause by which it was made so."""

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import branching_model, function_model, images, loop_model, matmul_model, model, network, tensor

import lba_onnx
from lba_onnx import AccumulatorSpec, Execution, ModelFile, Samples, convert, debug
from lba_onnx.diagnosis import Diagnosis
from lba_onnx.errors import DataError, ModelError
from lba_onnx.rewrite.model_writer import save_model

FINE = AccumulatorSpec.parse("M14E6b40/M14E6b40")
WIDE = AccumulatorSpec.parse("M22E7b63/M22E7b63")
DEPTH = 256


def chain() -> onnx.ModelProto:
    """y = ((x @ w0) @ w1) @ w2 with positive values; products lie between 2^-9 and 2^-7, sums around 1."""
    random = np.random.default_rng(0)
    nodes = [helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"], f"matmul{i}") for i in range(3)]
    weights = {f"w{i}": random.uniform(0.75, 1.25, (DEPTH, DEPTH)).astype(np.float32) / DEPTH for i in range(3)}
    return model(nodes, [tensor("h0", "batch", DEPTH)], [tensor("h3", "batch", DEPTH)], weights)


def samples(count: int = 6) -> dict[str, np.ndarray]:
    return {"h0": np.random.default_rng(1).uniform(0.75, 1.25, (count, DEPTH)).astype(np.float32)}


def with_bad(text: str) -> onnx.ModelProto:
    specs = {f"matmul{i}": FINE for i in range(3)} | {"matmul1": AccumulatorSpec.parse(text)}
    return convert(chain(), specs)[0]


BAD = {
    "product_overflow": "M14E4b24/M14E6b40",  # up to 2^-8
    "product_underflow": "M14E4b8/M14E6b40",  # from 2^-8
    "product_truncation": "M2E6b40/M14E6b40",
    "accumulator_overflow": "M14E6b40/M14E4b17",  # up to 2^-1
    "accumulator_underflow": "M14E6b40/M14E5b5,chunk=4",  # from 2^-5, so that chunks of four vanish
    "accumulator_truncation": "M14E6b40/M5E6b40",
    "overflow": "M14E4b26/M14E4b19",  # both far too small: neither alone would help
    "underflow": "M14E4b6/M14E4b5,chunk=4",
}


@pytest.mark.parametrize("cause", BAD)
def test_debug_names_the_layer_and_the_cause(cause):
    diagnosis = debug(with_bad(BAD[cause]), samples(), chain())
    worst = diagnosis.ranking[0]
    assert (worst.node, worst.main_cause) == ("matmul1", cause)
    assert worst.shares[cause] > 0.75
    assert worst.output_sqnr_alone < 40 < min(layer.output_sqnr_alone for layer in diagnosis.ranking[1:])
    assert worst.exact_input_err < 40 < min(layer.exact_input_err for layer in diagnosis.ranking[1:])
    assert diagnosis.sentences(1)[0].startswith("matmul1 (")
    if not cause.endswith("truncation"):
        seen_first = cause if "_" in cause else f"product_{cause}"
        assert worst.events[seen_first] > 0.01


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("product_overflow", "a range of the product that reaches further up"),
        ("accumulator_underflow", "a range of the accumulator that reaches further down"),
        ("overflow", "a range of product and accumulator that reaches further up"),
        ("product_truncation", "more mantissa bits of the product"),
    ],
)
def test_sentence_says_what_would_help(cause, expected):
    assert expected in debug(with_bad(BAD[cause]), samples(), chain(), samples_alone=0).sentences(1)[0]


def test_swamping_in_a_long_chunk_asks_for_shorter_ones():
    ones = {"x": np.ones((2, 4096), np.float32)}
    source = matmul_model(np.ones((4096, 3), np.float32))
    converted, _ = convert(source, AccumulatorSpec.parse("M7E6b30/M7E6b30,chunk=none"))
    (layer,) = debug(converted, ones, source).layers
    assert layer.events["swamping"] == pytest.approx(
        (4096 - 256) / 4097
    )  # sums stop at 256; one addition is the total's
    assert layer.main_cause == "accumulator_truncation"
    assert layer.reordered == "M7E6b30/M7E6b30,chunk=64"
    assert layer.shares["chunk_size"] == 1.0  # chunks of 64 ones add up exactly
    assert "chunk=64 in place of chunk=none would take away 100 %" in debug(converted, ones).sentences()[0]


def test_swamping_that_no_chunk_size_helps_asks_for_mantissa_bits():
    sentence = debug(with_bad(BAD["accumulator_truncation"]), samples(), chain()).sentences(1)[0]
    assert "more mantissa bits of the accumulator would help" in sentence


def test_errors_equal_an_independent_computation():
    specs = [AccumulatorSpec.parse(text) for text in ("M5E5b16", "M6E5b16", "M4E5b16")]
    source = chain()
    converted, _ = convert(source, {f"matmul{i}": spec for i, spec in enumerate(specs)})
    diagnosis = debug(converted, samples(), source)
    exact = narrow = samples()["h0"]
    for layer, weight, spec in zip(diagnosis.layers, source.graph.initializer, specs, strict=True):
        w = onnx.numpy_helper.to_array(weight)
        of_exact, of_narrow = lba_onnx.matmul(exact, w, spec), lba_onnx.matmul(narrow, w, spec)
        own = lba_onnx.matmul(narrow, w, WIDE)
        exact = lba_onnx.matmul(exact, w, WIDE)
        assert layer.exact_input_err == pytest.approx(sqnr(exact, of_exact), rel=1e-12)
        assert layer.qdq_err == pytest.approx(sqnr(own, of_narrow), rel=1e-12)
        assert layer.xmodel_err == pytest.approx(sqnr(exact, of_narrow), rel=1e-12)
        assert layer.outputs == exact.size
        narrow = of_narrow


def test_shares_equal_an_independent_computation():
    w, x = np.random.default_rng(2).standard_normal((2, 64, 64)).astype(np.float32)
    text = "M7E3b5/M6E3b3"
    (layer,) = debug(convert(matmul_model(w), AccumulatorSpec.parse(text))[0], {"x": x}, matmul_model(w)).layers
    others = {
        "product_overflow": "M7E4b5/M6E3b3",
        "product_underflow": "M7E4b13/M6E3b3",
        "product_truncation": "M22E3b5/M6E3b3",
        "accumulator_overflow": "M7E3b5/M6E4b3",
        "accumulator_underflow": "M7E3b5/M6E4b11",
        "accumulator_truncation": "M7E3b5/M22E3b3",
        "overflow": "M7E4b5/M6E4b3",
        "underflow": "M7E4b13/M6E4b11",
        "truncation": "M22E3b5/M22E3b3",
        "chunk_size": "M7E3b5/M6E3b3,chunk=8",
    }
    exact = lba_onnx.matmul(x, w, WIDE).astype(np.float64)
    noise = {name: ((lba_onnx.matmul(x, w, AccumulatorSpec.parse(t)) - exact) ** 2).sum() for name, t in others.items()}
    noise_with = ((lba_onnx.matmul(x, w, AccumulatorSpec.parse(text)) - exact) ** 2).sum()
    expected = {name: 1 - value / noise_with for name, value in noise.items()}
    assert dict(layer.shares) == pytest.approx(expected, abs=1e-12)


def test_errors_are_those_of_the_quantization_debugger_of_onnxruntime():
    from onnxruntime.quantization.qdq_loss_debug import compute_signal_to_quantization_noice_ratio

    w, x = np.random.default_rng(3).standard_normal((2, 40, 40)).astype(np.float32)
    spec = AccumulatorSpec.parse("M7E4b10")
    (layer,) = debug(convert(matmul_model(w), spec)[0], {"x": x}, matmul_model(w)).layers
    pair = lba_onnx.matmul(x, w, WIDE), lba_onnx.matmul(x, w, spec)
    assert layer.xmodel_err == pytest.approx(compute_signal_to_quantization_noice_ratio(*pair), rel=1e-5)  # in float32


def test_output_alone_is_the_sqnr_of_the_model_with_one_converted_node():
    source = chain()
    diagnosis = debug(with_bad("M5E5b16"), samples(), source)
    expected = lba_onnx.make_session(source).run(None, samples())[0]
    for layer in diagnosis.layers:
        only, _ = convert(source, {layer.node: layer.spec})
        got = lba_onnx.make_session(only).run(None, samples())[0]
        assert layer.output_sqnr_alone == pytest.approx(sqnr(expected, got), rel=1e-9)


def test_no_error_is_infinite():
    eye = matmul_model(np.eye(4, dtype=np.float32))
    (layer,) = debug(convert(eye, AccumulatorSpec.parse("M7E4b10"))[0], {"x": np.ones((2, 4), np.float32)}).layers
    assert layer.exact_input_err == layer.qdq_err == layer.xmodel_err == math.inf
    assert layer.main_cause is None
    assert set(layer.shares.values()) == {None}
    assert layer.to_json()["exact_input_err"] is None


def test_reference_is_not_needed_where_weights_are_the_same():
    converted = convert(network(), AccumulatorSpec.parse("M5E4b8"))[0]
    assert debug(converted, images(8)) == debug(converted, images(8), network())


def test_weights_of_a_corrected_model_are_told_apart():
    converted = convert(network(), FINE)[0]
    assert not debug(converted, images(2), network()).is_corrected
    weight = converted.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(2), weight.name))
    diagnosis = debug(converted, images(2), network())
    assert diagnosis.is_corrected
    assert diagnosis.layers[0].xmodel_err == pytest.approx(0, abs=0.01)  # outputs twice as large: error = signal
    assert debug(converted, images(2)).layers[0].xmodel_err > 60


def test_branches_and_functions_are_covered():
    spec = AccumulatorSpec.parse("M3E4b8")
    x = np.random.default_rng(4).uniform(0.1, 1, (3, 2)).astype(np.float32)
    other, taken = debug(convert(branching_model(), spec)[0], x, branching_model()).layers
    assert (taken.node, taken.outputs, other.node, other.outputs) == ("then_matmul", 6, "else_matmul", 0)
    assert (other.exact_input_err, other.events, other.main_cause) == (None, None, None)
    diagnosis = debug(convert(branching_model(), spec)[0], x)
    assert diagnosis.sentences(2)[1] == "else_matmul: did not run on these samples."
    (inner,) = debug(convert(function_model(), spec)[0], x, function_model()).layers
    assert (inner.node, inner.outputs) == ("inner_matmul", 12)
    assert inner.main_cause is not None


def test_executions_without_an_equal_are_counted():
    """The narrow sum is below the limit, the exact one above, so that the two models take different branches."""

    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["h", "v"], [f"{name}_y"], name)
        return helper.make_graph([node], name, [], [tensor(f"{name}_y", "batch", 1)])

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("ReduceSum", ["h"], ["sum"], "sum", keepdims=0),
        helper.make_node("Greater", ["sum", "limit"], ["is_greater"], "greater"),
        helper.make_node("If", ["is_greater"], ["y"], "if", then_branch=branch("then"), else_branch=branch("else")),
    ]
    weights = {"w": np.ones((300, 1)), "v": np.ones((1, 1)), "limit": np.array(299.0)}
    weights = {name: values.astype(np.float32) for name, values in weights.items()}
    source = model(nodes, [tensor("x", "batch", 300)], [tensor("y", "batch", 1)], weights)
    converted, _ = convert(source, AccumulatorSpec.parse("M7E6b30,chunk=none"))
    first, other, then = debug(converted, np.ones((1, 300), np.float32), source, samples_alone=0).layers
    assert first.notes == ()
    assert (then.outputs, then.xmodel_err, then.qdq_err) == (1, None, None)
    assert (other.outputs, other.xmodel_err, other.qdq_err) == (0, None, math.inf)
    assert other.notes == ("executions in the converted model without an equal in the reference: 1",)


def test_what_is_looked_at_of_a_loop_does_not_grow_with_it():
    x, spec = np.ones((1, 2), np.float32), AccumulatorSpec.parse("M7E6b30")
    (layer,) = debug(convert(loop_model(50), spec)[0], {"x": x}).layers
    assert layer.outputs == 2 * (16 + 2)  # the first 16, then executions 16 and 32


def test_samples_are_bounded_and_read_once():
    def feeds():
        for i in range(40):
            assert i < 20, "read further than asked"
            yield {"x": images(1, i)}

    diagnosis = debug(
        convert(network(), AccumulatorSpec.parse("M5E4b8"))[0], Samples(feeds(), max_samples=10), samples_alone=3
    )
    assert (diagnosis.samples, diagnosis.samples_alone) == (10, 3)


def test_output_alone_can_be_skipped():
    diagnosis = debug(convert(network(), AccumulatorSpec.parse("M5E4b8"))[0], images(4), samples_alone=0)
    assert diagnosis.samples_alone == 0
    assert [layer.output_sqnr_alone for layer in diagnosis.layers] == [None] * 3
    errors = [layer.exact_input_err for layer in diagnosis.ranking]
    assert errors == sorted(errors)


def test_progress_counts_samples_then_nodes():
    calls = []
    converted = convert(network(), AccumulatorSpec.parse("M5E4b8"))[0]
    debug(converted, Samples(images(20), batch_size=8), execution=Execution(progress=lambda *call: calls.append(call)))
    assert calls == [(8, 20), (16, 20), (20, 20), (1, 3), (2, 3), (3, 3)]


def test_float16_models_are_diagnosed():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")]
    half = onnx.TensorProto.FLOAT16
    w = np.random.default_rng(5).standard_normal((32, 8)).astype(np.float16)
    source = model(nodes, [tensor("x", "n", 32, kind=half)], [tensor("y", "n", 8, kind=half)], {"w": w})
    x = np.random.default_rng(6).standard_normal((4, 32)).astype(np.float16)
    spec = AccumulatorSpec.parse("M5E4b8")
    (layer,) = debug(convert(source, spec)[0], {"x": x}, source).layers
    pair = (lba_onnx.matmul(x.astype(np.float32), w.astype(np.float32), s) for s in (WIDE, spec))
    assert layer.exact_input_err == pytest.approx(sqnr(*pair), rel=1e-12)


@pytest.mark.parametrize("is_given", [True, False])
def test_models_with_external_data_are_diagnosed(tmp_path, is_given):
    source = tmp_path / "float" / "model.onnx"
    source.parent.mkdir()
    save_model(chain(), ModelFile(source, use_external_data_format=True))
    target = tmp_path / "converted.onnx"
    convert(source, AccumulatorSpec.parse("M5E5b16"), model_output=ModelFile(target, use_external_data_format=True))
    expected = debug(convert(chain(), AccumulatorSpec.parse("M5E5b16"))[0], samples(), chain())
    assert debug(target, samples(), source if is_given else None).layers == expected.layers
    assert not debug(target, samples(), chain(), samples_alone=0).is_corrected  # the same weights, elsewhere


def test_json_holds_everything():
    diagnosis = debug(with_bad(BAD["product_overflow"]), samples(), chain())
    value = diagnosis.to_json()
    assert isinstance(diagnosis, Diagnosis)
    assert [layer["node"] for layer in value["layers"]] == [layer.node for layer in diagnosis.ranking]
    worst = value["layers"][0]
    assert worst["spec"] == AccumulatorSpec.parse(BAD["product_overflow"]).to_json()
    assert worst["main_cause"] == "product_overflow"
    assert worst["events"]["product_overflow"] > 0.1
    assert set(worst) >= {"exact_input_err", "qdq_err", "xmodel_err", "output_sqnr_alone", "shares", "notes"}


def test_nan_is_no_number_and_ranks_first():
    x = samples()["h0"]
    x[0, 0] = np.nan
    diagnosis = debug(with_bad(BAD["accumulator_truncation"]), {"h0": x}, chain())
    assert all(math.isnan(layer.exact_input_err) for layer in diagnosis.layers)
    assert "hold NaN" in diagnosis.sentences(1)[0]
    assert diagnosis.to_json()["layers"][0]["exact_input_err"] is None


def test_models_that_do_not_go_together_are_refused():
    converted = convert(network(), AccumulatorSpec.parse("M5E4b8"))[0]
    with pytest.raises(ModelError, match="expected a converted model"):
        debug(network(), images(2))
    with pytest.raises(ModelError, match="expected a reference with the nodes of the converted model.*'conv1'"):
        debug(converted, images(2), chain())
    with pytest.raises(ModelError, match="expected a float32 reference"):
        debug(converted, images(2), converted)
    with pytest.raises(DataError):
        debug(converted, {"other": images(2)})
    with pytest.raises(ValueError, match="samples_alone of at least 0, got -1"):
        debug(converted, images(2), samples_alone=-1)


def test_a_model_is_left_as_it_was():
    converted, source = convert(network(), AccumulatorSpec.parse("M5E4b8"))[0], network()
    before = converted.SerializeToString(), source.SerializeToString()
    debug(converted, images(2), source)
    assert (converted.SerializeToString(), source.SerializeToString()) == before


def test_underflow_that_is_off_has_no_share():
    spec = replace(AccumulatorSpec.parse("M5E4b4"), underflow=False)
    for layer in debug(convert(network(), spec)[0], images(4)).layers:
        assert {layer.shares[cause] for cause in layer.shares if cause.endswith("underflow")} == {0.0}


def sqnr(expected: np.ndarray, values: np.ndarray) -> float:
    expected, values = expected.astype(np.float64), values.astype(np.float64)
    return 20 * math.log10(np.linalg.norm(expected) / np.linalg.norm(values - expected))
