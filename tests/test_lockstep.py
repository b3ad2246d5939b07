"""Runs side by side: each product is visited once with all samples, whatever way the runs take, and all runs end."""

import threading

import numpy as np
import pytest
from small_models import branching_model, images, loop_model, network

import lba_onnx
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError
from lba_onnx.observation.lockstep import run_in_lockstep
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.model_files import OpenModel

CPU = ("CPUExecutionProvider",)


def opened(proto, spec="M4E5b16") -> OpenModel:
    return OpenModel(lba_onnx.convert(proto, spec)[0], None)


def batches_of(model: OpenModel, data: np.ndarray, batch_size: int = 4):
    inputs = describe_inputs(lba_onnx.make_session(model.proto))
    return list(read_batches(lba_onnx.Samples(data, batch_size=batch_size), inputs))


def visits(model, batches) -> list[tuple[str, list[bool]]]:
    seen = []

    def visit(key, calls):
        seen.append((key, [call is not None for call in calls]))
        fill(calls)

    run_in_lockstep(model, batches, visit, CPU)
    return seen


def fill(calls) -> None:
    for call in calls:
        if call is not None:
            call.fill()


def test_each_product_is_visited_once_with_all_batches():
    low = opened(network())
    seen = visits(low, batches_of(low, images(10)))
    assert seen == [(name, [True] * 3) for name in ("conv1", "depthwise", "classifier")]


def test_what_a_visitor_writes_is_what_the_runs_go_on_with():
    low = opened(network())
    met = {}

    def visit(key, calls):
        fill(calls)
        met[key] = np.concatenate([call.y.ravel() for call in calls])
        for call in calls:
            call.y[...] = 0

    run_in_lockstep(low, batches_of(low, images(10)), visit, CPU)
    assert met["conv1"].any()
    bias = {t.name: t for t in low.proto.graph.initializer}["b1"]
    assert np.isfinite(met["depthwise"]).all() and bias.dims == [8]
    assert len(np.unique(met["depthwise"])) <= 8 * 9  # of biases alone: a value a channel and kind of border


def test_calls_that_are_filled_are_those_of_the_model():
    low, filled, computed = opened(network()), {}, {}

    def visit(key, calls):
        for call in calls:
            call.y[...] = np.nan
        fill(calls)
        filled[key] = [call.y.copy() for call in calls]

    batches = batches_of(low, images(10))
    run_in_lockstep(low, batches, visit, CPU)
    with observing_session(low, lambda call: computed.setdefault(call.node, []).append(call.y.copy()), CPU) as session:
        for batch in batches:
            session.run(batch)
    assert filled.keys() == computed.keys()
    for name, calls in filled.items():
        for call, expected in zip(calls, computed[name], strict=True):
            np.testing.assert_array_equal(call, expected)


def test_runs_that_take_different_ways_are_visited_where_they_are():
    low = opened(branching_model())
    x = np.array([[1, 2], [-1, -2], [3, 4]], np.float32)
    assert sorted(visits(low, batches_of(low, x, batch_size=1))) == [
        ("else_matmul", [False, True, False]),
        ("then_matmul", [True, False, True]),
    ]


def test_a_product_in_a_loop_is_visited_each_time():
    low = opened(loop_model(3))
    x = np.ones((2, 2), np.float32)
    assert visits(low, batches_of(low, x, batch_size=1)) == [("loop_matmul", [True, True])] * 3


def test_what_a_visitor_raises_ends_all_runs():
    low = opened(network())

    def visit(key, calls):
        if key == "depthwise":
            raise KeyboardInterrupt
        fill(calls)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_in_lockstep(low, batches_of(low, images(10)), visit, CPU)
    assert threading.active_count() == before


def test_a_batch_that_does_not_run_is_named():
    low = opened(network())
    good, bad = batches_of(low, images(8))
    bad.feeds["x"] = np.zeros((4, 2, 8, 8), np.float32)
    before = threading.active_count()
    with pytest.raises(DataError, match="does not run on these data"):
        run_in_lockstep(low, [good, bad], lambda key, calls: fill(calls), CPU)
    assert threading.active_count() == before
