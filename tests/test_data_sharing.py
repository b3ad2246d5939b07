"""Inputs without an axis of samples: named by the user, or guessed and said.

A model of attention takes a mask [T, T] beside its samples; another one a past state [2, 1, 64]. Given in an .npz with
32 samples, the mask was cut like samples, or refused because it had 8 entries and not 32.
"""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from small_models import model, tensor

import lba_onnx
from lba_onnx import Samples
from lba_onnx.calibration import calibrate
from lba_onnx.cli import main
from lba_onnx.data.batches import read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.finite import finite_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import hold_out, single_samples
from lba_onnx.errors import DataError
from lba_onnx.evaluation import compare, evaluate

X = ModelInput("x", "float32", (None, 8))


def rows(*shape: int) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


def masked_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "mask"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], "second"),
    ]
    inputs = [tensor("x", "n", "t"), tensor("mask", "t", "t")]
    return model(nodes, inputs, [tensor("y", "n", 4)], {"w": np.ones((8, 4), np.float32)})


@pytest.mark.parametrize("count", [3, 8, 20])
@pytest.mark.parametrize("mask", [(None, None), (8, 8)])
def test_named_input_is_whole_in_every_feed_whatever_its_length(count, mask, caplog):
    inputs = (X, ModelInput("mask", "float32", mask))
    batches = list(
        read_batches(Samples({"x": rows(count, 8), "mask": rows(8, 8)}, shared_inputs=["mask"], batch_size=4), inputs)
    )
    assert sum(batch.samples for batch in batches) == count and not caplog.records
    for batch in batches:
        np.testing.assert_array_equal(batch.feeds["mask"], rows(8, 8))
    np.testing.assert_array_equal(np.concatenate([batch.feeds["x"] for batch in batches]), rows(count, 8))


@pytest.mark.parametrize(
    ("inputs", "arrays", "reason"),
    [
        (  # the axis of the mask is one inside the samples, even where its length is that of the samples
            (
                ModelInput("x", "float32", (None, None), ("n", "t")),
                ModelInput("m", "float32", (None, None), ("t", "t")),
            ),
            {"x": rows(8, 8), "m": rows(8, 8)},
            "'t', its first axis, is one inside the samples",
        ),
        (
            (X, ModelInput("m", "float32", (2, 1, 64))),
            {"x": rows(32, 8), "m": rows(2, 1, 64)},
            "the model fixes its shape",
        ),
        ((X, ModelInput("m", "float32", (None, 5))), {"x": rows(32, 8), "m": rows(1, 5)}, "x hold 32 entries"),
        (
            (X, ModelInput("z", "float32", (None,)), ModelInput("m", "float32", (None, None))),
            {"x": rows(32, 8), "z": rows(32), "m": rows(5, 5)},
            "x, z hold 32 entries",
        ),
        (
            (ModelInput("x", "float32", (1, 8)), ModelInput("m", "float32", (5, 5))),
            {"x": rows(32, 8), "m": rows(5, 5)},
            "x hold 32 entries",
        ),
        (
            (ModelInput("x", "float32", (3, 8)), ModelInput("m", "float32", (5, 5))),
            {"x": rows(32, 3, 8), "m": rows(5, 5)},
            "it has the model's shape, and x one axis more",
        ),
    ],
)
def test_guess_is_said_once_with_its_reason(inputs, arrays, reason, caplog):
    batches = list(read_batches(Samples(arrays, batch_size=4), inputs))
    assert sum(batch.samples for batch in batches) == len(arrays["x"])
    for batch in batches:
        np.testing.assert_array_equal(batch.feeds["m"], arrays["m"])
    (record,) = caplog.records
    assert f"m: the same {list(arrays['m'].shape)} for every sample" in record.getMessage()
    assert reason in record.getMessage() and "shared_inputs" in record.getMessage()


def test_lengths_that_tell_nothing_are_refused_with_a_hint():
    inputs = (X, ModelInput("m", "float32", (None, 8)))
    with pytest.raises(
        DataError, match="expected as many .* got m 5, x 32; what is the same .* named by shared_inputs"
    ):
        list(read_batches(Samples({"x": rows(32, 8), "m": rows(5, 8)}), inputs))


def test_inputs_of_samples_are_not_guessed_away(caplog):
    exported = (
        ModelInput("ids", "int64", (None, None), ("a", "b")),
        ModelInput("mask", "int64", (None, None), ("c", "d")),
    )
    data = {"ids": np.ones((9, 5), np.int64), "mask": np.ones((9, 5), np.int64)}
    (batch,) = read_batches(Samples(data), exported)
    assert batch.shared == frozenset() and batch.samples == 9 and not caplog.records


@pytest.mark.parametrize(
    ("shared", "error", "message"),
    [
        (["nothing"], ValueError, "expected shared_inputs out of the model's inputs, x, mask, got 'nothing'"),
        ("mask", TypeError, "expected shared_inputs as a sequence of names, got 'mask'"),
    ],
)
def test_names_that_cannot_be_are_refused(shared, error, message):
    inputs = (X, ModelInput("mask", "float32", (8, 8)))
    with pytest.raises(error, match=message):
        list(read_batches(Samples({"x": rows(20, 8), "mask": rows(8, 8)}, shared_inputs=shared), inputs))


def test_named_input_of_another_shape_is_refused():
    inputs = (X, ModelInput("mask", "float32", (8, 8)))
    with pytest.raises(
        DataError, match=r"expected mask: float32 \[8, 8\], the same for every sample, got float32 \[20, 8, 8\]"
    ):
        list(read_batches(Samples({"x": rows(20, 8), "mask": rows(20, 8, 8)}, shared_inputs=["mask"]), inputs))


def test_samples_are_kept_apart_without_cutting_the_shared_input():
    inputs = (X, ModelInput("mask", "float32", (None, None)))
    read = read_batches(
        Samples({"x": rows(16, 8), "mask": rows(16, 16)}, shared_inputs=["mask"], batch_size=16), inputs
    )
    held = hold_out(read, inputs)
    parts = [*held, *held.kept]
    assert sorted(int(v) // 8 for batch in parts for v in batch.feeds["x"][:, 0]) == list(range(16))
    assert all(batch.feeds["mask"].shape == (16, 16) for batch in parts)
    assert all(batch.feeds["mask"].shape == (16, 16) for part in parts for batch in single_samples(part, inputs))


def test_max_samples_shortens_samples_alone():
    inputs = (X, ModelInput("mask", "float32", (None, None)))
    data = {"x": rows(6, 8), "mask": rows(6, 6)}
    (batch,) = read_batches(Samples(data, max_samples=4, shared_inputs=["mask"]), inputs)
    assert batch.feeds["x"].shape == (4, 8) and batch.feeds["mask"].shape == (6, 6)
    assert sample_count(Samples(data, max_samples=4, shared_inputs=["mask"])) == 4


def test_shared_input_of_feeds_and_of_preprocess():
    inputs = (X, ModelInput("mask", "float32", (None, None)))
    feeds = [{"x": rows(4, 8), "mask": rows(4, 4)}] * 3
    batches = list(read_batches(Samples(feeds, shared_inputs=["mask"]), inputs))
    assert [(batch.samples, batch.shared) for batch in batches] == [(4, frozenset({"mask"}))] * 3
    seen = []

    def preprocess(arrays):
        seen.append(arrays["raw_mask"].shape)
        return {"x": arrays["pixels"] / 2, "mask": arrays["raw_mask"]}

    data = {"pixels": rows(20, 8), "raw_mask": rows(5, 5), "scale": np.float32(3)}
    read = read_batches(Samples(data, preprocess=preprocess, shared_inputs=["raw_mask", "mask"], batch_size=8), inputs)
    assert [batch.samples for batch in read] == [8, 8, 4] and set(seen) == {(5, 5)}


def test_infinity_in_a_shared_input_is_named_by_its_own_index():
    inputs = (X, ModelInput("mask", "float32", (8, 8)))
    mask = rows(8, 8)
    mask[1, 7] = np.inf
    with pytest.raises(DataError, match=r"expected finite numbers as mask, got inf at \[1, 7\]"):
        list(finite_batches(read_batches(Samples({"x": rows(8, 8), "mask": mask}, shared_inputs=["mask"]), inputs)))


def test_every_function_and_command_takes_it(tmp_path, monkeypatch):
    onnx.save(masked_model(), tmp_path / "m.onnx")
    data = {
        "x": np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32),
        "mask": np.tri(8, dtype=np.float32),
    }
    np.savez(tmp_path / "d.npz", **data)
    samples = Samples(data, shared_inputs=["mask"])
    specs = calibrate(masked_model(), samples).specs
    converted = lba_onnx.convert(masked_model(), specs)[0]
    assert compare(masked_model(), converted, samples).samples == 20
    assert evaluate(masked_model(), samples).samples == 20
    assert lba_onnx.sweep(masked_model(), samples, biases=[10]).samples == 20
    onnx.save(converted, tmp_path / "c.onnx")
    commands = [
        ["calibrate", "-i", "m.onnx", "-o", "b.json", "--calibration_data_path"],
        ["convert", "-i", "m.onnx", "-o", "o.onnx", "--calibration_data_path"],
        ["evaluate", "-i", "m.onnx", "--data_path"],
        ["compare", "--reference_path", "m.onnx", "--candidate_path", "c.onnx", "--data_path"],
        ["debug", "-i", "c.onnx", "--data_path"],
        ["sweep", "-i", "m.onnx", "-o", "s.json", "--biases", "10", "--data_path"],
    ]
    monkeypatch.chdir(tmp_path)
    for command in commands:
        result = CliRunner().invoke(main, [*command, "d.npz", "--shared_inputs", "mask"])
        assert result.exit_code == 0, (command[0], result.output)
        assert "the same" not in result.stderr
