"""ONNX's backend cases of Attention: with a wide accumulator they give what the standard expects."""

import numpy as np
import onnx
import pytest
from test_convert_onnx_backend import cases, data_of, model_of

from lba_onnx.rewrite import convert
from lba_onnx.session import make_session

BOUND = {np.dtype("float32"): 1e-5, np.dtype("float16"): 4e-3}
"""Operands lie below 1 and depths are at most 24, so that float32's rounding is far below 1e-5; float16's is 2^-11 of
scores, of probabilities, which the standard's reference rounds, and of results of up to 2."""
FEW = 40
NOT_FED = ("bf16", "float64")
"""Tests whose inputs onnxruntime does not take from NumPy, or has no kernel of."""


def attention_cases() -> list[str]:
    found = [name for name in cases() if name.startswith("attention_") and not name.endswith("expanded")]
    return sorted(name for name in found if not name.endswith(NOT_FED))


def test_backend_cases_give_what_the_standard_expects():
    checked = 0
    for name in attention_cases():
        model, report = convert(model_of(cases()[name]), "M22E7b63")
        if not report.converted:
            assert {entry.reason for entry in report.left} == {"has a softmax of float64; its twin's is of float32"}, (
                name
            )
            continue
        for inputs, outputs in data_of(cases()[name]):
            check(name, model, inputs, outputs)
        checked += 1
    if not checked:
        pytest.skip(f"onnx {onnx.__version__} has no cases of Attention")
    assert checked >= FEW


def check(name: str, model: onnx.ModelProto, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
    session = make_session(model.SerializeToString())
    found = session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs, strict=True)))
    for ours, expected in zip(found, outputs, strict=True):
        assert ours.dtype == expected.dtype and ours.shape == expected.shape, name
        kept = np.isfinite(expected)
        np.testing.assert_array_equal(ours[~kept], expected[~kept], err_msg=name)
        assert np.abs(ours[kept].astype(np.float64) - expected[kept]).max(initial=0) <= BOUND[ours.dtype], name
