"""The int8 models: every form that onnxruntime's quantizer writes of the demo, and those that packages ship."""

from collections import Counter
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from processor import flags, has_vnni

import lba_onnx
from lba_onnx.session import make_session
from models import zoo
from models.bge_small import recipe as bge_small
from models.bge_small.probe import fit_probe
from models.fetch import FetchError
from models.int8 import zoo as int8
from models.int8.static import FORMS
from models.int8.unquantized import unquantize


def counts(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@cache
def loaded(name: str) -> int8.Int8Model:
    pytest.importorskip("PIL")
    try:
        return int8.load(name, int8.DYNAMIC_FORM)
    except FetchError as error:
        pytest.skip(f"the package index cannot be reached: {error}")


def right(model: zoo.ZooModel, path: object) -> float:
    return float(model.metric.numbers(zoo.run(path, model.test)).sum())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_static_forms_of_the_demo_hold_what_their_text_says(form, tmp_path):
    case = int8.load("demo", str(form))
    model = onnx.load(case.model.model_path)
    found, types = counts(model), {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    products = ("Conv", "Gemm") if form.layout == "qdq" else ("QLinearConv", "QGemm")
    assert [found[product] for product in products] == [9, 1]
    weights = [name for name in types if name.endswith("weight_quantized")]
    assert len(weights) == 10 and {types[name] for name in weights} == {TensorProto.INT8}
    zeros = {
        types[name] for name in types if name.endswith("_zero_point") and "weight" not in name and "bias" not in name
    }
    assert zeros == {TensorProto.UINT8 if form.types == "u8s8" else TensorProto.INT8}
    sizes = [len(t.dims) for t in model.graph.initializer if t.name.endswith("weight_scale")]
    assert set(sizes) == {1 if form.scales == "channel" else 0}
    lba_onnx.convert(model, "int32-wrap", model_output=tmp_path / "exact.onnx")  # without VNNI onnxruntime saturates
    assert 925 <= right(case.model, tmp_path / "exact.onnx") <= 940  # float32: 931


def test_onnxruntime_has_the_bits_of_its_processor_or_with_an_option_those_of_32_bits():
    case = int8.load("demo", "qdq-u8s8-channel")
    images = {name: values[:32] for name, values in case.model.test.items() if name != "label"}

    def converted(spec):
        return make_session(lba_onnx.convert(case.model.model_path, spec)[0]).run(None, images)[0]

    def shipped(**entries):
        options = onnxruntime.SessionOptions()
        for name, value in entries.items():
            options.add_session_config_entry(f"session.{name}", value)
        return onnxruntime.InferenceSession(case.model.model_path, options).run(None, images)[0]

    exact, pairs = converted("int32-wrap"), converted("x86-u8s8")
    assert not np.array_equal(exact, pairs)
    np.testing.assert_array_equal(shipped(x64quantprecision="1"), exact)
    if flags():  # an x86 whose flags are told
        np.testing.assert_array_equal(shipped(), exact if has_vnni() else pairs)


def test_unknown_models_and_forms_are_refused():
    with pytest.raises(ValueError, match="expected a model out of demo, .*, ddddocr, got 'resnet'"):
        int8.load("resnet", "dynamic")
    with pytest.raises(ValueError, match="expected a form out of qdq-u8s8-channel, .*, got 'dynamic'"):
        int8.load("demo", "dynamic")
    with pytest.raises(ValueError, match="expected a folder of photographs, got none"):
        int8.load("mobilenet_v2_photographs", "qdq-u8s8-channel")


@pytest.mark.parametrize(
    ("name", "products", "least"), [pytest.param("bge_small", 72, 0.8, marks=pytest.mark.slow), ("ddddocr", 22, 0.7)]
)
@pytest.mark.zoo
def test_dynamic_models_have_integer_products_and_do_their_work(name, products, least, monkeypatch):
    monkeypatch.setattr(bge_small, "PROBE_TEXTS", 300)  # of 1200: a text takes as long as one to test with
    case = loaded(name)
    found = counts(onnx.load(case.model.model_path))
    assert found["MatMulInteger"] + found["ConvInteger"] == products
    assert case.model.metric.mean(zoo.run(case.model.model_path, case.model.test[:100])) > least
    assert not {"MatMulInteger", "ConvInteger", "QLinearConv"} & set(counts(case.float32))


def test_unquantized_product_is_that_of_the_floats_in_whole_units():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 16), np.float32), rng.integers(-128, 128, (16, 5), np.int8)
    zero = rng.integers(-5, 5, 5, np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["codes", "w", "zero", "w_zero"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 16])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT32, [3, 5])]
    weights = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(zero, "w_zero")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    scale = np.float32((max(x.max(), 0) - min(x.min(), 0)) / 255)
    expected = (x / scale).astype(np.float64) @ (w.astype(np.float64) - zero)
    (y,) = make_session(unquantize(model)).run(None, {"x": x})
    assert y.dtype == np.int32 and np.abs(y - expected).max() <= 0.51


def test_probe_tells_two_clouds_apart():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    embeddings = rng.standard_normal((400, 8)) + 3 * labels[:, np.newaxis] * np.eye(8)[2]
    probe = fit_probe(embeddings[:200], labels[:200])
    assert np.mean(probe.classify(embeddings[200:]) == labels[200:]) > 0.9
