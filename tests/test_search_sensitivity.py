"""Sensitivities: a part of the model, run from the product on, finds what the whole model with this product finds.

Both compute the product by the same kernel; what stays float32 is onnxruntime's, whose fusions differ between a part
and the whole, by roundings of 2^-24. So losses agree to a thousandth, not to the bit.
"""

import numpy as np
import pytest
from attention_models import CASES
from integer_models import operator_case
from language_models import decoder, token_ids
from onnx import helper
from small_models import branching_model, function_model, images, loop_model, network, tensor
from small_models import model as small_model

import lba_onnx
from lba_onnx.data.batches import read_batches
from lba_onnx.data.execution import Execution
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.outputs import run_by_name, tensor_outputs
from lba_onnx.rewrite import Selection
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.searching.choices import derive_choices
from lba_onnx.searching.loss import KL, LARGEST, SQUARED, Reference
from lba_onnx.searching.making import Making
from lba_onnx.searching.progress_file import ProgressFile
from lba_onnx.searching.sensitivity import measure_sensitivities
from lba_onnx.session import make_session

PROVIDERS = ("CPUExecutionProvider",)
RANDOM = np.random.default_rng(4)
PAIRS = RANDOM.standard_normal((6, 2)).astype(np.float32)
ATTENTION = CASES["heads: plain"]
CODES = operator_case("QLinearConv", "uint8", "int8")
MODELS = {
    "network": (network(), {"x": images(8)}, ["M4E4b8", "M7E4b8"]),
    "if": (branching_model(), {"x": PAIRS}, ["M3E4b8"]),
    "loop": (loop_model(3), {"x": PAIRS}, ["M3E4b8"]),
    "function": (function_model(), {"x": PAIRS}, ["M3E4b8"]),
    "attention": (ATTENTION.model, [ATTENTION.feeds], ["M4E4b8"]),
    "integers": (CODES.model, [CODES.feeds], ["int12-wrap", "int16-saturate"]),
}


def nothing():
    return ProgressFile(None, {})


def prepared(model, feeds, effort=None):
    inputs = describe_inputs(make_session(model))
    samples = lba_onnx.Samples(feeds, batch_size=4)
    making = Making(OpenModel(model, None), samples, effort, None, Selection(), False, Execution())
    return making, Reference.of(model, list(read_batches(samples, inputs)), PROVIDERS)


def mean_loss(model, reference):
    session = make_session(model)
    names = tensor_outputs(session)
    found = [reference.losses(n, run_by_name(session, b, names, "model")) for n, b in enumerate(reference.batches)]
    return float(np.concatenate(found).mean())


@pytest.mark.parametrize("name", MODELS)
def test_a_part_finds_what_the_whole_model_finds(name):
    model, feeds, texts = MODELS[name]
    making, reference = prepared(model, feeds)
    choices = derive_choices(texts, making, "max", nothing())
    products = dict.fromkeys(choices[0].specs, 1)
    found = measure_sensitivities(making, reference, choices, products, nothing())
    for product in products:
        for choice, loss in zip(choices, found.losses[product], strict=True):
            whole = mean_loss(convert_quietly(model, {product: choice.specs[product]})[0], reference)
            assert loss == pytest.approx(whole, rel=1e-3, abs=1e-9), (product, choice.text)
    assert any(loss > 0 for losses in found.losses.values() for loss in losses)
    assert found.passes <= 1 + len(products) * (len(choices) + 1)


def test_a_product_is_scaled_where_models_will_be_corrected():
    """Truncation makes sums smaller; what a scale gives back is not held against a choice."""
    losses = {}
    for effort in (None, "quick"):
        making, reference = prepared(network(), {"x": images(16)}, effort)
        choices = derive_choices(["M4E4b8"], making, "max", nothing())
        losses[effort] = measure_sensitivities(
            making, reference, choices, {"conv1": 1, "classifier": 1}, nothing()
        ).losses
    for product in ("conv1", "classifier"):
        assert 0 < losses["quick"][product][0] < 0.7 * losses[None][product][0]


def test_a_product_of_two_activations_gets_the_factor_of_its_correction():
    inputs = {name: RANDOM.standard_normal((4, 6, 8)).astype(np.float32) for name in ("a", "b")}
    transpose = helper.make_node("Transpose", ["b"], ["t"], perm=[0, 2, 1])
    nodes = [transpose, helper.make_node("MatMul", ["a", "t"], ["y"], "qk")]
    attention = small_model(nodes, [tensor("a", "n", 6, 8), tensor("b", "n", 6, 8)], [tensor("y", "n", 6, 6)])
    specs, losses = {"qk": "M2E4b8"}, {}
    for effort in (None, "quick"):
        making, reference = prepared(attention, inputs, effort)
        choices = derive_choices(["M2E4b8"], making, "max", nothing())
        losses[effort] = measure_sensitivities(making, reference, choices, {"qk": 1}, nothing()).losses["qk"][0]
    corrected, report = lba_onnx.correct(convert_quietly(attention, specs)[0], inputs, effort="quick")
    assert report.recipe != "none" and mean_loss(corrected, reference) == pytest.approx(losses["quick"], rel=0.05)
    assert losses["quick"] < 0.6 * losses[None]


def test_parts_count_by_their_share_of_the_products():
    making, reference = prepared(network(), {"x": images(8)})
    choices = derive_choices(["M4E4b8", "M7E4b8", "float32"], making, "max", nothing())
    macs = {"conv1": 50, "depthwise": 30, "classifier": 20}
    found = measure_sensitivities(making, reference, choices, macs, nothing())
    prefixes, suffixes = 0.5 + 0.3, 2 * (1.0 + 0.5 + 0.2)
    assert found.passes == pytest.approx(1 + prefixes + suffixes)
    assert all(losses[2] == 0 for losses in found.losses.values())


def test_noted_products_are_not_measured_again():
    making, reference = prepared(network(), {"x": images(8)})
    choices = derive_choices(["M4E4b8"], making, "max", nothing())
    notes = ProgressFile(None, {})
    notes.add("sensitivity conv1", {"losses": [7.0], "passes": 0.25})
    found = measure_sensitivities(making, reference, choices, {"conv1": 1, "depthwise": 1}, notes)
    assert found.losses["conv1"] == (7.0,) and 0 < found.losses["depthwise"][0] < 7
    assert notes.find("sensitivity depthwise")["losses"] == list(found.losses["depthwise"])


def test_losses_are_divergences_of_classes_or_squared_errors():
    _, reference = prepared(network(), {"x": images(8)})
    given = reference.expected[0]["y"]
    assert reference.name == KL and reference.samples == 8
    assert reference.losses(0, {}).tolist() == [0, 0, 0, 0]
    p, q = (np.exp(v) / np.exp(v).sum(1, keepdims=True) for v in (given.astype(float), given.astype(float) * 1.5))
    np.testing.assert_allclose(reference.losses(0, {"y": given * 1.5}), (p * np.log(p / q)).sum(1), rtol=1e-5)
    assert (reference.losses(0, {"y": given * np.nan}) == LARGEST).all()

    _, values = prepared(loop_model(2), {"x": PAIRS})
    assert values.name == SQUARED
    energy = np.mean([np.square(expected["y"]).sum() for expected in values.expected])
    expected = values.expected[1]["y"]
    np.testing.assert_allclose(values.losses(1, {"y": expected * 1.1}), 0.01 * np.square(expected).sum() / energy, 1e-4)


def divergences(wanted, given):
    p, q = (np.exp(v.astype(float)) / np.exp(v.astype(float)).sum(-1, keepdims=True) for v in (wanted, given))
    return (p * np.log(p / q)).sum(-1)


def test_losses_of_a_language_model_are_divergences_at_the_tokens_that_the_mask_shows():
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    _, reference = prepared(decoder(), {"input_ids": token_ids(4, 6), "attention_mask": mask})
    assert reference.name == KL
    logits = reference.expected[0]["logits"]
    given = logits + RANDOM.standard_normal(logits.shape).astype(np.float32)
    every = divergences(logits, given)
    wanted = [every[row][mask[row] == 1].mean() if mask[row].any() else 0 for row in range(4)]
    np.testing.assert_allclose(reference.losses(0, {"logits": given}), wanted, rtol=1e-5)
    other = {"present.0.key": reference.expected[0]["present.0.key"] * 2}
    assert reference.losses(0, other).tolist() == [0, 0, 0, 0]
    assert reference.losses(0, {"logits": given * np.nan}).tolist() == [LARGEST, LARGEST, LARGEST, 0]


def scores_of_places(*last):
    """Returns x [samples, 5, 4] times a matrix [4, 3], and what follows."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores" if last else "y"], "product")]
    nodes += [helper.make_node(op_type, ["scores"], ["y"], axis=-1) for op_type in last]
    weights = {"w": RANDOM.standard_normal((4, 3)).astype(np.float32)}
    return small_model(nodes, [tensor("x", "n", 5, 4)], [tensor("y", "n", 5, 3)], weights)


@pytest.mark.parametrize(("last", "name"), [(["Softmax"], KL), (["LogSoftmax"], KL), ([], SQUARED)])
def test_distributions_of_places_are_told_from_values(last, name):
    _, reference = prepared(scores_of_places(*last), {"x": RANDOM.standard_normal((4, 5, 4)).astype(np.float32)})
    assert reference.name == name
    if last == ["Softmax"]:
        wanted = reference.expected[0]["y"]
        given = wanted[..., ::-1].copy()
        expected = divergences(np.log(wanted), np.log(given)).mean(axis=1)
        np.testing.assert_allclose(reference.losses(0, {"y": given}), expected, rtol=1e-4)


def test_another_shape_is_refused():
    _, reference = prepared(network(), {"x": images(4)})
    with pytest.raises(ModelError, match=r"output y: expected the reference's shape \[4, .\d*\], got \[4, 1\]"):
        reference.losses(0, {"y": reference.expected[0]["y"][:, :1]})


def test_every_sample_of_a_short_last_batch_has_a_loss():
    _, reference = prepared(network(), {"x": images(7)})
    assert [len(reference.losses(n, {})) for n in range(2)] == [4, 3]
