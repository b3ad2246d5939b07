"""Functions that take any values: infinities and NaN are computed with, and no warning of NumPy's is of use."""

import numpy as np

ANY_VALUES = np.errstate(over="ignore", invalid="ignore")
"""Decorates what has to take any values: sums may become infinite, and then NaN."""
