"""The text of sums by slices: `splitk4(fp16-fma),sum=float16`."""

import re
from dataclasses import dataclass

from lba_onnx.arithmetic.grammar import Part, SpecText
from lba_onnx.arithmetic.result_format import FLOAT32, ResultFormat

MOST_SLICES = 1024
_HEAD = re.compile(r"splitk(\d{1,4})\((.*)\)", re.ASCII | re.DOTALL)
_BEGINNING = "splitk"


def is_splitk(text: SpecText) -> bool:
    """Tell whether a text begins as one of this kind does."""
    return text.head.text.startswith(_BEGINNING)


@dataclass(frozen=True)
class SplitKText:
    """What a text says.

    Attributes:
        slices: How many slices.
        inner: The text of what sums each.
        total: The format in which the sums of slices are combined.
    """

    slices: int
    inner: str
    total: ResultFormat

    @classmethod
    def read(cls, text: SpecText) -> "SplitKText":
        """Take a text apart.

        Raises:
            ValueError: It says something else.
        """
        match = _HEAD.fullmatch(text.head.text)
        if match is None or not 2 <= int(match[1]) <= MOST_SLICES:
            expected = f"expected splitk<n>(<accumulator>) with n from 2 to {MOST_SLICES}, such as splitk4(fp16-fma)"
            raise text.error(f"{expected}, got {text.head.text!r}", text.head)
        held = next((option for option in text.options if option.key == "sum"), None)
        others = [option for option in text.options if option is not held]
        part = Part(FLOAT32.head, text.head.start) if held is None else Part(held.value, held.part.start + len("sum="))
        return cls(int(match[1]), match[2].strip(), ResultFormat.read(text, part, others, "sum=<format>"))

    def __str__(self) -> str:
        """Return the text."""
        held = "" if self.total.head == FLOAT32.head else f",sum={self.total.head}"
        return f"{_BEGINNING}{self.slices}({self.inner}){held}{self.total.options}"
