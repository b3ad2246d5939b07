"""Infinities and NaN in data: named by file, sample, input and index, before they set a range.

A user's 32 samples held one infinity. It did not count in the first layer, but every later layer was given a range of
2^65: all biases were useless, and nothing was said. NaN was refused, but which of 10,000 samples held it was not said.
"""

import numpy as np
import pytest
from onnx import helper
from small_models import matmul_model, model, tensor

from lba_onnx import Samples
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.calibration import calibrate
from lba_onnx.correction import correct
from lba_onnx.data.batches import read_batches
from lba_onnx.data.finite import finite_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import DataError
from lba_onnx.evaluation import evaluate
from lba_onnx.rewrite import convert

INPUTS = (ModelInput("x", "float32", (None, 2, 20)),)


def samples(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 2, 20)).astype(np.float32)


def check(data, inputs=INPUTS, **settings) -> None:
    for _ in finite_batches(read_batches(Samples(data, **settings), inputs)):
        pass


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_number_of_the_sample_and_index_in_it_are_named(tmp_path, value):
    x = samples()
    x[37, 0, 17] = value
    np.savez(tmp_path / "samples.npz", x=x)
    with pytest.raises(
        DataError, match=rf"samples\.npz, sample 37: expected finite numbers as x, got {value} at \[0, 17\]$"
    ):
        check(tmp_path / "samples.npz")


def test_number_over_all_data_is_named_beside_that_of_the_file(tmp_path):
    for index in range(2):
        x = samples(20)
        x[3, 1, 0] = np.inf if index else 0
        np.savez(tmp_path / f"part{index}.npz", x=x)
    with pytest.raises(DataError, match=r"part1\.npz, sample 3 \(23 of all\): expected finite numbers as x, got inf"):
        check(tmp_path)


def test_sample_of_a_feed_is_named():
    feeds = [{"x": samples(4)}, {"x": samples(4)}]
    feeds[1]["x"][2, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"feed 1, sample 2 \(6 of all\): .*at \[0, 0\]"):
        check(feeds)


def test_samples_given_one_by_one_and_filled_batches_are_numbered_alike():
    x = samples(6)
    x[5, 1, 1] = np.inf
    for inputs in ((ModelInput("x", "float32", (4, 2, 20)),), (ModelInput("x", "float32", (2, 20)),)):
        with pytest.raises(DataError, match=r"the mapping, sample 5: .*at \[1, 1\]"):
            check({"x": x}, inputs)


def test_float16_and_what_preprocess_returns_are_checked():
    half = samples().astype(np.float16)
    half[2, 0, 0] = np.inf
    with pytest.raises(DataError, match="sample 2: expected finite numbers as x, got inf"):
        check({"x": half}, (ModelInput("x", "float16", (None, 2, 20)),))

    def divide(arrays):
        with np.errstate(divide="ignore"):
            return {"x": np.float32(1) / arrays["x"]}

    x = samples()
    x[9, 1, 19] = 0
    with pytest.raises(
        DataError, match=r"divide returned what does not fit: the mapping, sample 9: .*inf at \[1, 19\]"
    ):
        list(read_batches(Samples({"x": x}, preprocess=divide), INPUTS))


def test_mask_of_zeros_and_minus_infinity_passes_and_nothing_else_like_it():
    inputs = (*INPUTS, ModelInput("mask", "float32", (None, 4, 4)))
    mask = np.where(np.tri(4, dtype=bool), np.float32(0), np.float32(-np.inf))[np.newaxis].repeat(40, axis=0)
    check({"x": samples(), "mask": mask}, inputs)
    for wrong in (mask + 1, -mask):
        with pytest.raises(DataError, match="expected finite numbers as mask"):
            check({"x": samples(), "mask": wrong}, inputs)


def test_integers_need_no_check():
    check({"x": np.full((3, 2, 20), 2**31 - 1, np.int32)}, (ModelInput("x", "int32", (None, 2, 20)),))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_calibration_and_correction_refuse_them(value):
    float_model = matmul_model(np.eye(4, dtype=np.float32))
    x = np.ones((20, 4), np.float32)
    x[18, 3] = value
    for run in (
        lambda: calibrate(float_model, x),
        lambda: correct(convert(float_model, AccumulatorSpec.parse("M7E4b10"))[0], x),
    ):
        with pytest.raises(
            DataError, match=rf"the array, sample 18: expected finite numbers as x, got {value} at \[3\]"
        ):
            run()


def test_a_model_with_an_additive_mask_calibrates():
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["weights"]),
        helper.make_node("MatMul", ["weights", "w"], ["y"], "matmul"),
    ]
    inputs = [tensor("x", "n", 4, 4), tensor("mask", 4, 4)]
    attention = model(nodes, inputs, [tensor("y", "n", 4, 4)], {"w": np.eye(4, dtype=np.float32)})
    x = np.random.default_rng(0).standard_normal((8, 4, 4)).astype(np.float32)
    data = {"x": x, "mask": np.where(np.tri(4, dtype=bool), np.float32(0), np.float32(-np.inf))}
    assert calibrate(attention, Samples(data, shared_inputs=["mask"])).samples == 8
    assert evaluate(attention, Samples(data, shared_inputs=["mask"])).samples == 8
