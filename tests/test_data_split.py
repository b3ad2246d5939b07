"""Samples kept apart: how many, which, and that every sample is in one part only."""

import itertools

import numpy as np
import pytest

from lba_onnx import Samples
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import SpreadSample, hold_out

FREE = (ModelInput("x", "float32", (None, 2)),)


def rows(count: int) -> np.ndarray:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


def numbers(batches) -> list[int]:
    """The samples' numbers, fillings left out."""
    return [int(v) // 2 for batch in batches for v in batch.feeds["x"][: batch.samples, 0]]


def split(data, inputs=FREE, batch_size=16, **settings):
    held = hold_out(read_batches(Samples(data, batch_size=batch_size), inputs), inputs, **settings)
    return held, list(held)


@pytest.mark.parametrize("count", [2, 3, 5, 16, 17, 100, 1000])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_every_sample_is_in_one_part_and_the_parts_have_their_sizes(count, batch_size):
    held, rest = split({"x": rows(count)}, batch_size=batch_size)
    kept = numbers(held.kept)
    assert sorted(kept + numbers(rest)) == list(range(count))
    assert 1 <= len(kept) <= 64
    assert abs(len(kept) - min(count / 4, 64)) <= 1
    assert not held.is_shared


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_choice_does_not_depend_on_the_batches(batch_size):
    expected = numbers(split({"x": rows(333)})[0].kept)
    assert numbers(split({"x": rows(333)}, batch_size=batch_size)[0].kept) == expected


def test_kept_samples_are_spread_over_the_stream_and_follow_no_period():
    kept = numbers(split({"x": rows(2000)}, max_samples=40)[0].kept)
    assert len(kept) == 40
    assert np.histogram(kept, 8, (0, 2000))[0].min() >= 3
    for period in (2, 3, 4, 5, 8, 10):
        assert len({number % period for number in kept}) == period


def test_one_sample_is_in_both_parts():
    held, rest = split({"x": rows(1)})
    assert numbers(rest) == numbers(held.kept) == [0]
    assert held.is_shared


def test_kept_before_the_end_is_refused():
    held = hold_out(read_batches(Samples({"x": rows(9)}), FREE), FREE)
    next(iter(held))
    with pytest.raises(RuntimeError, match="to its end"):
        _ = held.kept


def test_memory_is_bounded_while_the_stream_runs():
    alive = 0

    def feeds():
        for i in itertools.count():
            yield {"x": rows(1) + i}

    held = hold_out(itertools.islice(read_batches(Samples(feeds()), FREE), 500), FREE, max_samples=8)
    passed = sum(batch.samples for batch in held)
    alive = sum(batch.samples for batch in held.kept)
    assert (alive, passed) == (8, 492)


def test_labels_go_with_their_samples():
    held, rest = split({"x": rows(40), "label": np.arange(40)})
    for part in (held.kept, rest):
        assert [int(label) for batch in part for label in batch.labels] == numbers(part)


def test_fixed_batches_are_filled_up_again():
    inputs = (ModelInput("x", "float32", (4, 2)),)
    held, rest = split({"x": rows(10)}, inputs)
    assert all(len(batch.feeds["x"]) == batch.rows == 4 for batch in [*held.kept, *rest])
    assert sorted(numbers(held.kept) + numbers(rest)) == list(range(10))


def test_inputs_that_are_the_same_for_all_samples_stay_whole():
    inputs = (*FREE, ModelInput("scale", "float32", (3,)))
    held, rest = split({"x": rows(10), "scale": np.ones(3, np.float32)}, inputs)
    assert all(batch.feeds["scale"].shape == (3,) for batch in [*held.kept, *rest])


def test_feeds_with_an_axis_of_samples_in_another_place_stay_whole():
    inputs = (*FREE, ModelInput("state", "float32", (2, None)))
    feeds = [{"x": rows(4) + 8 * i, "state": np.zeros((2, 4), np.float32)} for i in range(6)]
    held, rest = split(feeds, inputs)
    assert all(batch.samples == 4 for batch in [*held.kept, *rest])
    assert sorted(numbers(held.kept) + numbers(rest)) == list(range(24))


def test_samples_of_different_shapes_are_not_joined():
    inputs = (ModelInput("x", "float32", (None, None)),)
    held, rest = split([{"x": np.full((1, 2 + i % 2), 2.0 * i, np.float32)} for i in range(20)], inputs)
    assert sorted(numbers(held.kept) + numbers(rest)) == list(range(20))


def test_spread_sample_keeps_all_where_there_is_room():
    sample = SpreadSample(FREE, 20)
    for batch in read_batches(Samples({"x": rows(12)}, batch_size=5), FREE):
        assert sample.offer(batch) == []
    assert numbers(sample.batches()) == list(range(12)) and len(sample) == 12


@pytest.mark.parametrize("settings", [{"every": 1}, {"max_samples": 0}])
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="at least"):
        hold_out(iter(()), FREE, **settings)
