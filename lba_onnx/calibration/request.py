"""What is asked of a calibration: the arithmetic, and the method that chooses its biases."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import FormatFamily
from lba_onnx.calibration.methods import NUMBERS, Method, make_method
from lba_onnx.calibration.settings import Settings


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        settings: What is asked of every method.
        method: The method with its numbers.
    """

    settings: Settings
    method: Method

    @classmethod
    def of(
        cls,
        family: str,
        method: str,
        *,
        granularity: str,
        tied: bool,
        chunk_size: int | None,
        underflow: bool,
        **numbers: Any,
    ) -> "Request":
        """Read what users say; `numbers` are those of `methods.NUMBERS`.

        Raises:
            TypeError: A number is none.
            ValueError: Something is out of range.
        """
        settings = Settings(FormatFamily.parse(family), granularity, tied, chunk_size, underflow)
        return cls(settings, make_method(method, settings, **numbers))

    def to_json(self) -> dict[str, Any]:
        """Return what the result depends on, as a JSON object; null for numbers that play no part in it."""
        return {
            "family": str(self.settings.family),
            "method": self.method.name,
            "granularity": self.settings.granularity,
            "tied": self.settings.is_tied,
            **dict.fromkeys(NUMBERS),
            **self.method.to_json(),
            "chunk_size": self.settings.chunk_size,
            "underflow": self.settings.underflow,
        }
