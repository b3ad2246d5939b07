"""Integer models through the rest of the package: what works on them, and what refuses them in one clear error."""

import numpy as np
import pytest
from click.testing import CliRunner
from integer_models import operator_case, run

import lba_onnx
from lba_onnx import Samples, compare, convert, evaluate
from lba_onnx.cli import main
from lba_onnx.errors import ModelError


@pytest.fixture(scope="module")
def case():
    return operator_case("QLinearMatMul", "uint8", "int8")


def test_correct_refuses_products_of_integers(case):
    converted = convert(case.model, "int12-wrap")[0]
    with pytest.raises(
        ModelError, match="expected products of floats to correct, got 'node', which multiplies integers"
    ):
        lba_onnx.correct(converted, case.feeds)


def test_conversion_with_data_chooses_bits_and_corrects_nothing(case):
    data = {name: np.repeat(values, 4, axis=0) for name, values in case.feeds.items()}
    converted = lba_onnx.convert_with_data(case.model, data, "int-wrap")
    assert converted.correction is None and converted.calibration.family == "int-wrap"
    np.testing.assert_array_equal(
        run(converted.model, case.feeds), run(convert(case.model, "int32-wrap")[0], case.feeds)
    )
    assert converted.next_step == ""


def test_codes_compare_and_evaluate(case):
    wide, narrow = (convert(case.model, text)[0] for text in ("int32-wrap", "int12-wrap"))
    same, other = (compare(wide, model, Samples(case.feeds)) for model in (wide, narrow))
    assert same.outputs[0].sqnr_db == np.inf and other.outputs[0].sqnr_db < 20
    assert same.outputs[0].max_abs_difference == 0 < other.outputs[0].max_abs_difference
    values = evaluate(narrow, Samples(case.feeds)).outputs[0]
    codes = run(narrow, case.feeds)
    assert (values.smallest, values.largest, values.values) == (codes.min(), codes.max(), codes.size)


def test_command_tells_the_bits(case, tmp_path):
    convert(case.model, "int14-wrap", model_output=tmp_path / "lba.onnx")
    np.savez(tmp_path / "samples.npz", **case.feeds)
    command = f"debug -i {tmp_path}/lba.onnx --data_path {tmp_path}/samples.npz --quiet --promote_until cosine>=0.9999"
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 0, result.output
    assert "bits that sums have, and that so many of them need" in result.output
    assert "sums need" in result.output and "holds with these layers in 32-bit integers: node" in result.output


def test_transform_leaves_integer_models_as_they_are(case):
    transformed, report = lba_onnx.transform(case.model, Samples(case.feeds))
    assert not report.done and transformed.graph == case.model.graph


@pytest.mark.torch
def test_pytorch_refuses_integers():
    torch = pytest.importorskip("torch")
    import lba_onnx.torch as lba_torch

    model, ones = torch.nn.Sequential(torch.nn.Linear(4, 3)), torch.ones(2, 4)
    converted = torch.nn.Sequential(torch.nn.Linear(4, 3))
    lba_torch.quantize_(converted, lba_torch.LbaConfig("M7E4b10"))
    problem = "expected an accumulator of float32, got int16-wrap, of uint8 and int8"
    for refuses in (
        lambda: lba_torch.LbaConfig("int16-wrap"),
        lambda: lba_torch.set_specs_(converted, "int16-wrap"),
        lambda: lba_torch.lba_linear(ones, model[0].weight, spec="int16-wrap"),
    ):
        with pytest.raises(ValueError, match=problem):
            refuses()
    with pytest.raises(ValueError, match="expected a family of floats, which PyTorch models multiply, got int-wrap"):
        lba_torch.calibrate(model, [ones], "int-wrap")
