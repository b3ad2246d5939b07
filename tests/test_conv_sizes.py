"""Sizes of convolutions against the positions that are counted one by one."""

import itertools

import pytest

from lba_onnx.conv_sizes import covered_size, output_sizes, same_outputs, span


def positions(size: int, kernel: int, stride: int, dilation: int) -> list[list[int]]:
    """The positions that each output looks at, of those that lie in an input of this size."""
    taps = ([start + tap * dilation for tap in range(kernel)] for start in itertools.count(0, stride))
    return list(itertools.takewhile(lambda looked_at: looked_at[-1] < size, taps))


CASES = list(itertools.product((1, 2, 5, 9), (1, 2, 3), (1, 2, 3), (1, 2, 3), (0, 1, 2), (0, 3)))


@pytest.mark.parametrize(("size", "kernel", "stride", "dilation", "begin", "end"), CASES)
def test_sizes_are_those_of_the_positions_counted(size, kernel, stride, dilation, begin, end):
    looked_at = positions(size + begin + end, kernel, stride, dilation)
    found = output_sizes([size], [kernel], [stride], [dilation], [begin], [end])
    assert found == ((len(looked_at),) if looked_at else None)
    if looked_at:
        assert covered_size(len(looked_at), kernel, stride, dilation) == looked_at[-1][-1] + 1
        assert span(kernel, dilation) == looked_at[0][-1] + 1


def test_one_axis_without_room_is_enough():
    assert output_sizes([4, 2], [3, 3], [1, 1], [1, 1], [0, 0], [0, 0]) is None
    assert output_sizes([4, 3], [3, 3], [1, 1], [1, 1], [0, 0], [0, 0]) == (2, 1)


@pytest.mark.parametrize(("size", "stride", "expected"), [(4, 2, 2), (5, 2, 3), (1, 3, 1), (6, 3, 2)])
def test_same_outputs_count_the_rest(size, stride, expected):
    assert same_outputs(size, stride) == expected
