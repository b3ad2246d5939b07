"""Promotion finds the planted layer, tells when nothing helps, and writes what it measured."""

import json
import math

import numpy as np
import onnx
import pytest
from small_models import images, network
from test_debug import BAD, FINE, chain, samples, with_bad

import lba_onnx
from lba_onnx import AccumulatorSpec, ModelFile, Samples, convert, debug, promote_until
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation.condition import Condition
from lba_onnx.rewrite.model_writer import save_model
from lba_onnx.rewrite.specs import read_specs


def outputs(model) -> np.ndarray:
    return lba_onnx.make_session(model).run(None, samples())[0]


def test_the_planted_layer_is_promoted_alone(tmp_path):
    converted, target = with_bad(BAD["product_overflow"]), tmp_path / "promoted.onnx"
    found = promote_until(converted, samples(), "sqnr>=40", chain(), model_output=target)
    assert (found.promoted, found.is_fulfilled, found.samples) == (("matmul1",), True, 6)
    assert found.specs == {"matmul0": FINE, "matmul2": FINE}
    assert (found.steps[0].promoted, found.steps[0].holds) == ((), False)
    assert read_specs(onnx.load(target)) == found.specs
    np.testing.assert_array_equal(outputs(target), outputs(convert(chain(), found.specs)[0]))
    assert promote_until(target, samples(), "sqnr>=40", chain()).promoted == ()


def test_promotion_to_a_wider_family_keeps_the_layer_converted(tmp_path):
    target = tmp_path / "promoted.onnx"
    found = promote_until(with_bad(BAD["overflow"]), samples(), "sqnr>=40", wider="M16E6", model_output=target)
    assert found.promoted == ("matmul1",)
    assert str(found.specs["matmul1"]).startswith("M16E6")
    assert found.specs["matmul0"] == FINE
    assert read_specs(onnx.load(target)) == found.specs
    metadata = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    said = json.loads(metadata["lba_onnx.provenance"])["promotion"]
    assert said == {"condition": "sqnr>=40", "promoted": ["matmul1"], "wider": "M16E6"}


def test_wider_specs_keep_chunk_sizes_and_underflow():
    specs = {
        "matmul0": FINE,
        "matmul1": AccumulatorSpec.parse("M2E5b20/M2E5b20,chunk=8,underflow=off"),
        "matmul2": FINE,
    }
    found = promote_until(convert(chain(), specs)[0], samples(), "sqnr>=40", wider="M16E6")
    promoted = found.specs["matmul1"]
    assert (promoted.chunk_size, promoted.underflow, promoted.product_format.mantissa_bits) == (8, False, 16)


@pytest.mark.parametrize("family", ["M13E6", "M16E5"])
def test_a_family_that_is_narrower_somewhere_is_refused(family):
    with pytest.raises(ValueError, match=f"at least as wide as M14E6b40/M14E6b40 of node 'matmul0', got {family}"):
        promote_until(with_bad(BAD["overflow"]), samples(), "sqnr>=40", wider=family)


def test_a_condition_that_holds_takes_one_step():
    found = promote_until(with_bad(BAD["product_overflow"]), samples(), "sqnr>=-100", chain())
    assert (found.promoted, found.is_fulfilled, len(found.steps)) == ((), True, 1)
    assert set(found.specs) == {"matmul0", "matmul1", "matmul2"}


def test_a_condition_that_all_layers_do_not_fulfil_is_told(tmp_path):
    target = tmp_path / "promoted.onnx"
    converted = with_bad(BAD["product_overflow"])
    found = promote_until(converted, samples(), "sqnr>=150", wider="M14E6", model_output=target)
    assert not found.is_fulfilled
    assert set(found.promoted) == {"matmul0", "matmul1", "matmul2"}
    assert len(found.steps) == 2
    assert not target.exists()


def test_what_is_found_is_minimal():
    bad = AccumulatorSpec.parse("M5E4b8")
    converted, _ = convert(network(), bad)
    found = promote_until(converted, images(16), "sqnr>=24", network())
    assert found.is_fulfilled and 0 < len(found.promoted) < 3
    for name in found.promoted:
        others = {node: bad for node in ("conv1", "depthwise", "classifier") if node not in found.promoted}
        model, _ = convert(network(), {**others, name: bad})
        assert lba_onnx.compare(network(), model, images(16)).outputs[0].sqnr_db < 24


def test_pruning_takes_back_what_the_order_promoted_in_vain():
    found = promote_until(
        with_bad(BAD["product_overflow"]), samples(), "sqnr>=40", chain(), order=["matmul0", "matmul2", "matmul1"]
    )
    assert found.promoted == ("matmul1",)
    assert [len(step.promoted) for step in found.steps] == [0, 3, 1, 2, 2, 1]


def test_order_of_a_diagnosis_is_taken():
    converted = with_bad(BAD["product_overflow"])
    order = [layer.node for layer in debug(converted, samples(), chain()).ranking]
    assert promote_until(converted, samples(), "sqnr>=40", order=order).promoted == ("matmul1",)
    with pytest.raises(ValueError, match=r"expected an order of all converted nodes.*got \['matmul0'\]"):
        promote_until(converted, samples(), "sqnr>=40", order=["matmul0"])


def test_metric_labels_and_data_that_are_read_once():
    def metric(outputs, labels):
        assert labels.tolist() == [7] * len(labels)
        return np.full(len(labels), 0.5)

    converted, _ = convert(network(), AccumulatorSpec.parse("M5E4b8"))
    feeds = ({"x": images(4, seed)} for seed in range(3))
    found = promote_until(converted, Samples(feeds, labels=[7] * 12), "metric>=0.5", network(), metric=metric)
    assert (found.promoted, found.value, found.samples) == ((), 0.5, 12)


def test_conditions_on_labels_need_labels():
    converted, _ = convert(network(), AccumulatorSpec.parse("M5E4b8"))
    with pytest.raises(DataError, match="top1>=90: expected labels and an output"):
        promote_until(converted, images(4), "top1>=90")
    with pytest.raises(DataError, match="metric>=1: expected a metric"):
        promote_until(converted, images(4), "metric>=1")
    found = promote_until(converted, {"x": images(4), "label": np.full(4, 11)}, "top1>=90")
    assert not found.is_fulfilled and found.value == 0


@pytest.mark.parametrize(
    "text", ["sqnr", "sqnr>20", "sqnr<=20", "speed>=2", "sqnr>=", "sqnr>=x", ">=20", "sqnr>=1e3", "perplexity>=9"]
)
def test_other_conditions_are_refused(text):
    with pytest.raises(ValueError, match="expected a condition such as 'sqnr>=20'"):
        promote_until(with_bad(BAD["product_overflow"]), samples(), text)


READ = ["sqnr>=20", "agreement>=99.5", "top1_difference>=-0.5", "cosine>=0.99", "metric>=-1", "perplexity_change<=1"]


@pytest.mark.parametrize("text", READ)
def test_conditions_are_printed_as_they_are_read(text):
    assert str(Condition.parse(f"  {text.replace('=', '= ').replace('>', ' >').replace('<', ' <')} ")) == text
    assert not Condition.parse(text).holds(math.nan)


def test_a_corrected_model_is_promoted_corrected(tmp_path):
    converted, _ = convert(network(), AccumulatorSpec.parse("M4E5b16"))
    corrected, report = lba_onnx.correct(converted, images(32))
    assert report.recipe != "none"
    target = tmp_path / "promoted.onnx"
    plain = promote_until(converted, images(32, 2), "sqnr>=100", network()).steps
    found = promote_until(corrected, images(32, 2), "sqnr>=24", network(), model_output=target)
    assert found.steps[0].value > plain[0].value + 3  # a step is a corrected model
    assert found.is_fulfilled and 0 < len(found.promoted) < 3
    value = lba_onnx.compare(network(), target, images(32, 2)).outputs[0].sqnr_db
    assert value == pytest.approx(found.value, rel=1e-12)
    for function in (debug, lambda *both: promote_until(*both, "sqnr>=24")):
        with pytest.raises(ModelError, match="expected the float32 reference beside a corrected model"):
            function(corrected, images(2))
    assert debug(corrected, images(2), network()).is_corrected


def test_weights_that_are_others_are_warned_of(caplog):
    converted, _ = convert(network(), FINE)
    promote_until(converted, images(2), "sqnr>=20", network())
    assert not caplog.records
    weight = converted.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(2), weight.name))
    promote_until(converted, images(2), "sqnr>=20", network())
    assert "promotion takes the reference's" in caplog.text


def test_models_with_external_data_are_promoted(tmp_path):
    folder = tmp_path / "float"
    folder.mkdir()
    save_model(chain(), ModelFile(folder / "model.onnx", use_external_data_format=True))
    specs = read_specs(with_bad(BAD["product_overflow"]))
    convert(folder / "model.onnx", specs, model_output=ModelFile(tmp_path / "lba.onnx", use_external_data_format=True))
    for reference in (folder / "model.onnx", None):
        found = promote_until(
            tmp_path / "lba.onnx", samples(), "sqnr>=40", reference, model_output=tmp_path / "promoted.onnx"
        )
        assert found.promoted == ("matmul1",)
        np.testing.assert_array_equal(outputs(tmp_path / "promoted.onnx"), outputs(convert(chain(), found.specs)[0]))


def test_json_holds_the_steps():
    found = promote_until(with_bad(BAD["product_overflow"]), samples(), "sqnr>=40", chain())
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["promoted"] == ["matmul1"]
    assert value["steps"][0] == {"promoted": [], "value": found.steps[0].value, "holds": False}
    assert value["steps"][1]["value"] is None  # all in float32: infinite
    assert value["specs"] == {"matmul0": str(FINE), "matmul2": str(FINE)}
