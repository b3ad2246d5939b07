"""What is asked of a calibration: the arithmetic, and the method that chooses its biases."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import parse_family
from lba_onnx.arithmetic.arguments import option_texts, with_defaults
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
        """Read what users say: chunk_size and underflow where the family does not, the numbers of `methods.NUMBERS`.

        Raises:
            TypeError: A number is none.
            ValueError: Something is out of range.
        """
        options = option_texts(chunk_size=chunk_size, underflow=underflow)
        settings = Settings(parse_family(with_defaults(family, options)), granularity, tied)
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
        }
