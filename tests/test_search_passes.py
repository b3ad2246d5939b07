"""How much a search runs: all of it is counted, and refinements stop at what it may take."""

import onnxruntime
import pytest
from small_models import images, network

import lba_onnx
from lba_onnx import kernels
from lba_onnx.correction import evening, sequence
from lba_onnx.data.tally import Tally, tallied
from lba_onnx.searching import searching
from lba_onnx.searching.text import search_text

SEEN, ALLOWED = 12, (3 + 10) * 3 + 30 * 2


def search(budgets=("M5E4",), losses=("M5E4",), **settings):
    """Returns what is found for a budget and a loss, of three products and three choices."""
    settings |= {"method": "max", "solver": "dynamic", "sensitivity_samples": SEEN}
    choices = ["M4E4", "M5E4", "M7E4"]
    return lba_onnx.search(network(), {"x": images(48)}, choices, budgets=budgets, losses=losses, **settings)


@pytest.fixture(scope="module")
def plain():
    return search(effort=None)


def test_all_that_runs_is_counted(monkeypatch):
    """Every run of onnxruntime is seen, but those of parts of the model, for sensitivities."""
    samples, run, measure = [], onnxruntime.InferenceSession.run, searching.measure_sensitivities

    def counting(session, names, feeds, *rest):
        samples.append(len(feeds.get("x", ())))
        return run(session, names, feeds, *rest)

    def measured_apart(*given):
        before = len(samples)
        found = measure(*given)
        del samples[before:]
        return found

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counting)
    monkeypatch.setattr(searching, "measure_sensitivities", measured_apart)
    passes = search(effort=None).passes
    assert passes.correction == 0 and passes.models >= 3
    assert sum(samples) / SEEN == pytest.approx(passes.calibration + 1 + passes.trial + passes.check)


def test_a_correction_is_counted_with_the_layers_that_it_computes_again(monkeypatch):
    converted, _ = lba_onnx.convert(network(), "M5E4b10")
    samples, products = [], []
    run, matmul, conv, dot = onnxruntime.InferenceSession.run, kernels.matmul, kernels.conv, evening.dot_products

    def running(session, names, feeds, *rest):
        samples.append(len(feeds["x"]))
        return run(session, names, feeds, *rest)

    def multiplying(a, b, *rest, **settings):
        products.append(a.size * b.shape[1])
        return matmul(a, b, *rest, **settings)

    def convolving(x, w, *rest, **settings):
        y = conv(x, w, *rest, **settings)
        products.append(y.size * w[0].size)
        return y

    def in_float32(x, weights, start):
        products.append(x.size * weights.shape[2])
        return dot(x, weights, start)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", running)
    monkeypatch.setattr(kernels, "matmul", multiplying)
    monkeypatch.setattr(kernels, "conv", convolving)
    monkeypatch.setattr(sequence, "dot_products", in_float32)
    monkeypatch.setattr(evening, "dot_products", in_float32)
    with tallied() as outer, tallied() as tally:
        lba_onnx.correct(converted, {"x": images(16)}, effort="default")
    assert tally == Tally(sum(samples), sum(products)) == outer and len(products) > 3


def test_a_search_without_correction_is_the_sum_of_its_parts(plain):
    passes = plain.passes
    assert passes.all == passes.calibration + passes.sensitivity + passes.trial
    assert passes.trial == passes.models + 1 and passes.bound == ALLOWED
    assert plain.to_json()["passes"]["all"] == passes.all


@pytest.mark.parametrize("effort", ["quick", "default", "thorough"])
def test_passes_are_within_the_bound_or_nothing_is_refined(effort):
    """A correction takes most where layers are as few and as small as here: of `thorough` a model is too much."""
    found = search(effort=effort)
    passes, told = found.passes, "\n".join(map(str, search_text(found)))
    assert passes.correction > passes.models and f"{passes.all:.1f} float32 passes over 12 samples, 99 allowed" in told
    is_within = passes.all <= passes.bound
    assert is_within == ("more than is allowed" not in told) == (effort != "thorough")
    assert is_within or passes.models <= 3 + 2


def test_refinements_stop_at_the_bound(monkeypatch):
    found, goals = [], {"budgets": ["M4E4", "M5E4", "35%", "37%"], "losses": ["M4E4", "M5E4"]}
    for bound in (1000, 16, 0):
        monkeypatch.setattr(searching, "most_passes", lambda *counts, bound=bound: bound)
        found.append(search(**goals, effort=None).passes)
    everything, some, nothing = found
    assert everything.models > some.models > nothing.models == 3 + 2  # each choice, and what the solver says
    assert everything.all > 16 >= some.all > nothing.all > 0
