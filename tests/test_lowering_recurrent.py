"""LSTM, GRU and RNN taken apart: equal to onnxruntime's own, and in low bits to their equations step by step."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from recurrent_models import WEIGHTS, Case, compute, draw
from test_convert_onnx_backend import cases, data_of, model_of, run

import lba_onnx
from lba_onnx import Selection
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.lowering import lower_model

OPERATORS = "LSTM", "GRU", "RNN"
WIDEST = "M22E7b63"
BACKEND = [
    "gru_defaults", "gru_seq_length", "gru_with_initial_bias", "gru_batchwise", "gru_reverse", "gru_bidirectional",
    "lstm_defaults", "lstm_with_initial_bias", "lstm_with_peepholes", "lstm_batchwise", "lstm_reverse",
    "lstm_bidirectional", "rnn_seq_length", "simple_rnn_defaults", "simple_rnn_with_initial_bias",
    "simple_rnn_batchwise", "simple_rnn_reverse", "simple_rnn_bidirectional",
]  # fmt: skip


def plain_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # not that weights are not read any more
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def outputs_of(session: onnxruntime.InferenceSession, case: Case) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, case.feeds), strict=True))


@pytest.mark.parametrize("op_type", OPERATORS)
def test_lowered_equals_onnxruntime_within_float32_rounding(op_type):
    """Bound: some 2^-24 a sum and an activation, times what some steps with unbounded activations amplify."""
    for seed in range(30):
        case = draw(seed, op_type)
        expected = outputs_of(plain_session(case.model()), case)
        model = case.model()
        assert lower_model(model).origins
        onnx.checker.check_model(model, full_check=True)
        for name, values in outputs_of(plain_session(model), case).items():
            np.testing.assert_allclose(values, expected[name], rtol=2e-4, atol=1e-5, err_msg=f"{seed} {case}")


def multiply(specs: dict[str, str], a: np.ndarray, b: np.ndarray, product: str) -> np.ndarray:
    return lba_onnx.matmul(a, b, specs[f"node/{product}"])


@pytest.mark.parametrize("op_type", OPERATORS)
def test_low_bits_equal_the_equations_with_products_step_by_step(op_type):
    specs = {"input": "M6E4b8", "recurrent": "M4E3b4,chunk=3", "recurrent_hidden": "M5E3b5"}
    seen = set()
    for seed in range(100, 124):
        case = draw(seed, op_type, is_tame=True)
        keys = {entry.node for entry in list_candidates(case.model())}
        seen |= {key.removeprefix("node/") for key in keys}
        chosen = {key: specs[key.removeprefix("node/").removesuffix("_reverse")] for key in keys}
        converted, report = lba_onnx.convert(case.model(), chosen)
        assert {entry.node for entry in report.converted} == keys
        expected = compute(case, partial(multiply, chosen))
        for name, values in outputs_of(lba_onnx.make_session(converted), case).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{seed} {name} {case}")
    products = {"input", "recurrent", *(["recurrent_hidden"] if op_type == "GRU" else [])}
    assert seen == {f"{product}{suffix}" for product in products for suffix in ("", "_reverse")}


@pytest.mark.parametrize("op_type", OPERATORS)
def test_batch_first_layout_is_the_other_one_transposed(op_type):
    """onnxruntime has no kernel for it."""
    for seed in range(10):
        case = draw(seed, op_type, is_tame=True)
        moved = {n: v.swapaxes(0, 1) if n in ("X", "initial_h", "initial_c") else v for n, v in case.inputs.items()}
        batch_first = replace(case, inputs=moved, attributes={**case.attributes, "layout": 1}, opset=14)
        model = batch_first.model()
        lower_model(model)
        expected = outputs_of(plain_session(case.model()), case)
        for name, values in outputs_of(plain_session(model), batch_first).items():
            axes = (2, 0, 1, 3) if name == "Y" else (1, 0, 2)
            np.testing.assert_allclose(values, expected[name].transpose(axes), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", BACKEND)
def test_standard_node_test_passes_after_conversion(name):
    if name not in cases():
        pytest.skip(f"onnx {onnx.__version__} has no test_{name}")
    case = cases()[name]
    model, report = lba_onnx.convert(model_of(case), WIDEST)
    products = (3 if name.startswith("gru") else 2) * (2 if name.endswith("bidirectional") else 1)
    assert len(report.converted) == len(report) == products
    for inputs, outputs in data_of(case):
        for actual, expected in zip(run(lba_onnx.make_session(model), inputs), outputs, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-6)


def test_the_standard_node_tests_are_complete():
    found = {
        n
        for n, case in cases().items()
        if [m.op_type for m in model_of(case).graph.node][-1:]
        and {node.op_type for node in model_of(case).graph.node} & set(OPERATORS)
    }
    assert found <= set(BACKEND)


def simple(op_type="LSTM", **attributes) -> Case:
    """Four steps of two sequences."""
    rng, gates = np.random.default_rng(0), {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type]
    shapes = {"X": (4, 2, 3), "W": (1, gates * 5, 3), "R": (1, gates * 5, 5)}
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return Case(op_type, {"hidden_size": 5, "direction": "forward", **attributes}, inputs, ["Y"])


def test_the_ledger_tells_of_the_original_operator():
    report = list_candidates(simple().model())
    assert [(entry.node, entry.op_type) for entry in report] == [("node/input", "LSTM"), ("node/recurrent", "LSTM")]
    places = [entry.weights.split("'")[0] for entry in report]
    assert places == ["initializer ", "Constant node "]  # of the graph, and of the Scan's body


def test_a_selection_takes_the_node_or_one_of_its_products():
    model = simple().model()
    _, all_of_it = lba_onnx.convert(model, WIDEST, selection=Selection(nodes_to_convert=["node"]))
    _, by_type = lba_onnx.convert(model, WIDEST, selection=Selection(op_types_to_convert=["LSTM"]))
    _, one = lba_onnx.convert(model, {"node/recurrent": WIDEST})
    assert [len(report.converted) for report in (all_of_it, by_type, one)] == [2, 2, 1]


def test_a_node_of_which_nothing_is_converted_stays():
    model = simple().model()
    back, _ = lba_onnx.convert(model, WIDEST, selection=Selection(nodes_to_exclude=["node"]))
    assert [node.op_type for node in back.graph.node] == ["LSTM"]
    assert [tensor.name for tensor in back.graph.initializer] == [tensor.name for tensor in model.graph.initializer]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (simple(activations=["Sigmoid", "Tanh", "Swish"]), "expected activations out of .*, got Swish"),
        (simple(activations=["Sigmoid"]), "expected 3 activations, got 1"),
        (replace(simple(), opset=8), "from opset 9 on, got opset 8"),
        (replace(simple(), opset=9, attributes={"hidden_size": 5, "activations": ["ThresholdedRelu", "Tanh", "Tanh"]}),
         "applies ThresholdedRelu, an operator from opset 10 on, got opset 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_apart_is_left_with_its_reason(case, reason):
    (entry,) = list_candidates(case.model())
    assert (entry.node, entry.op_type) == ("node", "LSTM")
    assert re.search(reason, entry.reason)


def test_an_lstm_of_float64_is_left():
    case = simple()
    wide = replace(case, inputs={name: value.astype(np.float64) for name, value in case.inputs.items()})
    model = wide.model()
    for output in model.graph.output:
        output.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    (entry,) = list_candidates(model)
    assert "float64; expected float32" in entry.reason


def test_weights_that_are_computed_are_taken_apart_by_nodes():
    case = replace(simple(), constants=())
    converted, report = lba_onnx.convert(case.model(), "M7E4b10")
    constant, _ = lba_onnx.convert(replace(case, constants=WEIGHTS).model(), "M7E4b10")
    assert {entry.weights for entry in report} == {"dynamic"}
    feeds = {name: case.inputs[name] for name in ("X",)}
    np.testing.assert_array_equal(
        outputs_of(lba_onnx.make_session(converted), case)["Y"],
        lba_onnx.make_session(constant).run(None, feeds)[0],
    )


def test_calibration_counts_every_step_and_names_the_products():
    calibration = lba_onnx.calibrate(simple().model(), [simple().feeds] * 3, family="M7E4")
    assert set(calibration.nodes) == {"node/input", "node/recurrent"}
    outputs = [calibration.nodes[f"node/{product}"].range.outputs for product in ("input", "recurrent")]
    assert outputs == [3 * 4 * 2 * 20] * 2  # batches, steps, sequences, hidden units of four gates


def in_branches_of_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model's node in a branch of a branch; its weights stay where they are."""
    (y,) = model.graph.output
    nodes = list(model.graph.node)
    for depth, name in enumerate(("inner", "outer")):
        result = helper.make_tensor_value_info("Y" if not depth else "y_inner", TensorProto.FLOAT, None)
        branches = []
        for branch in ("then", "else"):
            own = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
            branches.append(helper.make_graph(own, f"{name}_{branch}", [], [result]))
        switch = helper.make_node("If", ["c"], [f"y_{name}"], name, then_branch=branches[0], else_branch=branches[1])
        nodes = [switch]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    y.name = "y_outer"
    return model


def test_nodes_in_nested_branches_run_converted():
    """onnxruntime infers no shapes there, and a Scan wants to know the number of axes."""
    case = simple()
    converted, report = lba_onnx.convert(in_branches_of_branches(case.model()), "M7E4b10")
    assert len(report.converted) == 8
    plain, _ = lba_onnx.convert(case.model(), "M7E4b10")
    actual = lba_onnx.make_session(converted).run(None, {**case.feeds, "c": np.array(True)})[0]
    np.testing.assert_array_equal(actual, lba_onnx.make_session(plain).run(None, case.feeds)[0])


@pytest.mark.parametrize("portable", [False, True])
def test_nodes_in_functions_run_converted(portable):
    case = simple()
    model = case.model()
    opset = helper.make_opsetid("", 17)
    function = helper.make_function("my", "Block", ["X", "W", "R"], ["Y"], list(model.graph.node), [opset])
    model.graph.node[0].CopyFrom(helper.make_node("Block", ["X", "W", "R"], ["Y"], domain="my"))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("my", 1))
    converted, report = lba_onnx.convert(model, "M7E4b10", portable=portable)
    assert [entry.node for entry in report.converted] == ["node/input", "node/recurrent"]
    plain, _ = lba_onnx.convert(case.model(), "M7E4b10")
    actual = lba_onnx.make_session(converted).run(None, case.feeds)[0]
    np.testing.assert_array_equal(actual, lba_onnx.make_session(plain).run(None, case.feeds)[0])


def test_a_recurrent_product_is_corrected_with_the_rows_of_all_steps():
    """The first step's states are zeros, and say nothing of it."""
    rng = np.random.default_rng(5)
    shapes = {"W": (1, 96, 16), "R": (1, 96, 24), "B": (1, 192)}
    weights = {name: (rng.standard_normal(shape) * 0.3).astype(np.float32) for name, shape in shapes.items()}
    feeds = [{"X": rng.standard_normal((12, 1, 16)).astype(np.float32)} for _ in range(16)]
    model = Case("LSTM", {"hidden_size": 24}, {**feeds[0], **weights}, ["Y"]).model()
    converted, _ = lba_onnx.convert(model, lba_onnx.calibrate(model, feeds, family="M4E4"))
    corrected, report = lba_onnx.correct(converted, feeds)
    assert report.recipe != "none"
    assert {node.node: node.mean_scale for node in report.nodes}["node/recurrent"] != 1
    before, after = (lba_onnx.compare(model, made, feeds).outputs[0].sqnr_db for made in (converted, corrected))
    assert after > before + 3
