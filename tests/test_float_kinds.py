"""Every floating-point accumulator goes through every tool: conversion, comparison, debugging, sweeps, PyTorch."""

import numpy as np
import pytest
from protocol_checks import check_all
from small_models import images, network

import lba_onnx
from lba_onnx import make_session, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.errors import LbaError

GIVEN = (
    "fp32-fma",
    "fp16-fma",
    "bf16-fma",
    "fp16-mul-add",
    "wang2018",
    "hfp8",
    "fp12-sr",
    "M7E4b7,chunk=9x8",
    "M7E4b7,tree=16",
    "M7E4b7,tree=8,chunk=4x2",
    "M7E4b7,product=exact",
    "M7E4b7,round=nearest-away",
    "M7E4b7,round=odd",
    "M7E4b7,round=stochastic4,seed=3",
    "M7E5b15,range=infinity",
    "M7E4b7,subnormals=keep",
    "M7E4b7,chunk=16,lanes=2",
    "fp16-fma,lanes=4,start=carry",
    "M7E4b7,tree=8,chunk=4,start=carry",
    "dlfloat16",
    "M7E4b7,codes=dlfloat",
    "kulisch",
    "kulisch(float16)",
    "kulisch(M7E4b7),round=odd",
    "splitk4(fp16-fma)",
    "splitk3(M7E4b7,chunk=3x2),sum=M7E4b7,round=truncate",
    "splitk2(fp12-sr4),sum=bfloat16",
    "splitk2(kulisch(M7E4b7))",
)
FAMILIES = (
    "M6E4,chunk=9x8",
    "M6E4,tree=16",
    "M6E4,round=nearest,chunk=4x4x4",
    "M6E4,product=exact",
    "M6E4,product=exact,round=nearest",
    "M6E4,round=odd",
    "M6E4,round=nearest-away,tree=8",
    "M6E4,chunk=32,lanes=2",
    "M6E4,tree=8,start=carry",
    "M6E4,round=stochastic8",
    "M6E4,range=infinity",
    "M6E4,subnormals=keep,round=nearest",
    "M6E4,product=exact,range=infinity,chunk=4x4",
    "splitk4(M6E4)",
    "splitk3(M6E4,product=exact,round=nearest),sum=float16",
)
DATA = {"x": images(16)}


@pytest.mark.parametrize("text", GIVEN)
def test_every_kind_is_what_it_says(text):
    check_all(text)


@pytest.mark.parametrize("text", GIVEN)
def test_nodes_compute_what_the_reference_does(text):
    converted, report = lba_onnx.convert(network(), text)
    assert len(report.converted) == 3
    node = next(node for node in converted.graph.node if node.name == "conv1")
    node.output[0], weights = "h1", {t.name: t for t in converted.graph.initializer}
    spec = report.specs["conv1"]
    w, b = (np.frombuffer(weights[name].raw_data, np.float32) for name in ("w1", "b1"))
    expected = reference.conv(DATA["x"], w.reshape(8, 1, 3, 3), spec, pads=[1, 1, 1, 1]) + b.reshape(8, 1, 1)
    converted.graph.output.add().name = "h1"
    np.testing.assert_array_equal(make_session(converted).run(["h1"], DATA)[0], expected)


@pytest.mark.parametrize("text", GIVEN)
def test_a_converted_model_is_compared_debugged_and_swept(text):
    model = network()
    converted, _ = lba_onnx.convert(model, text)
    assert lba_onnx.compare(model, converted, DATA).outputs[0].sqnr_db > 5
    layers = lba_onnx.debug(converted, DATA, model, samples_alone=0).layers
    assert all(layer.events is not None and layer.exact_input_err is not None for layer in layers)
    wide, point = lba_onnx.sweep(model, DATA, families=("M22E7b63", text)).points
    assert wide.comparison.outputs[0].sqnr_db > 100 and point.to_json()["accumulator"] == str(as_spec(text))
    assert lba_onnx.correct(converted, DATA)[1].recipe is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_biases_of_a_family_are_calibrated_and_the_rest_corrected(family):
    model = network()
    calibration = lba_onnx.calibrate(model, DATA, family)
    converted, _ = lba_onnx.convert(model, calibration)
    assert lba_onnx.compare(model, converted, DATA).outputs[0].sqnr_db > 10
    assert all(as_spec(str(spec)) == spec for spec in calibration.specs.values())
    lba_onnx.correct(converted, DATA)


@pytest.mark.parametrize(
    "text",
    ["fp16-fma", "wang2018,chunk=32", "splitk4(fp12-sr4)", "M7E5,range=infinity,subnormals=keep", "M7E4,codes=dlfloat"],
)
def test_formats_with_given_biases_are_no_families(text):
    with pytest.raises((ValueError, LbaError), match=r"whose bias(es are| is) free.*convert takes"):
        lba_onnx.calibrate(network(), DATA, text)


@pytest.mark.torch
def test_pytorch_computes_the_same_bits_and_exports(tmp_path):
    """A layer for each accumulator, side by side in one network: what takes long is an export."""
    torch = pytest.importorskip("torch")
    import lba_onnx.torch as lba_torch

    class SideBySide(torch.nn.ModuleList):
        def forward(self, x):
            return tuple(layer(x) for layer in self)

    torch.manual_seed(0)
    model = SideBySide(torch.nn.Linear(20, 7, bias=False) for _ in GIVEN)
    weights = [layer.weight.detach().numpy().copy() for layer in model]
    lba_torch.quantize_(model, {str(number): text for number, text in enumerate(GIVEN)})
    x = torch.from_numpy(DATA["x"].reshape(16, 64)[:, :20].copy()).requires_grad_()
    results = model(x)
    for text, layer, w, y in zip(GIVEN, model, weights, results, strict=True):
        assert layer.spec == as_spec(text)
        expected = reference.matmul(x.detach().numpy(), w.T.copy(), layer.spec)
        np.testing.assert_array_equal(y.detach().numpy(), expected, text)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        np.testing.assert_allclose(gradient.numpy(), np.tile(w.sum(axis=0), (16, 1)), rtol=1e-5, err_msg=text)
    lba_torch.export(model.eval(), (x.detach(),), tmp_path / "layers.onnx")
    session = make_session(tmp_path / "layers.onnx")
    exported = session.run(None, {session.get_inputs()[0].name: x.detach().numpy()})
    for text, found, y in zip(GIVEN, exported, results, strict=True):
        np.testing.assert_array_equal(found, y.detach().numpy(), text)


@pytest.mark.parametrize(
    ("text", "keeps"), [("fp32-fma", True), ("fp16-fma", True), ("kulisch(float16)", True), ("M7E4b7", False)]
)
def test_zeros_of_sums_that_underflow_are_told(text, keeps):
    assert as_spec(text).special_values.keeps_negative_zero == keeps


def test_every_product_draws_bits_of_its_own_after_calibration():
    family = "M6E4,round=stochastic8,seed=7"
    seeds = [spec.seed for spec in lba_onnx.calibrate(network(), DATA, family).specs.values()]
    assert len(set(seeds)) == 3
    assert seeds == [spec.seed for spec in lba_onnx.calibrate(network(), DATA, family).specs.values()]


@pytest.mark.torch
def test_every_site_draws_bits_of_its_own():
    torch = pytest.importorskip("torch")
    import lba_onnx.torch as lba_torch

    model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
    lba_torch.quantize_(model, {"2": "M6E4b7,round=stochastic8,seed=1", "*": "M6E4b7,round=stochastic8,seed=1"})
    seeds = [layer.spec.seed for layer in model]
    assert len(set(seeds)) == 3 and seeds[2] == 1  # what is named alone is as it is named
    lba_torch.set_specs_(model, "M5E4b7,round=stochastic8,seed=1")
    assert [layer.spec.seed for layer in model][:2] == seeds[:2]
