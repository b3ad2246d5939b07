"""Nodes of integers collect statistics, and show their sums to observers, before bias and scales."""

import numpy as np
import pytest
from integer_models import WINDOW, operator_case, run

import lba_onnx
from lba_onnx.data.batches import Batch
from lba_onnx.observation.collection import collecting_session
from lba_onnx.observation.observer import observing_session

OPERATORS = [
    "QLinearConv", "QLinearMatMul", "QGemm", "QGemm-float", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"
]  # fmt: skip


def batch_of(case) -> Batch:
    return Batch(case.feeds, 1, None, None, "the test")


def sums_of(case, op_type: str, spec: str) -> np.ndarray:
    points = [np.asarray(case.sums[name]).astype(int) for name in ("x_zero_point", "w_zero_point")]
    if "Conv" in op_type:
        names, product, window = ("x_zero_point", "w_zero_point"), lba_onnx.conv, dict(WINDOW)
    else:
        names, product, window = ("a_zero_point", "b_zero_point"), lba_onnx.matmul, {}
    return product(case.sums["x"], case.sums["w"], spec, **dict(zip(names, points, strict=True)), **window)


@pytest.mark.parametrize("op_type", OPERATORS)
def test_statistics_count_what_overflows_and_change_no_bit(op_type):
    case = operator_case(op_type, "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int12-saturate")
    with collecting_session(converted, sampled_fraction=1.0) as collecting:
        assert collecting.node_names == ("node",)
        found = collecting.session.run(None, case.feeds)[0]
        statistics = collecting.read_statistics()["node"]
    np.testing.assert_array_equal(found, run(converted, case.feeds))
    assert statistics.outputs == found.size
    assert sum(sum(level.events.values()) for level in statistics.levels) > 0


@pytest.mark.parametrize("op_type", OPERATORS)
def test_an_observer_sees_the_sums_and_what_it_writes_is_gone_on_with(op_type):
    case = operator_case(op_type, "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int12-wrap")
    seen = []

    def replace(call):
        assert (call.node, str(call.spec)) == ("node", "int12-wrap")
        seen.append(call.y.copy())
        exact = call.compute("int32-wrap")
        call.y[...] = exact

    with observing_session(converted, replace) as observing:
        found = observing.run(batch_of(case))[0]
    np.testing.assert_array_equal(seen[0].reshape(-1), sums_of(case, op_type, "int12-wrap").reshape(-1))
    np.testing.assert_array_equal(found, run(case.model, case.feeds))
