"""The objects that functions are told things by: what they refuse, and that nothing of theirs is an argument beside."""

import inspect
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from small_models import images, network

import lba_onnx
from lba_onnx import Execution, Samples, Selection, Work
from lba_onnx.calibration.methods import METHODS, Mse
from lba_onnx.errors import DataError, SelectionError

LABELS = np.arange(24) % 10
FUNCTIONS = (
    lba_onnx.calibrate,
    lba_onnx.compare,
    lba_onnx.convert,
    lba_onnx.convert_with_data,
    lba_onnx.correct,
    lba_onnx.debug,
    lba_onnx.evaluate,
    lba_onnx.promote_until,
    lba_onnx.sweep,
)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Samples([], batch_size=0), ValueError, "expected batch_size of at least 1, got 0"),
        (lambda: Samples([], batch_size=2.5), TypeError, "batch_size"),
        (lambda: Samples([], max_samples=0), ValueError, "expected max_samples of at least 1, got 0"),
        (lambda: Samples([], max_samples="all"), TypeError, "max_samples"),
        (lambda: Samples([], shared_inputs="mask"), TypeError, "expected shared_inputs as a sequence .* got 'mask'"),
        (lambda: Selection("conv1"), TypeError, "nodes_to_exclude: expected a list of strings, got the single str"),
        (lambda: Selection(nodes_to_convert=None), TypeError, "nodes_to_convert: .* got the single NoneType None"),
        (
            lambda: Selection(op_types_to_convert=["DeformConv"]),
            SelectionError,
            "op_types_to_convert: .* got 'DeformConv'",
        ),
        (lambda: Execution("CPUExecutionProvider"), TypeError, "expected providers as a sequence of names"),
        (lambda: Work(workers=0), ValueError, "expected workers of at least 1, got 0"),
        (lambda: Work(shard_size=0), ValueError, "expected shard_size of at least 1, got 0"),
        (lambda: Work(1, "tcp://x"), ValueError, "expected workers on this machine or a scheduler, got both"),
    ],
)
def test_field_that_is_not_as_described_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("made", [Samples([]), Selection(), Execution(), Work(), Mse()])
def test_made_once(made):
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(made)[0].name, 1)


def test_lists_and_tuples_say_the_same():
    assert type(Samples([], batch_size=np.int64(4)).batch_size) is int
    assert Selection(["conv1"], iter(["conv.*"])) == Selection(("conv1",), ("conv.*",))
    assert hash(Execution(["CPUExecutionProvider"])) == hash(Execution())


@pytest.mark.parametrize("described", [Samples, Selection, Execution, Work, *METHODS.values()])
def test_nothing_that_an_object_says_is_an_argument_beside_it(described):
    names = {field.name for field in fields(described)} - {"data"}
    for function in FUNCTIONS:
        assert not names & inspect.signature(function).parameters.keys(), function.__name__


def test_number_of_samples_is_the_users_or_else_the_functions():
    assert Samples([]).up_to(64).max_samples == 64
    assert Samples([], max_samples=100).up_to(64).max_samples == 100
    assert lba_onnx.debug(lba_onnx.convert(network(), "M5E4b8")[0], images(70)).samples == 64


def labels_seen(run) -> list[int]:
    """Return the labels that a metric was called with."""
    seen: list[int] = []

    def metric(outputs, labels):
        seen.extend(labels)
        return outputs["y"][np.arange(len(labels)), labels]

    run(metric)
    return seen


def test_labels_apart_serve_every_metric_as_those_in_the_data_do():
    apart, inside = Samples({"x": images(24)}, LABELS), {"x": images(24), "label": LABELS}
    converted = lba_onnx.convert(network(), "M5E4b8")[0]
    for run in (
        lambda data, metric: lba_onnx.calibrate(network(), data, "M5E4", Mse(), metric=metric),
        lambda data, metric: lba_onnx.correct(converted, data, metric=metric),
        lambda data, metric: lba_onnx.evaluate(converted, data, metric=metric),
        lambda data, metric: lba_onnx.convert_with_data(network(), data, "M5E4", metric=metric),
        lambda data, metric: lba_onnx.promote_until(converted, data, "metric>=-99", network(), metric=metric),
    ):
        expected = labels_seen(lambda metric, run=run: run(inside, metric))
        assert labels_seen(lambda metric, run=run: run(apart, metric)) == expected != []


@pytest.mark.parametrize("count", [23, 25])
def test_labels_are_as_many_as_samples_unless_reading_stops_before(count):
    labels = np.zeros(count, np.int64)
    with pytest.raises(DataError, match=f"expected a label per sample, got {count} labels for "):
        lba_onnx.evaluate(network(), Samples({"x": images(24)}, labels))
    assert lba_onnx.evaluate(network(), Samples({"x": images(24)}, labels, max_samples=20)).samples == 20
