"""Observers see each execution of each node, can compute it again to the bit, and can replace its result."""

import itertools
import threading

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import (
    branching_model,
    function_model,
    images,
    loop_model,
    matmul_model,
    model,
    network,
    tensor,
)

import lba_onnx
from lba_onnx import AccumulatorSpec, ModelFile, Samples, convert
from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError, ModelError
from lba_onnx.observation.collection import collecting_session
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.model_writer import save_model

SPEC = AccumulatorSpec.parse("M5E4b8/M4E4b7,chunk=5")
OTHER = AccumulatorSpec.parse("M9E5b15/M8E5b14,chunk=3")
RANDOM = np.random.default_rng(0)


def batch(**feeds: np.ndarray) -> Batch:
    return Batch(feeds, 1, None, None, "the test")


def observe(source: onnx.ModelProto, observer, *batches: Batch, spec: AccumulatorSpec = SPEC) -> list[np.ndarray]:
    with observing_session(convert(source, spec)[0], observer) as observing:
        return [observing.run(each)[0] for each in batches]


def one_node(op_type: str, shapes: dict[str, tuple[int, ...]], dtype=np.float32, **attributes) -> tuple:
    """Return a model of one node with all operands as inputs, and a feed."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node(op_type, list(shapes), ["y"], "node", **attributes)
    inputs = [tensor(name, *shape, kind=kind) for name, shape in shapes.items()]
    arrays = [np.zeros(shape) for shape in shapes.values()]
    rank = np.matmul(*arrays).ndim if op_type == "MatMul" else arrays[0].ndim
    output = tensor("y", *[None] * rank, kind=kind)
    feed = batch(**{name: RANDOM.standard_normal(shape).astype(dtype) for name, shape in shapes.items()})
    return model([node], inputs, [output]), feed


MATMULS = {
    "plain": ("MatMul", {"a": (5, 33), "b": (33, 7)}, {}),
    "one matrix for a batch": ("MatMul", {"a": (2, 3, 5, 33), "b": (33, 7)}, {}),
    "a batch that broadcasts": ("MatMul", {"a": (4, 1, 5, 33), "b": (3, 33, 7)}, {}),
    "vectors": ("MatMul", {"a": (33,), "b": (2, 33, 7)}, {}),
    "gemm": ("Gemm", {"a": (5, 33), "b": (33, 7), "c": (7,)}, {"alpha": 0.5, "beta": 2.0}),
    "gemm of transposed operands": ("Gemm", {"a": (33, 5), "b": (7, 33), "c": (5, 1)}, {"transA": 1, "transB": 1}),
}
CONVS = {
    "1-D": ("Conv", {"x": (2, 3, 20), "w": (4, 3, 5)}, {"pads": [2, 1], "strides": [2]}),
    "2-D": ("Conv", {"x": (3, 4, 9, 11), "w": (6, 4, 3, 2), "b": (6,)}, {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    "dilated": ("Conv", {"x": (2, 2, 12, 13), "w": (3, 2, 3, 3)}, {"dilations": [2, 3], "pads": [3, 3, 3, 3]}),
    "grouped": ("Conv", {"x": (2, 6, 7, 8), "w": (8, 3, 3, 3)}, {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ("Conv", {"x": (2, 6, 9, 8), "w": (6, 1, 3, 3)}, {"group": 6, "strides": [2, 2], "pads": [1] * 4}),
    "3-D": ("Conv", {"x": (1, 2, 5, 6, 7), "w": (3, 2, 2, 3, 2)}, {"pads": [1, 1, 1, 0, 1, 0], "strides": [1, 2, 1]}),
    "pointwise": ("Conv", {"x": (3, 20, 6, 5), "w": (4, 20, 1, 1)}, {}),
}


@pytest.mark.parametrize("case", [*MATMULS, *CONVS])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_recomputation_and_samples_are_equal_to_the_bit(case, dtype):
    op_type, shapes, attributes = (MATMULS | CONVS)[case]
    source, feed = one_node(op_type, shapes, dtype, **attributes)
    expected = {}

    def observer(call):
        assert (call.node, call.spec) == ("node", SPEC)
        np.testing.assert_array_equal(call.compute(SPEC), call.y)
        expected[OTHER] = call.compute(OTHER)
        assert not np.array_equal(expected[OTHER], call.y)
        np.testing.assert_array_equal(call.compute(OTHER, threads=1), expected[OTHER])
        for products, position in itertools.product((1, call.products // 3, call.products), range(5)):
            part = call.sample(products, position)
            np.testing.assert_array_equal(part.compute(SPEC), part.y)
            columns = 1 if op_type == "Conv" else 2
            assert part.y.shape[columns] == call.y.shape[columns]
            assert set(part.y.ravel()) <= set(call.y.ravel())

    observe(source, observer, feed)
    assert expected


@pytest.mark.parametrize("case", ["plain", "a batch that broadcasts", "gemm of transposed operands"])
def test_observed_products_are_those_of_the_kernels(case):
    op_type, shapes, attributes = MATMULS[case]
    source, feed = one_node(op_type, shapes, **attributes)
    a, b = (feed.feeds[name].T if attributes else feed.feeds[name] for name in ("a", "b"))
    seen = []
    observe(source, lambda call: seen.append((call.y.copy(), call.depth, call.products)), feed)
    ((y, depth, products),) = seen
    expected = lba_onnx.matmul(np.ascontiguousarray(a), np.ascontiguousarray(b), SPEC)
    np.testing.assert_array_equal(y.reshape(expected.shape), expected)
    assert (depth, products) == (33, expected.size * 33)


def test_samples_of_all_positions_cover_a_matmul():
    source, feed = one_node("MatMul", {"a": (40, 9), "b": (9, 3)})
    rows = []

    def observer(call):
        for position in range(5):
            part = call.sample(8 * 3 * 9, position)
            assert part.y.shape == (1, 8, 3)
            rows.extend(map(tuple, part.y[0].tolist()))
        assert set(rows) == set(map(tuple, call.y[0].tolist()))

    observe(source, observer, feed)
    assert len(rows) == 40


def test_samples_of_a_convolution_are_bands_with_all_channels():
    source, feed = one_node("Conv", {"x": (2, 3, 64, 5), "w": (4, 3, 3, 3)}, pads=[1, 1, 1, 1])
    starts = set()

    def observer(call):
        assert call.y.shape == (2, 4, 1, 64, 5)
        for position in range(16):
            part = call.sample(call.products // 16, position)
            assert part.y.shape == (1, 4, 1, 8, 5)
            whole = call.y[position % 2]
            (start,) = (i for i in range(57) if np.array_equal(whole[:, :, i : i + 8], part.y[0]))
            starts.add(start)

    observe(source, observer, feed)
    assert len(starts) > 4


def test_samples_know_their_places_in_the_whole():
    source, feed = one_node("MatMul", {"a": (40, 9), "b": (9, 3)})

    def look(call):
        part = call.sample(4 * 3 * 9, 3)
        np.testing.assert_array_equal(part.y[0], call.y[0, part.args.first_row :: part.args.row_step])
        again = part.sample(2 * 3 * 9, 1)
        np.testing.assert_array_equal(again.y[0], call.y[0, again.args.first_row :: again.args.row_step])
        assert again.args.row_step > part.args.row_step > call.args.row_step == 1

    observe(source, look, feed)


@pytest.mark.parametrize("shape", [(1, 2, 20, 9), (1, 2, 9, 20), (1, 2, 20, 9, 5)], ids=["lines", "columns", "slices"])
def test_bands_know_their_places_in_the_whole(shape):
    source, feed = one_node("Conv", {"x": shape, "w": (4, 2, *(3 for _ in shape[2:]))})

    def look(call):
        part = call.sample(call.products // 4, 1)
        rows, columns = call.y.reshape(4, -1, call.y.shape[-1]), part.y.reshape(4, -1, part.y.shape[-1])
        first, column = part.args.first_row, part.args.first_column
        place = np.s_[:, first : first + columns.shape[1], column : column + columns.shape[2]]
        np.testing.assert_array_equal(columns, rows[place])
        assert (first > 0) != (column > 0)

    observe(source, look, feed)


def test_subgraphs_functions_and_loops_are_observed():
    x = np.random.default_rng(1).uniform(0.1, 1, (3, 2)).astype(np.float32)
    for source, feed, expected in (
        (branching_model(), x, ["then_matmul"]),
        (branching_model(), -x, ["else_matmul"]),
        (function_model(), x, ["inner_matmul", "inner_matmul"]),
        (loop_model(3), x[:1], ["loop_matmul"] * 3),
    ):
        seen = []

        def observer(call, seen=seen):
            seen.append(call.node)
            np.testing.assert_array_equal(call.compute(call.spec), call.y)

        observe(source, observer, batch(x=feed))
        assert seen == expected


def test_what_is_written_is_what_the_model_goes_on_with_before_the_bias():
    source, x = network(), images(2)

    def observer(call):
        call.y[...] = {"conv1": 0.5, "depthwise": 0.0, "classifier": 3.0}[call.node]

    (y,) = observe(source, observer, batch(x=x))
    bias = next(onnx.numpy_helper.to_array(t) for t in source.graph.initializer if t.name == "b3")
    np.testing.assert_array_equal(y, np.broadcast_to(np.float32(3) + bias, (2, 10)))


def test_the_scale_of_a_gemm_comes_after_the_observer():
    source, feed = one_node("Gemm", {"a": (2, 4), "b": (4, 3), "c": (3,)}, alpha=0.5, beta=2.0)
    (y,) = observe(source, lambda call: call.y.fill(8), feed)
    np.testing.assert_array_equal(y, np.broadcast_to(4 + 2 * feed.feeds["c"], (2, 3)))


def test_replacing_by_a_wider_computation_gives_the_wider_model():
    def observer(call):
        call.y[...] = call.compute(OTHER)

    (y,) = observe(network(), observer, batch(x=images(3)))
    expected = lba_onnx.make_session(convert(network(), OTHER)[0]).run(None, {"x": images(3)})[0]
    np.testing.assert_array_equal(y, expected)


def test_observation_changes_nothing():
    converted, _ = convert(network(), SPEC)
    before = converted.SerializeToString()
    with observing_session(converted, lambda call: None) as observing:
        (y,) = observing.run(batch(x=images(3)))
    np.testing.assert_array_equal(y, lba_onnx.make_session(converted).run(None, {"x": images(3)})[0])
    assert converted.SerializeToString() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt("stop"), RuntimeError("mine"), AssertionError("no")])
def test_what_the_observer_raises_is_raised(error):
    def observer(call):
        if call.node == "depthwise" and is_bad:
            raise error

    is_bad = True
    with observing_session(convert(network(), SPEC)[0], observer) as observing:
        with pytest.raises(type(error)) as raised:
            observing.run(batch(x=images(2)))
        assert raised.value is error
        is_bad = False
        assert observing.run(batch(x=images(2)))[0].shape == (2, 10)  # as if nothing had been


def test_errors_of_the_data_stay_what_they_are():
    with (
        observing_session(convert(network(), SPEC)[0], lambda call: None) as observing,
        pytest.raises(DataError, match="does not run on these data"),
    ):
        observing.run(batch(x=images(2)[:, :, :3]))


def test_a_session_that_is_used_after_the_end_fails_and_calls_nobody():
    seen = []
    with observing_session(convert(network(), SPEC)[0], lambda call: seen.append(call.node)) as observing:
        pass
    with pytest.raises(DataError, match="does not run on these data"):
        observing.run(batch(x=images(2)))
    assert seen == []


def test_two_sessions_call_their_own_observers():
    seen = {"a": [], "b": []}
    converted, _ = convert(matmul_model(np.eye(3, dtype=np.float32)), SPEC)
    x = batch(x=np.ones((2, 3), np.float32))
    with (
        observing_session(converted, lambda call: seen["a"].append(call.node)) as a,
        observing_session(converted, lambda call: seen["b"].append(call.node)) as b,
    ):
        a.run(x), b.run(x), a.run(x)
    assert [len(nodes) for nodes in seen.values()] == [2, 1]


def test_two_threads_run_one_session():
    seen = []

    def observer(call):
        assert np.array_equal(call.compute(call.spec, threads=1), call.y)
        seen.append(threading.get_ident())

    results = {}
    with observing_session(convert(network(), SPEC)[0], observer) as observing:

        def work(seed):
            results[seed] = [observing.run(batch(x=images(2, seed)))[0] for _ in range(10)]

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 2 * 10 * 3
    plain = lba_onnx.make_session(convert(network(), SPEC)[0])
    for seed, outputs in results.items():
        expected = plain.run(None, {"x": images(2, seed)})[0]
        assert all(np.array_equal(output, expected) for output in outputs)


def test_models_with_external_data_are_observed(tmp_path):
    path = tmp_path / "model.onnx"
    save_model(convert(network(), SPEC)[0], ModelFile(path, use_external_data_format=True))
    seen = []
    with observing_session(path, lambda call: seen.append(call.node)) as observing:
        for each in read_batches(Samples(images(3), batch_size=2), describe_inputs(observing.session)):
            observing.run(each, [])
    assert seen == ["conv1", "depthwise", "classifier"] * 2


def test_models_without_converted_nodes_are_refused():
    with (
        pytest.raises(ModelError, match="expected a converted model"),
        observing_session(network(), lambda call: None),
    ):
        pass


def test_nodes_of_any_name_are_seen():
    """The name is part of a C string: behind a NUL in it calibration found "did not run"."""
    name = "a\0b%00/c\x1b"
    source = matmul_model(np.eye(3, dtype=np.float32), name=name)
    seen = []
    observe(source, lambda call: seen.append(call.node), batch(x=np.ones((2, 3), np.float32)))
    assert seen == [name]
    calibration = lba_onnx.calibrate(source, {"x": np.ones((2, 3), np.float32)})
    assert calibration.nodes[name].range.outputs == 6


def test_threads_of_a_watched_session_sleep_where_they_have_no_part():
    converted = convert(network(), SPEC)[0]
    with observing_session(converted, lambda call: None) as observing, collecting_session(converted) as collecting:
        for session in (observing.session, collecting.session):
            assert session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") == "0"
