"""MACs: of each operator by hand, inferred from shapes and counted in a run, which have to agree."""

import numpy as np
import onnx
import pytest
from lowered_models import one_node
from onnx import TensorProto, helper
from small_models import (
    OPSET,
    branching_model,
    constant,
    function_model,
    images,
    loop_model,
    model,
    network,
    tensor,
)

import lba_onnx
from lba_onnx.observation.executed_macs import count_macs
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.macs import Execution, count

MICROSOFT = "com.microsoft"
OPSETS = [*OPSET, helper.make_opsetid(MICROSOFT, 1)]


def inferred(source: onnx.ModelProto, **input_shapes: tuple[int, ...]) -> dict[str, int | None]:
    return {entry.node: entry.macs for entry in list_candidates(source, input_shapes)}


def macs(op_type, inputs, output, domain="", product="", **attributes) -> int | None:
    """Return the MACs of one execution; absent inputs are None."""
    names = [f"x{place}" if shape is not None else "" for place, shape in enumerate(inputs)]
    outputs = output if isinstance(output, list) else [output]
    return count(Execution(domain, op_type, attributes, names, inputs, outputs), product)


OF_ONE_EXECUTION = {
    "matmul": (("MatMul", [(3, 5, 7), (7, 4)], (3, 5, 4)), 3 * 5 * 4 * 7),
    "vectors": (("MatMul", [(7,), (7,)], ()), 7),
    "gemm": (("Gemm", [(7, 5), (4, 7), (4,)], (5, 4)), 5 * 4 * 7),
    "conv": (("Conv", [(2, 6, 8, 8), (9, 2, 3, 3)], (2, 9, 4, 4)), 2 * 9 * 16 * (2 * 9)),
    "deformed": (("DeformConv", [(1, 4, 5, 5), (3, 4, 2, 2), (1, 8, 4, 4)], (1, 3, 4, 4)), 3 * 16 * 16),
    "transposed": (("ConvTranspose", [(1, 6, 5, 5), (6, 2, 3, 3)], (1, 4, 11, 11)), 6 * 25 * (2 * 9)),
    "stateful": (("CausalConvWithState", [(2, 5, 9), (5, 1, 4)], (2, 5, 9)), 2 * 5 * 9 * 4),
    "integer convolution": (("QLinearConv", [(1, 3, 4, 4), (), (), (8, 3, 1, 1)], (1, 8, 4, 4)), 8 * 16 * 3),
    "integer matmul": (("QLinearMatMul", [(5, 7), (), (), (7, 4)], (5, 4)), 140),
    "matmul of integers": (("MatMulInteger", [(5, 7), (7, 4)], (5, 4)), 140),
    "lstm": (("LSTM", [(10, 2, 3), (2, 16, 3), (2, 16, 4)], (10, 2, 2, 4)), 10 * 2 * 2 * 16 * (3 + 4)),
    "gru": (("GRU", [(10, 2, 3), (1, 12, 3), (1, 12, 4)], (10, 1, 2, 4)), 10 * 2 * 12 * (3 + 4)),
    "rnn": (("RNN", [(10, 2, 3), (1, 4, 3), (1, 4, 4)], (10, 1, 2, 4)), 10 * 2 * 4 * (3 + 4)),
    "heads": (("Attention", [(2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 6)], (2, 4, 5, 6)), 2 * 4 * 5 * 7 * (8 + 6)),
    "rows of heads": (("Attention", [(2, 5, 32), (2, 7, 16), (2, 7, 12)], (2, 5, 24)), 2 * 5 * 7 * (32 + 24)),
    "past": (
        ("Attention", [(2, 4, 1, 8), (2, 4, 1, 8), (2, 4, 1, 8), None, (2, 4, 9, 8), (2, 4, 9, 8)], (2, 4, 1, 8)),
        2 * 4 * 10 * 16,
    ),
}


@pytest.mark.parametrize("case", OF_ONE_EXECUTION)
def test_one_execution_of_an_operator_is_as_by_hand(case) -> None:
    execution, expected = OF_ONE_EXECUTION[case]
    assert macs(*execution) == expected


OF_MICROSOFT = {
    "fused matmul": (("FusedMatMul", [(7, 5), (4, 7)], (5, 4)), {"transA": 1, "transB": 1}, 140),
    "fused batches": (("FusedMatMul", [(5, 3, 7), (3, 7, 4)], (3, 5, 4)), {"transBatchA": 1}, 420),
    "both": (("FusedMatMul", [(7, 3, 5), (3, 7, 4)], (3, 5, 4)), {"transA": 1, "transBatchA": 1}, 420),
    "fused gemm": (("FusedGemm", [(5, 7), (7, 4)], (5, 4)), {}, 140),
    "integer gemm": (("QGemm", [(5, 7), (), (), (4, 7)], (5, 4)), {}, 140),
    "channels last": (("NhwcConv", [(1, 4, 4, 3), (8, 3, 1, 1)], (1, 4, 4, 8)), {}, 8 * 16 * 3),
    "blocks of bits": (("MatMulNBits", [(2, 3, 64), (48, 2, 16)], (2, 3, 48)), {"K": 64, "N": 48}, 6 * 64 * 48),
    "quantized lstm": (("DynamicQuantizeLSTM", [(5, 2, 3), (1, 3, 16), (1, 4, 16)], (5, 1, 2, 4)), {}, 10 * 16 * 7),
    "attention": (
        ("Attention", [(2, 5, 6), (6, 24), (24,)], (2, 5, 8)),
        {"num_heads": 2},
        2 * 5 * 6 * 24 + 2 * (2 * 5 * 5 * 8),
    ),
    "attention of sizes": (
        ("Attention", [(2, 5, 6), (6, 20), (20,)], (2, 5, 4)),
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
        2 * 5 * 6 * 20 + 2 * 5 * 5 * (8 + 4),
    ),
    "several heads": (("MultiHeadAttention", [(2, 5, 8), (2, 7, 8), (2, 7, 6)], (2, 5, 6)), {}, 2 * 5 * 7 * 14),
    "packed heads": (("MultiHeadAttention", [(2, 5, 4, 3, 2)], (2, 5, 8)), {}, 2 * 2 * 5 * 5 * 8),
    "heads of a cache": (
        ("MultiHeadAttention", [(2, 1, 8), (2, 4, 9, 2), (2, 4, 9, 2)], (2, 1, 8)),
        {},
        2 * 2 * 9 * 8,
    ),
    "heads with past": (
        ("MultiHeadAttention", [(1, 1, 8), (1, 1, 8), (1, 1, 8), None, None, None, (1, 4, 9, 2)], (1, 1, 8)),
        {},
        2 * 10 * 8,
    ),
    "groups": (("GroupQueryAttention", [(2, 5, 8), (2, 5, 4), (2, 5, 4)], (2, 5, 8)), {}, 2 * 2 * 5 * 5 * 8),
    "packed groups": (("GroupQueryAttention", [(2, 5, 16)], (2, 5, 8)), {}, 2 * 2 * 5 * 5 * 8),
    "groups with past": (
        ("GroupQueryAttention", [(2, 1, 8), (2, 1, 4), (2, 1, 4), (2, 2, 9, 2)], [(2, 1, 8), (2, 2, 10, 2)]),
        {},
        2 * 2 * 10 * 8,
    ),
    "experts": (("MoE", [(6, 8), (6, 4), (4, 8, 16), None, (4, 16, 8)], (6, 8)), {"k": 2}, 6 * 2 * (8 * 16 + 16 * 8)),
    "quantized experts": (
        ("QMoE", [(6, 8), (6, 4), (4, 16, 4), None, None, (4, 8, 8)], (6, 8)),
        {"k": 2, "expert_weight_bits": 4},
        6 * 2 * (16 * 8 + 8 * 16),
    ),
}


@pytest.mark.parametrize("case", OF_MICROSOFT)
def test_one_execution_of_a_fused_operator_is_as_by_hand(case) -> None:
    execution, attributes, expected = OF_MICROSOFT[case]
    assert macs(*execution, domain=MICROSOFT, **attributes) == expected


@pytest.mark.parametrize(
    ("equation", "shapes", "output", "expected"),
    [
        ("bij,bjk->bik", [(2, 3, 5), (2, 5, 7)], (2, 3, 7), 2 * 3 * 5 * 7),
        ("i,j->ij", [(3,), (5,)], (3, 5), 15),
        ("...ij,jk->...ik", [(2, 4, 3, 5), (5, 7)], (2, 4, 3, 7), 2 * 4 * 3 * 5 * 7),
        ("...i,...i->...", [(4, 1, 5), (6, 5)], (4, 6), 4 * 6 * 5),
        ("ij->i", [(3, 5)], (3,), 0),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], (2, 5), None),
    ],
)
def test_an_einsum_counts_the_values_of_all_letters(equation, shapes, output, expected) -> None:
    assert macs("Einsum", shapes, output, equation=equation.encode()) == expected


def test_linear_attention_counts_queries_and_updates_of_the_state() -> None:
    shapes = [(2, 5, 4 * 3), (2, 5, 2 * 3), (2, 5, 2 * 6)]
    heads = {"q_num_heads": 4, "kv_num_heads": 2}
    assert macs("LinearAttention", shapes, (2, 5, 24), update_rule=b"linear", **heads) == 10 * 18 * (4 + 2)
    assert macs("LinearAttention", shapes, (2, 5, 24), **heads) == 10 * 18 * (4 + 2 * 2)


def test_products_of_attention_are_told_apart() -> None:
    execution = "Attention", [(2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 6)], (2, 4, 5, 6)
    assert macs(*execution, product="qk") == 2 * 4 * 5 * 7 * 8
    assert macs(*execution, product="pv") == 2 * 4 * 5 * 7 * 6
    assert macs(*execution, product="another") is None


@pytest.mark.parametrize(
    ("op_type", "inputs", "output", "domain"),
    [
        ("MatMul", [(3, None), (None, 4)], (3, 4), ""),
        ("Conv", [(1, 3, 8, 8), None], (1, 4, 8, 8), ""),
        ("MatMulSomehow", [(3, 5), (5, 4)], (3, 4), "theirs"),
        ("Conv", [], (), ""),
        ("Gemm", [(5, 7), (7, 4)], (5, 4, 1), ""),
        ("LinearAttention", [(2, 5, 12), (2, 5, 6), (2, 5, 12)], (2, 5, 24), ""),
        (
            "GroupQueryAttention",
            [(2, 1, 8), (2, 1, 4), (2, 1, 4), (2, 2, 64, 2)],
            [(2, 1, 8), (2, 2, 64, 2)],
            MICROSOFT,
        ),
        ("MultiHeadAttention", [(1, 1, 8), (1, 1, 8), (1, 1, 8), *[None] * 5, (1,)], (1, 1, 8), MICROSOFT),
    ],
)
def test_what_shapes_do_not_tell_is_unknown(op_type, inputs, output, domain) -> None:
    assert macs(op_type, inputs, output, domain) is None


# whole models


def test_each_node_of_a_network_is_as_by_hand() -> None:
    expected = {"conv1": 8 * 64 * 9, "depthwise": 8 * 16 * 9, "classifier": 10 * 128}
    assert inferred(network()) == expected
    assert count_macs(network(), {"x": np.zeros((3, 1, 8, 8), np.float32)}) == expected


def test_a_batch_of_a_given_size_is_counted_whole() -> None:
    assert inferred(network(), x=(4, 1, 8, 8))["conv1"] == 4 * 8 * 64 * 9


def test_sizes_that_are_open_leave_macs_unknown_until_they_are_given() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")]
    source = model(nodes, [tensor("x", "batch", "rows", 5)], [tensor("y", "batch", "rows", 7)], {"w": floats(5, 7)})
    assert inferred(source) == {"matmul": None}
    assert inferred(source, x=(2, 3, 5)) == {"matmul": 2 * 3 * 5 * 7}
    assert count_macs(source, {"x": floats(2, 3, 5)}) == {"matmul": 3 * 5 * 7}


def test_a_first_axis_with_which_work_does_not_double_is_no_batch() -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"], "square")]
    source = model(nodes, [tensor("x", "rows", 5)], [tensor("y", "rows", "rows")])
    assert inferred(source) == {"square": None}
    assert inferred(source, x=(3, 5)) == {"square": 45}


def test_sizes_follow_computed_shapes() -> None:
    """Shape, Gather, Concat, Range and a comparison, as exporters write them."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "first"], ["rows_1"]),
        helper.make_node("Concat", ["minus", "rows_1"], ["target"], axis=0),
        helper.make_node("Range", ["zero", "rows", "one"], ["range"]),
        helper.make_node("Unsqueeze", ["range", "first"], ["positions"]),
        helper.make_node("Cast", ["positions"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["x", "target"], ["columns"]),
        helper.make_node("Transpose", ["floats"], ["column"]),
        helper.make_node("MatMul", ["columns", "column"], ["y"], "matmul"),
    ]
    weights = {"one": 1, "zero": 0, "first": [0], "minus": [-1]}
    source = model(
        nodes,
        [tensor("x", "batch", "rows", 5)],
        [tensor("y", "other", 1)],
        {name: np.array(value, np.int64) for name, value in weights.items()},
    )
    assert inferred(source, x=(1, 200, 5)) == {"matmul": 5 * 200}
    assert count_macs(source, {"x": floats(1, 200, 5)}) == {"matmul": 5 * 200}


def test_axes_of_one_name_share_what_is_given_for_one_of_them() -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"], "matmul")]
    source = model(nodes, [tensor("a", 2, "depth"), tensor("b", "depth", 3)], [tensor("y", 2, 3)])
    assert inferred(source) == {"matmul": None}  # the first axis of b is open, but no output has that of a batch
    assert inferred(source, a=(2, 7)) == {"matmul": 42}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1,)}, "input_shapes: expected some of the inputs a, b, got 'z'"),
        ({"a": (3, 7)}, "input_shapes: expected 'a' as 2x?, got 3x7"),
        ({"a": (2,)}, r"input_shapes: expected 'a' as 2x\?, got 2"),
        ({"a": (2, 7), "b": (8, 3)}, "input_shapes: expected 'b' as 7x3, got 8x3"),
    ],
)
def test_shapes_that_do_not_fit_the_model_are_refused(shapes, message) -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"], "matmul")]
    source = model(nodes, [tensor("a", 2, "depth"), tensor("b", "depth", 3)], [tensor("y", 2, 3)])
    with pytest.raises(ValueError, match=message.replace("2x?", r"2x\?")):
        list_candidates(source, shapes)


def test_functions_count_once_for_each_call() -> None:
    assert inferred(function_model()) == {"inner_matmul": 8}
    assert count_macs(function_model(), {"x": floats(3, 2)}) == {"inner_matmul": 8}


def test_functions_that_call_each_other_over_and_over_are_counted_at_once() -> None:
    functions, imports = [], [*OPSET, helper.make_opsetid("mine", 1)]
    for level in range(40):
        callee = ("MatMul", "") if level == 0 else (f"f{level - 1}", "mine")
        nodes = [helper.make_node(callee[0], [a, *(["a"] if level == 0 else [])], [b], domain=callee[1])
                 for a, b in (("a", "h"), ("h", "y"))]  # fmt: skip
        functions.append(helper.make_function("mine", f"f{level}", ["a"], ["y"], nodes, imports))
    call = helper.make_node("f39", ["x"], ["y"], domain="mine")
    source = model([call], [tensor("x", 3, 3)], [tensor("y", 3, 3)], functions=functions, opsets=imports)
    assert sum(inferred(source).values()) == 27 * 2**40


def test_attributes_come_from_the_call() -> None:
    body = helper.make_node("Gemm", ["a", "b"], ["y"], "gemm")
    body.attribute.append(onnx.AttributeProto(name="transA", ref_attr_name="flip", type=onnx.AttributeProto.INT))
    imports = [*OPSET, helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "f", ["a", "b"], ["y"], [body], OPSET, ["flip"])
    nodes = [
        helper.make_node("f", ["p", "w"], ["y"], domain="mine", flip=0),
        helper.make_node("f", ["q", "w"], ["z"], domain="mine", flip=1),
    ]
    inputs, outputs = [tensor("p", 2, 5), tensor("q", 5, 3)], [tensor("y", 2, 7), tensor("z", 3, 7)]
    source = model(nodes, inputs, outputs, {"w": floats(5, 7)}, [function], imports)
    assert inferred(source) == {"gemm": 2 * 5 * 7 + 3 * 5 * 7}
    assert count_macs(source, {"p": floats(2, 5), "q": floats(5, 3)}) == inferred(source)


def scan_model(steps: int | str) -> onnx.ModelProto:
    """A state that is multiplied, and a product of each slice, along the second axis."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], "state_matmul"),
            helper.make_node("MatMul", ["slice", "w"], ["row"], "slice_matmul"),
        ],
        "body",
        [tensor("state", 1, 5), tensor("slice", 3, 5)],
        [tensor("next", 1, 5), tensor("row", 3, 5)],
    )
    nodes = [
        helper.make_node("Scan", ["s", "x"], ["last", "rows"], num_scan_inputs=1, scan_input_axes=[1],
                         scan_output_axes=[1], body=body),
        helper.make_node("MatMul", ["rows", "w"], ["y"], "behind"),
    ]  # fmt: skip
    outputs = [tensor("last", 1, 5), tensor("y", 3, steps, 5)]
    return model(nodes, [tensor("s", 1, 5), tensor("x", 3, steps, 5)], outputs, {"w": floats(5, 5)})


def test_bodies_of_a_scan_count_once_for_each_step() -> None:
    expected = {"state_matmul": 11 * 25, "slice_matmul": 11 * 75, "behind": 11 * 75}
    assert inferred(scan_model(11)) == expected
    assert inferred(scan_model("steps"), x=(3, 11, 5)) == expected
    assert inferred(scan_model("steps")) == dict.fromkeys(expected)
    assert count_macs(scan_model("steps"), {"s": floats(1, 5), "x": floats(3, 11, 5)}) == expected


def test_a_loop_is_counted_in_a_run_only() -> None:
    assert inferred(loop_model(7)) == {"loop_matmul": None}
    assert count_macs(loop_model(7), {"x": floats(1, 2)}) == {"loop_matmul": 7 * 4}


def test_a_branch_is_counted_where_the_choice_is_known() -> None:
    assert inferred(branching_model()) == {"then_matmul": None, "else_matmul": None}
    assert count_macs(branching_model(), {"x": np.ones((1, 2), np.float32)}) == {"then_matmul": 4, "else_matmul": 0}
    chosen = branching_model()
    chosen.graph.node[-1].input[0] = "known"
    chosen.graph.initializer.append(constant("known", np.array(False)))
    assert inferred(chosen) == {"then_matmul": 0, "else_matmul": 4}


def test_what_follows_an_operator_that_nobody_knows_is_unknown() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("Mystery", ["h"], ["g"], domain="theirs"),
        helper.make_node("MatMul", ["g", "w"], ["y"], "second"),
    ]
    opsets = [*OPSET, helper.make_opsetid("theirs", 1)]
    source = model(nodes, [tensor("x", 2, 5)], [tensor("y", None, 5)], {"w": floats(5, 5)}, opsets=opsets)
    assert inferred(source) == {"first": 50, "second": None}
    source.graph.value_info.append(tensor("g", 3, 5))
    assert inferred(source) == {"first": 50, "second": 75}


def test_operators_of_onnxruntime_pass_shapes_on() -> None:
    nodes = [
        helper.make_node("SkipLayerNormalization", ["x", "x", "g"], ["n", "", "", "s"], domain=MICROSOFT),
        helper.make_node("FastGelu", ["n"], ["h"], domain=MICROSOFT),
        helper.make_node("MatMul", ["h", "w"], ["q"], "projection"),
        helper.make_node("MultiHeadAttention", ["q", "q", "q"], ["a"], "attention", domain=MICROSOFT, num_heads=2),
        helper.make_node("MatMul", ["a", "w"], ["y"], "last"),
        helper.make_node("MatMul", ["s", "w"], ["z"], "sum"),
    ]
    outputs = [tensor("y", 1, 3, 8), tensor("z", 1, 3, 8)]
    source = model(nodes, [tensor("x", 1, 3, 8)], outputs, {"w": floats(8, 8), "g": floats(8)}, opsets=OPSETS)
    expected = {"projection": 192, "attention": 2 * 72, "last": 192, "sum": 192}
    found = inferred(source)
    assert sum(found.values()) == sum(expected.values())
    assert {name: macs for name, macs in found.items() if "attention" not in name} == {
        name: macs for name, macs in expected.items() if name != "attention"
    }
    assert count_macs(source, {"x": floats(1, 3, 8)}) == found


@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_integer_models_are_counted_before_and_after_conversion(form, tmp_path) -> None:
    pytest.importorskip("onnxruntime.quantization")
    from onnxruntime import quantization

    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save_model(network(), source)
    if form == "dynamic":
        quantization.quantize_dynamic(source, target)
    else:
        quantization.quantize_static(source, target, Reader(), quant_format=quantization.QuantFormat[form])
    converted, _ = lba_onnx.convert(target, "int32-wrap")
    counts = [sum(inferred(each).values()) for each in (source, target, converted)]
    assert counts == [sum(inferred(network()).values())] * 3
    assert sum(count_macs(target, {"x": floats(1, 1, 8, 8)}).values()) == counts[0]


HEADS = [(2, 5, 8), (2, 7, 8), (2, 7, 8)]
CONVERTED = {
    "FusedMatMul": (MICROSOFT, [(7, 5), (4, 7)], {"transA": 1, "transB": 1}, 140),
    "FusedGemm": (MICROSOFT, [(5, 7), (7, 4)], {"activation": "Relu"}, 140),
    "FusedConv": (MICROSOFT, [(1, 2, 6, 6), (8, 2, 3, 3)], {"activation": "Relu"}, 16 * 8 * 18),
    "Einsum": ("", [(2, 3, 5), (2, 5, 7)], {"equation": "bij,bjk->bik"}, 2 * 3 * 5 * 7),
    "ConvTranspose": ("", [(1, 3, 4, 5), (3, 6, 2, 2)], {"strides": [2, 2]}, 3 * 20 * 6 * 4),
    "LSTM": ("", [(9, 2, 3), (1, 16, 3), (1, 16, 4)], {"hidden_size": 4}, 9 * 2 * 16 * (3 + 4)),
    "GRU": ("", [(9, 2, 3), (1, 12, 3), (1, 12, 4)], {"hidden_size": 4}, 9 * 2 * 12 * (3 + 4)),
    "RNN": ("", [(9, 2, 3), (1, 4, 3), (1, 4, 4)], {"hidden_size": 4}, 9 * 2 * 4 * (3 + 4)),
    "Attention": (MICROSOFT, [(2, 5, 6), (6, 24), (24,)], {"num_heads": 2}, 2 * 5 * 6 * 24 + 2 * 2 * 5 * 5 * 8),
    "MultiHeadAttention": (MICROSOFT, HEADS, {"num_heads": 2}, 2 * 2 * 5 * 7 * 8),
}
"""Operators with a twin of several products, or taken apart: domain, shapes, attributes, MACs."""


@pytest.mark.parametrize("op_type", CONVERTED)
def test_a_model_has_the_same_macs_whole_taken_apart_and_converted(op_type) -> None:
    domain, shapes, attributes, expected = CONVERTED[op_type]
    names = [f"x{place}" for place in range(len(shapes))]
    node = helper.make_node(op_type, names, ["y"], "node", domain=domain, **attributes)
    feeds = {name: floats(*shape) for name, shape in zip(names, shapes, strict=True)}
    given = names if op_type == "MultiHeadAttention" else names[:1]
    fed, constants = {n: feeds[n] for n in given}, {n: feeds[n] for n in names if n not in given}
    source = one_node(node, fed, constants)
    converted, _ = lba_onnx.convert(source, "M7E4b10")
    for each in (source, converted):
        assert sum(inferred(each).values()) == expected
        assert sum(count_macs(each, fed).values()) == expected
    assert macs(op_type, shapes, output_of(source, fed), domain, **attributes) == expected


def output_of(source: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> tuple[int, ...]:
    return lba_onnx.make_session(source).run(None, feeds)[0].shape


def test_a_cache_makes_more_keys() -> None:
    rows, past = (1, 2, 16), (1, 2, 6, 8)
    names = ["q", "k", "v", "past_key", "past_value", "lengths", "total"]
    node = helper.make_node("GroupQueryAttention", names, ["y", "p", "r"], "node", domain=MICROSOFT,
                            num_heads=2, kv_num_heads=2)  # fmt: skip
    feeds = {name: floats(*shape) for name, shape in zip(names, [rows] * 3 + [past] * 2, strict=False)}
    constants = {"lengths": np.array([7], np.int32), "total": np.array(8, np.int32)}
    source = one_node(node, feeds, constants)
    converted, report = lba_onnx.convert(source, "M7E4b10")
    expected = {"node/qk": 2 * 16 * 8, "node/pv": 2 * 16 * 8}
    assert inferred(source) == inferred(converted) == expected == {entry.node: entry.macs for entry in report}
    assert count_macs(source, feeds) == count_macs(converted, feeds) == expected


def test_weights_of_few_bits_count_as_any_others() -> None:
    rng = np.random.default_rng(0)
    codes, scales = rng.integers(0, 256, (16, 2, 16), np.uint8), np.ones((16, 2), np.float32)
    attributes = {"K": 64, "N": 16, "bits": 4, "block_size": 32, "accuracy_level": 0}
    node = helper.make_node("MatMulNBits", ["a", "b", "s"], ["y"], "node", domain=MICROSOFT, **attributes)
    source = one_node(node, {"a": floats(3, 64)}, {"b": codes, "s": scales.reshape(-1)})
    converted, _ = lba_onnx.convert(source, "M7E4b10")
    for each in (source, converted):
        assert inferred(each) == count_macs(each, {"a": floats(3, 64)}) == {"node": 3 * 64 * 16}


def test_a_converted_model_has_the_macs_of_the_model() -> None:
    for source in (network(), function_model(), scan_model(3)):
        for portable in (False, True):
            converted, report = lba_onnx.convert(source, "M7E4b10", portable=portable)
            assert inferred(converted) == inferred(source) == {entry.node: entry.macs for entry in report}


def test_names_that_a_profile_does_not_escape_are_no_obstacle() -> None:
    source = network()
    for place, node in enumerate(source.graph.node):
        node.name = f'"{place}\\'
    assert list(count_macs(source, {"x": floats(1, 1, 8, 8)}).values()) == list(inferred(network()).values())


def test_weights_are_not_read(tmp_path) -> None:
    """A model with external data that is not there: list_candidates checks that it is, inference does not look."""
    source = network()
    onnx.save_model(source, tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
    assert inferred(tmp_path / "m.onnx") == inferred(source)
    assert count_macs(tmp_path / "m.onnx", {"x": floats(1, 1, 8, 8)}) == inferred(source)


def floats(*shape: int) -> np.ndarray:
    return np.full(shape, 0.5, np.float32)


class Reader:
    """What onnxruntime's quantizer calibrates on."""

    def __init__(self) -> None:
        self._feeds = iter([{"x": images(4)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)
