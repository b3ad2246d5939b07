"""What layers give in the float32 model is kept for the rows that correct them, and for no longer than it is needed."""

import tempfile

import numpy as np
from small_models import branching_model, images, network

import lba_onnx
from lba_onnx.correction import rows
from lba_onnx.correction.rows import Rows
from lba_onnx.correction.targets import float32_targets
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.native.observed_layer import layer_of
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.folding import find_scalable
from lba_onnx.rewrite.model_files import OpenModel

CPU = ("CPUExecutionProvider",)


def prepared(proto, data, batch_size):
    model = OpenModel(lba_onnx.convert(proto, "M22E7b63/M22E7b63")[0], None)
    inputs = describe_inputs(lba_onnx.make_session(model.proto))
    batches = list(read_batches(lba_onnx.Samples(data, batch_size=batch_size), inputs))
    return model, find_scalable(model.proto).nodes, batches


def test_targets_are_the_outputs_of_the_rows_and_go_with_the_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(rows, "MAX_ROWS", 100)  # MIN_ROWS are never more
    model, nodes, batches = prepared(network(), images(10), 4)
    drawn = Rows(batches)
    expected = {}

    def keep(call):
        layer = layer_of(call, nodes[call.node].operand)
        chosen = drawn.of(call.node, number, layer)
        assert (np.diff(chosen) > 0).all() and len(chosen) == min(layer.row_count, -(-100 * len(call.y) // 10))
        expected[call.node, number] = layer.outputs(chosen)

    with observing_session(model, keep) as observing:
        for number, batch in enumerate(batches):  # noqa: B007
            observing.run(batch)
    with float32_targets(model, nodes, batches, CPU) as targets:
        assert list(tmp_path.iterdir())
        for key, values in expected.items():
            bound = 1e-4 * np.abs(values).max()  # the wide accumulator truncates, BLAS rounds
            np.testing.assert_allclose(targets[key], values, rtol=0, atol=bound)
    assert not list(tmp_path.iterdir())


def test_a_batch_that_takes_another_way_has_none():
    x = np.array([[1, 2], [-1, -2]], np.float32)
    model, nodes, batches = prepared(branching_model(), x, 1)
    with float32_targets(model, nodes, batches, CPU) as targets:
        found = {(name, number) for name in nodes for number in range(2) if (name, number) in targets}
    assert found == {("then_matmul", 0), ("else_matmul", 1)}
