"""MatMul and Gemm behind a DequantizeLinear of blocks: the codes stay codes, and the bits stay those of floats."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from lowered_models import MICROSOFT, lowered
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from lba_onnx.rewrite import list_candidates, model_files
from lba_onnx.rewrite.folding import ChannelAffine, fold

SPEC = "M7E4b10"
WIDE = "M22E7b63"
TYPES = {
    "int4": (TensorProto.INT4, -8, 8),
    "uint4": (TensorProto.UINT4, 0, 16),
    "int8": (TensorProto.INT8, -128, 128),
    "uint8": (TensorProto.UINT8, 0, 256),
}


@dataclass(frozen=True, eq=False)
class Blocked:
    """A product behind a DequantizeLinear: `weights` are what the codes stand for, float32 [depth, columns]."""

    model: onnx.ModelProto
    a: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def run(self, model: onnx.ModelProto) -> NDArray[Any]:
        return lba_onnx.make_session(model).run(None, {"a": self.a})[0]


def blocked(
    codes_type: str = "int4",
    *,
    form: str = "MatMul",
    depth: int = 80,
    columns: int = 5,
    block_size: int = 32,
    has_zero_points: bool = False,
    rows: tuple[int, ...] = (3,),
    scales_type: type = np.float32,
    domain: str = "",
    **attributes: Any,
) -> Blocked:
    """Return a model; `form` is MatMul, Transpose (and a MatMul), Gemm or transB (of a Gemm)."""
    rng = np.random.default_rng(sum(map(ord, codes_type + form)) + depth)
    element_type, least, end = TYPES[codes_type]
    blocks = -(-depth // block_size)
    codes = rng.integers(least, end, (depth, columns))
    zero_points = rng.integers(least, end, (blocks, columns)) if has_zero_points else np.zeros((blocks, columns), int)
    scales = rng.uniform(-0.2, 0.2, (blocks, columns)).astype(scales_type)
    each = np.arange(depth) // block_size
    weights = (codes - zero_points[each]).astype(np.float32) * scales[each].astype(np.float32)
    a = rng.standard_normal((*rows, depth)).astype(np.float32)
    bias = rng.standard_normal(columns).astype(np.float32)
    is_transposed, is_gemm = form in ("Transpose", "transB"), form in ("Gemm", "transB")
    constants = {"codes": codes, "scales": scales, "zero_points": zero_points}
    constants = {name: np.ascontiguousarray(c.T) if is_transposed else c for name, c in constants.items()}
    nodes = [
        helper.make_node(
            "DequantizeLinear",
            list(constants)[: 3 if has_zero_points else 2],
            ["w"],
            axis=int(is_transposed),
            block_size=block_size,
            domain=domain,
        )
    ]
    if form == "Transpose":
        nodes.append(helper.make_node("Transpose", ["w"], ["w_t"], perm=[1, 0]))
    if is_gemm:
        nodes.append(
            helper.make_node("Gemm", ["a", "w", "c"], ["y"], name="proj", transB=int(is_transposed), **attributes)
        )
    else:
        nodes.append(helper.make_node("MatMul", ["a", nodes[-1].output[0]], ["y"], name="proj"))
    initializers = [
        helper.make_tensor(name, element_type, values.shape, values.reshape(-1))
        if name != "scales"
        else numpy_helper.from_array(values, name)
        for name, values in list(constants.items())[: 3 if has_zero_points else 2]
    ]
    if is_gemm:
        initializers.append(numpy_helper.from_array(bias, "c"))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(scales_type))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("a", kind, a.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        initializers,
    )
    opsets = [helper.make_opsetid("", 21), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return Blocked(helper.make_model(graph, opset_imports=opsets, ir_version=10), a, weights, bias)


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("has_zero_points", [False, True])
@pytest.mark.parametrize("form", ["MatMul", "Transpose", "Gemm", "transB"])
@pytest.mark.parametrize("codes_type", TYPES)
def test_bits_are_those_of_the_dequantized_weights(codes_type, form, has_zero_points):
    case = blocked(codes_type, form=form, has_zero_points=has_zero_points)
    converted, report = lba_onnx.convert(case.model, SPEC)
    is_gemm = form in ("Gemm", "transB")
    assert op_types(converted) == ["LbaMatMulNBits"] + ["Add"] * is_gemm
    product = lba_onnx.matmul(case.a, case.weights, SPEC)
    np.testing.assert_array_equal(case.run(converted), product + case.bias if is_gemm else product)
    assert [entry.op_type for entry in report.converted] == ["Gemm" if is_gemm else "MatMul"]


@pytest.mark.parametrize("codes_type", TYPES)
def test_bits_are_those_of_the_twin_behind_a_dequantizer(codes_type):
    case = blocked(codes_type, has_zero_points=True)
    twin = onnx.ModelProto()
    twin.CopyFrom(case.model)
    twin.graph.node[1].CopyFrom(
        helper.make_node("LbaMatMul", ["a", "w"], ["y"], domain="lba_onnx", accumulator="M7E4b12/M7E4b10")
    )
    twin.opset_import.add(domain="lba_onnx", version=1)
    np.testing.assert_array_equal(case.run(lba_onnx.convert(case.model, SPEC)[0]), case.run(twin))


@pytest.mark.parametrize(
    ("depth", "block_size", "rows"), [(16, 16, (1,)), (300, 256, (2,)), (40, 64, (2, 3)), (33, 16, ())]
)
@pytest.mark.parametrize("codes_type", ["int4", "uint8"])
def test_sizes_of_all_sorts(codes_type, depth, block_size, rows):
    case = blocked(codes_type, depth=depth, block_size=block_size, rows=rows, has_zero_points=True)
    converted, _ = lba_onnx.convert(case.model, SPEC)
    assert op_types(converted) == ["LbaMatMulNBits"]
    np.testing.assert_array_equal(case.run(converted), lba_onnx.matmul(case.a, case.weights, SPEC))


def test_a_wide_accumulator_gives_what_onnxruntime_gives():
    case = blocked(has_zero_points=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), options)
    (wanted,) = session.run(None, {"a": case.a})
    found = case.run(lba_onnx.convert(case.model, WIDE)[0])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2.0**-17 * np.abs(wanted).max())  # sums truncated


def test_weights_stay_packed_and_nothing_else_stays():
    converted, _ = lba_onnx.convert(blocked("uint4", depth=64).model, SPEC)
    held = {tensor.name: tuple(tensor.dims) for tensor in converted.graph.initializer}
    assert held == {"proj_codes": (5, 2, 16), "proj_scales": (5, 2), "proj_zero_points": (5, 1)}
    assert [imported.domain for imported in converted.opset_import] == ["", "lba_onnx"]
    assert converted.graph.node[0].name == "proj"


def test_middle_codes_need_no_zero_points():
    for case in (blocked("int4"), blocked("int8")):
        assert len(lba_onnx.convert(case.model, SPEC)[0].graph.node[0].input) == 3


@pytest.mark.parametrize(
    "case",
    [
        blocked(block_size=8),
        blocked(block_size=24),
        blocked(scales_type=np.float16),
        blocked(form="Gemm", alpha=0.5),
        blocked(form="Gemm", beta=2.0),
    ],
)
def test_what_has_no_such_form_is_converted_as_before(case):
    converted, _ = lba_onnx.convert(case.model, SPEC)
    assert op_types(converted) == ["DequantizeLinear", f"Lba{case.model.graph.node[1].op_type}"]


def test_blocks_along_the_columns_are_multiplied_as_floats():
    case = blocked("int8", form="Transpose", depth=32, columns=32, block_size=16)
    del case.model.graph.node[1]
    case.model.graph.node[1].input[1] = "w"
    assert op_types(lba_onnx.convert(case.model, SPEC)[0]) == ["DequantizeLinear", "LbaMatMul"]


def test_codes_that_are_fed_are_multiplied_as_floats():
    model = blocked("int8").model
    (codes,) = (tensor for tensor in model.graph.initializer if tensor.name == "codes")
    model.graph.input.append(helper.make_tensor_value_info("codes", codes.data_type, codes.dims))
    model.graph.initializer.remove(codes)
    assert op_types(lba_onnx.convert(model, SPEC)[0]) == ["DequantizeLinear", "LbaMatMul"]


def test_dequantizers_of_com_microsoft_are_read_too():
    case = blocked(domain=MICROSOFT)
    converted, _ = lba_onnx.convert(case.model, SPEC)
    np.testing.assert_array_equal(case.run(converted), lba_onnx.matmul(case.a, case.weights, SPEC))


def test_a_dequantizer_with_other_readers_stays():
    case = blocked()
    case.model.graph.node.append(helper.make_node("Relu", ["w"], ["positive"]))
    case.model.graph.output.append(helper.make_tensor_value_info("positive", TensorProto.FLOAT, None))
    converted, _ = lba_onnx.convert(case.model, SPEC)
    assert op_types(converted) == ["DequantizeLinear", "LbaMatMulNBits", "Relu"]
    y, positive = lba_onnx.make_session(converted).run(None, {"a": case.a})
    np.testing.assert_array_equal(y, lba_onnx.matmul(case.a, case.weights, SPEC))
    np.testing.assert_array_equal(positive, np.maximum(case.weights, 0))


def test_a_product_in_a_branch_takes_the_codes_outside():
    case = blocked(form="Transpose")
    inner = helper.make_graph(
        [case.model.graph.node.pop()], "then", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    for name in ("if", "other"):
        branch = onnx.GraphProto()
        branch.CopyFrom(inner)
        branch.node[0].name = name
        branch.node[0].output[0] = branch.output[0].name = f"{name}_y"
        case.model.graph.node.append(
            helper.make_node("If", ["yes"], ["y" if name == "if" else "z"], then_branch=branch, else_branch=branch)
        )
    case.model.graph.initializer.append(numpy_helper.from_array(np.asarray(True), "yes"))
    converted, report = lba_onnx.convert(case.model, SPEC)
    assert len(report.converted) == 4 and op_types(converted) == ["If", "If"]
    assert not {"codes", "scales"} & {tensor.name for tensor in converted.graph.initializer}
    np.testing.assert_array_equal(case.run(converted), lba_onnx.matmul(case.a, case.weights, SPEC))


def test_what_is_not_selected_stays_as_it_was():
    model = blocked(form="transB").model
    converted, report = lba_onnx.convert(model, SPEC, selection=lba_onnx.Selection(nodes_to_exclude=["proj"]))
    assert not report.converted and converted.graph == model.graph


def test_the_ledger_tells_the_operator_of_the_model():
    (entry,) = list_candidates(blocked().model)
    assert (entry.node, entry.op_type, entry.element_type, entry.reason) == ("proj", "MatMul", "float32", "")


def test_models_without_blocks_are_not_looked_at():
    case = blocked("int8", depth=32)
    for attribute in list(case.model.graph.node[0].attribute):
        case.model.graph.node[0].attribute.remove(attribute)
    assert not lowered(case.model)[1].origins


def test_a_portable_model_runs_without_the_library():
    case = blocked(has_zero_points=True)
    portable, _ = lba_onnx.convert(case.model, SPEC, portable=True)
    (found,) = onnxruntime.InferenceSession(portable.SerializeToString()).run(None, {"a": case.a})
    np.testing.assert_allclose(found, case.a @ case.weights, rtol=0, atol=2.0**-20 * np.abs(found).max())


def test_external_codes_are_read_beside_the_model(tmp_path):
    case = blocked("uint8", depth=256, columns=16, has_zero_points=True)
    path = tmp_path / "model.onnx"
    onnx.save_model(case.model, path, save_as_external_data=True, size_threshold=0)
    lba_onnx.convert(path, SPEC, model_output=tmp_path / "low.onnx")
    (found,) = lba_onnx.make_session(tmp_path / "low.onnx").run(None, {"a": case.a})
    np.testing.assert_array_equal(found, lba_onnx.matmul(case.a, case.weights, SPEC))


def test_corrections_fold_into_the_scales():
    case = blocked()
    converted, _ = lba_onnx.convert(case.model, SPEC)
    scale, offset = np.full(5, 2, np.float32), np.ones(5, np.float32)
    fold(converted, {"proj": ChannelAffine(scale, offset)})
    np.testing.assert_array_equal(case.run(converted), lba_onnx.matmul(case.a, 2 * case.weights, SPEC) + 1)


def test_a_model_is_calibrated_and_corrected():
    case = blocked(has_zero_points=True, rows=(4,))
    samples = {"a": np.random.default_rng(3).standard_normal((32, 80)).astype(np.float32)}
    case.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    calibration = lba_onnx.calibrate(case.model, samples, family="M4E4")
    converted, _ = lba_onnx.convert(case.model, calibration)
    assert op_types(converted) == ["LbaMatMulNBits"]
    corrected, told = lba_onnx.correct(converted, samples)
    assert told.gain > 0 and corrected.graph.initializer[0] == converted.graph.initializer[0]


def test_codes_beyond_what_one_file_holds_go_beside_the_model(tmp_path, monkeypatch):
    """The packed codes are new initializers: where there are more than protobuf takes, they become external data."""
    case = blocked("uint8", depth=256, columns=16)
    monkeypatch.setattr(model_files, "MAX_PROTOBUF_BYTES", (1 << 26) + 4096)
    lba_onnx.convert(case.model, SPEC, model_output=tmp_path / "low.onnx")
    assert len(list(tmp_path.glob("low.onnx.lba-*.data"))) == 1
    (found,) = lba_onnx.make_session(tmp_path / "low.onnx").run(None, {"a": case.a})
    np.testing.assert_array_equal(found, lba_onnx.matmul(case.a, case.weights, SPEC))
