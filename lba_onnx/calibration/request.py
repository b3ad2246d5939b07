"""What is asked of a calibration: the arithmetic, and the method that chooses its biases."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import AccumulatorFamily, parse_family
from lba_onnx.calibration.methods import Method, as_method
from lba_onnx.calibration.settings import Settings


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        family: The accumulators to choose from: all that differ in their biases.
        method: The method with its settings.
    """

    family: AccumulatorFamily
    method: Method

    @classmethod
    def of(cls, family: str, method: str | Method) -> "Request":
        """Read what users say.

        Raises:
            TypeError: The family is no text.
            ValueError: There is no such family or method, or the method chooses nothing of the family.
        """
        request = cls(parse_family(family), as_method(method))
        request.method.check_family(request.family)
        return request

    @property
    def settings(self) -> Settings:
        """What is asked for, whatever the method."""
        return Settings(self.family, self.method.granularity, self.method.is_tied)

    def described(self) -> dict[str, Any]:
        """Return what the result depends on, but for the numbers of the method, as JSON values."""
        return {
            "family": str(self.family),
            "method": self.method.name,
            "granularity": self.method.granularity,
            "tied": self.method.is_tied,
        }
