"""The formats of what is multiplied, as hardware sees it: `M4E3`, `int8`, `uint8*int8`.

M4E3          4 mantissa bits after the leading one, 3 exponent bits, a sign
float32       M23E8; float64 is M52E11, float16 M10E5, bfloat16 M7E8
float8e4m3fn  M3E4; float8e5m2 is M2E5, float4e2m1 M1E2
int8, uint4   integers
uint8*int8    one operand of each
"""

import re
from dataclasses import dataclass

_NAMED = {"float64": "M52E11", "float32": "M23E8", "float16": "M10E5", "bfloat16": "M7E8", "float4e2m1": "M1E2"}
_NAMED |= dict.fromkeys(("float8e4m3", "float8e4m3fn", "float8e4m3fnuz"), "M3E4")
_NAMED |= dict.fromkeys(("float8e5m2", "float8e5m2fnuz"), "M2E5")
_FLOAT = re.compile(r"M(\d{1,2})E(\d{1,2})", re.ASCII)
_INTEGER = re.compile(r"u?int(\d{1,2})", re.ASCII)
_MOST_MANTISSA_BITS, _MOST_EXPONENT_BITS, _MOST_BITS = 52, 11, 64


@dataclass(frozen=True)
class Operand:
    """The format of one operand.

    Attributes:
        text: Its text.
        significant_bits: Bits that are multiplied: of floats the leading one included.
        exponent_bits: Of floats; 0 of integers.
    """

    text: str
    significant_bits: int
    exponent_bits: int = 0

    @classmethod
    def parse(cls, text: str) -> "Operand":
        """Read the format of one operand.

        Raises:
            ValueError: The text is none.
        """
        if match := _FLOAT.fullmatch(_NAMED.get(text, text)):
            mantissa_bits, exponent_bits = int(match[1]), int(match[2])
            if mantissa_bits <= _MOST_MANTISSA_BITS and 1 <= exponent_bits <= _MOST_EXPONENT_BITS:
                return cls(match[0], mantissa_bits + 1, exponent_bits)
        if (match := _INTEGER.fullmatch(text)) and 1 <= int(match[1]) <= _MOST_BITS:
            return cls(text, int(match[1]))
        raise ValueError(f"expected the format of an operand, such as M4E3, float32 or int8, got {text!r}")


@dataclass(frozen=True)
class Operands:
    """The formats of the two operands of a product.

    Attributes:
        x: That of the first.
        w: That of the second.
    """

    x: Operand
    w: Operand

    @classmethod
    def parse(cls, text: str) -> "Operands":
        """Read the formats of both: one for both, or two with an asterisk between them.

        Raises:
            TypeError: It is no text.
            ValueError: The text is none.
        """
        if not isinstance(text, str):
            raise TypeError(f"operand_format: expected a text such as 'M4E3' or 'int8', got {type(text).__name__}")
        parts = text.replace(" ", "").split("*")
        if len(parts) > 2:
            raise ValueError(f"operand_format: expected one format or two, got {text!r}")
        try:
            return cls(Operand.parse(parts[0]), Operand.parse(parts[-1]))
        except ValueError as error:
            raise ValueError(f"operand_format: {error}") from None

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return self.x.text if self.x == self.w else f"{self.x.text}*{self.w.text}"

    @property
    def product_bits(self) -> int:
        """Significant bits of an exact product."""
        return self.x.significant_bits + self.w.significant_bits

    @property
    def are_integers(self) -> bool:
        """Whether both are integers."""
        return self.x.exponent_bits == self.w.exponent_bits == 0
