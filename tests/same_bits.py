"""Equality of bits, for tests of everything that computes."""

import numpy as np


def assert_same_bits(result: np.ndarray, expected: np.ndarray | float, what: str = "") -> None:
    """Assert that values are equal, signs of zeros included; one NaN is as good as another."""
    np.testing.assert_array_equal(result, expected, what)
    is_number = ~np.isnan(result)
    np.testing.assert_array_equal(np.signbit(result)[is_number], np.signbit(expected)[is_number], what)
