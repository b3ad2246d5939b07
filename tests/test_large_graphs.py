"""Graphs of very many nodes take time in proportion: 5000 chained products took 40 seconds to list, 100,000 all day.

Each bound is many times what the step takes; what it guards against takes hundreds of times as long.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import OPSET, constant, tensor

import lba_onnx
from lba_onnx.errors import SelectionError
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.folding import ChannelAffine, find_scalable, fold
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.specs import change_specs, read_specs

SPEC = lba_onnx.AccumulatorSpec.parse("M7E4b10")
NODES = 5_000
SECONDS = 25  # of processor time


@contextmanager
def in_time() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS


def chain(count: int, element_type: int = TensorProto.FLOAT, own_weights: bool = False) -> onnx.ModelProto:
    """x times a matrix, `count` times over; one matrix for all, or one each."""
    matrix = np.eye(2, dtype=np.float32 if element_type == TensorProto.FLOAT else np.float64)
    names = [f"w{i}" if own_weights else "w" for i in range(count)]
    values = ["x", *(f"t{i}" for i in range(1, count)), "y"]
    nodes = [helper.make_node("MatMul", [values[i], names[i]], [values[i + 1]], f"mm_{i}") for i in range(count)]
    inputs, outputs = ([tensor(name, "n", 2, kind=element_type)] for name in "xy")
    weights = [constant(name, matrix) for name in dict.fromkeys(names)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, weights), opset_imports=OPSET, ir_version=8)


@pytest.mark.slow
@pytest.mark.parametrize("own_weights", [False, True])
def test_listing_converting_and_changing_specs_take_time_in_proportion(own_weights: bool):
    source = chain(NODES, own_weights=own_weights)
    with in_time():
        names = [entry.node for entry in list_candidates(source)]
    assert names == [f"mm_{i}" for i in range(NODES)]
    with in_time():
        converted, report = lba_onnx.convert(source, {name: str(SPEC) for name in names})
    assert len(report.converted) == NODES
    with in_time():
        changed = change_specs(converted, lambda name, spec: "M5E4b10")
    with in_time():
        assert set(map(str, read_specs(changed).values())) == {"M5E4b12/M5E4b10"}


@pytest.mark.slow
def test_selection_by_many_names_takes_time_in_proportion():
    source = chain(NODES)
    with in_time():
        _, report = lba_onnx.convert(
            source, SPEC, selection=lba_onnx.Selection(nodes_to_exclude=[f"mm_{i}" for i in range(0, NODES, 2)])
        )
    assert len(report.converted) == NODES // 2
    missing = f"mm_{NODES - 1}_"
    with (
        in_time(),
        pytest.raises(SelectionError, match=f"no node is called '{missing}'; the nearest names are 'mm_{NODES - 1}'"),
    ):
        lba_onnx.convert(source, {missing: SPEC})


@pytest.mark.slow
def test_casts_take_time_in_proportion():
    """Each Cast was put in after a search from the start of the graph, and named with one more underscore."""
    source = chain(NODES, TensorProto.DOUBLE)
    with in_time():
        converted, _ = lba_onnx.convert(source, SPEC)
    nodes = converted.graph.node
    assert [node.op_type for node in nodes[:4]] == ["Cast", "Cast", "LbaMatMul", "Cast"]
    assert len(nodes) == 4 * NODES
    onnx.checker.check_model(converted)


@pytest.mark.slow
@pytest.mark.parametrize("own_weights", [False, True])
def test_folding_takes_time_in_proportion(own_weights: bool):
    """Whether a weight is another node's, too, was found out by a walk over all nodes for each of them."""
    count = NODES // 2
    model = lba_onnx.convert(chain(count, own_weights=own_weights), SPEC)[0]
    affine = ChannelAffine(np.array([1, 2], np.float32), np.array([0, 1], np.float32))
    with in_time():
        nodes = find_scalable(model).nodes
        fold(model, dict.fromkeys(nodes, affine))
    types = [node.op_type for node in model.graph.node]
    assert types.count("Add") == count
    assert types.count("Mul") == (0 if own_weights else count)


def test_insertions_keep_their_places_and_the_nodes_that_were_there():
    graph = helper.make_graph([helper.make_node("Identity", [], [], name) for name in "abc"], "g", [], [])
    _, second, third = graph.node
    insertions = Insertions()
    insertions.before(
        second, graph, helper.make_node("Identity", [], [], "1"), helper.make_node("Identity", [], [], "2")
    )
    insertions.behind(second, graph, helper.make_node("Identity", [], [], "4"))
    insertions.behind(second, graph, helper.make_node("Identity", [], [], "3"))
    insertions.behind(third, graph, helper.make_node("Identity", [], [], "5"))
    insertions.apply()
    assert [node.name for node in graph.node] == ["a", "1", "2", "b", "3", "4", "c", "5"]
    second.name = "still the node in the graph"
    assert graph.node[3].name == second.name


def test_a_cycle_is_no_constant():
    """What follows from itself alone is refused by onnxruntime; looking for its source still has to end."""
    nodes = [
        helper.make_node("Identity", ["b"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("MatMul", ["x", "a"], ["y"], "product"),
    ]
    graph = helper.make_graph(nodes, "g", [tensor("x", 2, 2)], [tensor("y", 2, 2)])
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=8)
    assert [entry.weights for entry in list_candidates(model)] == ["dynamic"]
