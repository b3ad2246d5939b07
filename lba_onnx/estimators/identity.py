"""Estimator "identity": every product passes its gradient, whatever the sum lost."""

from lba_onnx.estimators.estimator import Estimator

IDENTITY = Estimator("identity")
