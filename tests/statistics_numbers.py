"""All that a node has collected, as arrays by name, to compare with what another one has."""

import numpy as np

from lba_onnx import native


def numbers(collected: native.Statistics) -> dict[str, np.ndarray]:
    found = {"outputs": np.array(collected.outputs), "sampled_outputs": np.array(collected.sampled_outputs)}
    for level in collected.levels:
        told = {"max_abs": level.max_abs, "values": level.values, **level.events, "log2": level.log2}
        found |= {f"{level.name} {name}": np.array(value) for name, value in told.items()}
    return found


def assert_same_statistics(got: native.Statistics, expected: native.Statistics) -> None:
    assert [(level.name, list(level.events)) for level in got.levels] == [
        (level.name, list(level.events)) for level in expected.levels
    ]
    found = numbers(got)
    for name, value in numbers(expected).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
