"""Models whose inputs are no tensors: feeds reach onnxruntime as they are.

A detector took a sequence of boxes. Calibrating it ended in "expected a tensor, got seq(tensor(float))", whatever was
given.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import tensor

import lba_onnx
from lba_onnx import Samples
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.calibration import calibrate
from lba_onnx.correction import correct
from lba_onnx.data.batches import read_batches
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import DataError
from lba_onnx.evaluation import compare


def sequence_model() -> onnx.ModelProto:
    """y = (the arrays of a sequence, one below the other, + x) @ w."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["rows", 4]))
    nodes = [
        helper.make_node("ConcatFromSequence", ["boxes"], ["all"], axis=0),
        helper.make_node("Add", ["all", "x"], ["moved"]),
        helper.make_node("MatMul", ["moved", "w"], ["y"], "matmul"),
    ]
    weights = [onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")]
    inputs = [helper.make_value_info("boxes", kind), tensor("x", 1, 4)]
    graph = helper.make_graph(nodes, "boxes", inputs, [tensor("y", "all_rows", 4)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feeds(count: int = 12):
    random = np.random.default_rng(0)
    for index in range(count):
        boxes = [random.standard_normal((1 + k, 4)).astype(np.float32) for k in range(1 + index % 3)]
        yield {"boxes": boxes, "x": random.standard_normal((1, 4)).astype(np.float32)}


class Reader:
    def __init__(self):
        self._feeds = feeds()

    def get_next(self):
        return next(self._feeds, None)


@pytest.mark.parametrize("method", ["max", "mse", "zero_shot"])
def test_callable_reader_and_list_calibrate_alike(method):
    expected = calibrate(sequence_model(), list(feeds()), method=method)
    assert expected.samples == 12 and expected.nodes["matmul"].range.outputs > 0
    for data in (feeds, Reader):
        assert calibrate(sequence_model(), data, method=method) == expected
    assert calibrate(sequence_model(), Reader(), method=method) == expected


def test_conversion_correction_and_comparison_take_them():
    converted, _ = lba_onnx.convert(sequence_model(), AccumulatorSpec.parse("M7E4b10"))
    _, report = correct(converted, feeds)
    assert report.samples + report.held_out_samples == 12
    assert compare(sequence_model(), converted, feeds).samples == 12


def test_infinity_inside_a_sequence_is_named():
    data = list(feeds())
    data[7]["boxes"][1][0, 2] = np.inf
    with pytest.raises(DataError, match=r"feed 7.*: expected finite numbers as boxes\[1\], got inf at \[0, 2\]"):
        calibrate(sequence_model(), data)


@pytest.mark.parametrize("data", [{"boxes": np.ones((3, 4)), "x": np.ones((3, 4))}, np.ones((3, 4), np.float32)])
def test_arrays_are_refused_with_what_to_give(data):
    with pytest.raises(
        DataError, match=r"for the input boxes: seq\(tensor\(float\)\), a function or a reader that gives feeds"
    ):
        calibrate(sequence_model(), data)


def test_values_that_onnxruntime_does_not_take_end_in_one_error():
    with pytest.raises(DataError, match="feed 0: the model does not run on these data"):
        calibrate(sequence_model(), [{"boxes": "no", "x": np.ones((1, 4), np.float32)}])


def test_hash_tells_structures_apart():
    def digest(value):
        (batch,) = read_batches(Samples([{"boxes": value}]), (ModelInput("boxes", None, None, kind="seq"),))
        data_hash = DataHash()
        data_hash.update(batch)
        return data_hash.hexdigest()

    one, two = np.ones((1, 4), np.float32), np.ones((2, 4), np.float32)
    values = [[one, two], [two, one], [one], [], None, [np.ones((3, 4), np.float32)], [one.astype(np.float64), two]]
    assert len({digest(value) for value in values}) == len(values)


def test_function_is_called_anew_each_time_and_may_return_any_form():
    calls = []

    def data():
        calls.append(1)
        return np.ones((5, 3), np.float32)

    inputs = (ModelInput("x", "float32", (None, 3)),)
    for _ in range(2):
        assert sum(batch.samples for batch in read_batches(Samples(data), inputs)) == 5
    assert len(calls) == 2
    with pytest.raises(DataError, match="got another function"):
        list(read_batches(Samples(lambda: data), inputs))
