"""Random models, converted with random specs: onnxruntime gives the bits of the reference evaluator."""

import numpy as np
import onnx
import onnx.inliner
import pytest
from onnx.reference import ReferenceEvaluator
from random_graphs import RandomGraph, RandomModel, random_spec
from rewrite_models import SPEC

import lba_onnx.reference
from lba_onnx import operators, ops
from lba_onnx.rewrite import convert, converted_nodes, list_candidates
from lba_onnx.session import make_session

SEEDS = range(60)
TWINS = [ops.LbaMatMul, ops.LbaGemm, ops.LbaConv]


def run_reference(model: onnx.ModelProto, sample: RandomModel) -> np.ndarray:
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.functions[:]
    plain.functions.extend(f for f in model.functions if f.domain != operators.DOMAIN)  # the bodies of a portable model
    inlined = onnx.inliner.inline_local_functions(plain)  # the evaluator knows no new operators inside functions
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(inlined, new_ops=TWINS).run(None, sample.inputs)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_model_gives_the_reference_bits(seed: int):
    sample = RandomGraph(seed).build()
    generator = np.random.default_rng(seed)
    specs = {entry.node: random_spec(generator) for entry in list_candidates(sample.model)}
    model, report = convert(sample.model, specs, portable=seed % 4 == 0)
    assert len(report.converted) == len(report) == sample.convertible, f"seed {seed}"
    assert all(entry.element_type == sample.inputs["x"].dtype.name for entry in report), f"seed {seed}"
    onnx.checker.check_model(model)
    got = make_session(model).run(None, sample.inputs)[0]
    np.testing.assert_array_equal(got, run_reference(model, sample), err_msg=f"seed {seed}")


@pytest.mark.parametrize("seed", SEEDS)
def test_random_model_keeps_all_but_its_nodes(seed: int):
    sample = RandomGraph(seed).build()
    model, _ = convert(sample.model, SPEC)
    assert model.graph.input == sample.model.graph.input
    assert model.graph.output == sample.model.graph.output
    assert model.graph.initializer == sample.model.graph.initializer
    assert [n.output for n in model.graph.node] == [n.output for n in sample.model.graph.node]
    assert [f.output for f in model.functions] == [f.output for f in sample.model.functions]
    assert convert(model, SPEC)[0].graph == model.graph


def test_the_generator_covers_what_it_should():
    op_types, locations, weights, element_types = set(), set(), set(), set()
    for seed in SEEDS:
        for entry in list_candidates(RandomGraph(seed).build().model):
            op_types.add(entry.op_type)
            locations.add(entry.location.split("/")[-1].split(":")[-1].split("_")[0])
            weights.add(entry.weights.split("'")[0].strip())
            element_types.add(entry.element_type)
    assert op_types == {"MatMul", "Gemm", "Conv"}
    assert locations == {"main", "then", "else", "body", "Block"}
    assert weights == {"initializer", "outer-scope initializer", "Constant node", "derived from constants", "dynamic"}
    assert element_types == {"float32", "float16"}


@pytest.mark.parametrize("seed", range(8))
def test_single_product_gives_the_bits_of_the_definition(seed: int):
    generator = np.random.default_rng(seed)
    spec = random_spec(generator)
    left, right = (generator.standard_normal(shape).astype(np.float32) for shape in ((3, 37), (37, 5)))
    node = onnx.helper.make_node("MatMul", ["a", "b"], ["y"], name="product")
    values = [onnx.helper.make_tensor_value_info(name, 1, [None, None]) for name in "aby"]
    graph = onnx.helper.make_graph([node], "product", values[:2], values[2:])
    source = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    model, _ = convert(source, spec)
    assert [name for name, _ in converted_nodes(model)] == ["product"]
    (got,) = make_session(model).run(None, {"a": left, "b": right})
    np.testing.assert_array_equal(got, lba_onnx.reference.matmul(left, right, spec), err_msg=f"{spec}")
