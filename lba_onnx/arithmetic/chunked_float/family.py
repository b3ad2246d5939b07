"""Chunked floats whose exponent biases are still free: `M7E4,chunk=32,round=nearest`.

`M7E4,chunk=root3` leaves the sizes of chunks to the depth of each product, too: three levels of chains, each about as
long as the cube root of the depth (`at_depth`); of `chunk=root3of8/16`, as near to it as 8 or 16 come.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Any

from lba_onnx.arithmetic.accumulator import Accumulator
from lba_onnx.arithmetic.chunked_float.fields import EXACT, WIDE_FORMAT
from lba_onnx.arithmetic.chunked_float.named import is_named
from lba_onnx.arithmetic.chunked_float.order import MOST_LEVELS, check_size, check_sizes, product_bias
from lba_onnx.arithmetic.chunked_float.rules import SumRules
from lba_onnx.arithmetic.chunked_float.text import read_family, read_rules, write_options
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.arithmetic.family import AccumulatorFamily, Exponents, Knob
from lba_onnx.arithmetic.formats import MAX_EXPONENT, MAX_EXPONENT_BIAS, MAX_EXPONENT_BITS, MAX_MANTISSA_BITS
from lba_onnx.arithmetic.grammar import SpecText, read_text

_ROOT = re.compile(r"root(\d{1,4})(?:of(\d{1,9}(?:/\d{1,9})*))?", re.ASCII)


@dataclass(frozen=True)
class ChunkedFloatFamily(SumRules, AccumulatorFamily):
    """All specs with formats of the same bits, and any biases; the rules of `SumRules` by keyword.

    Attributes:
        formats: Of products and of sums.
        root: How many levels of chains a product's depth is spread over, with chunks of about that root of it; 0 where
            the rules say the sizes of chunks.
        offered: The sizes of chunks that a root may become, ascending; none for any.
    """

    formats: FormatFamily
    root: int = 0
    offered: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the rules, and that they leave a bias to choose."""
        super().__post_init__()
        if self.root and not 2 <= self.root <= MOST_LEVELS:
            raise ValueError(f"expected chunk=root2 to chunk=root{MOST_LEVELS}, got chunk=root{self.root}")
        if self.offered and not self.root:
            raise ValueError(f"expected a root beside sizes of chunks that are offered, got {self.offered}")
        if self.offered:
            most = check_size("chunk_size", max(self.offered))
            check_sizes(most, (most,) * (self.root - 2), None)
        if self.root and self.tree is not None:
            raise ValueError(f"expected no tree beside chunk=root{self.root}, got tree={self.tree}")
        if self.root and self.lanes:
            raise ValueError(f"expected no lanes beside chunk=root{self.root}, got lanes={self.lanes}")
        if self.has_dlfloat_codes:
            raise ValueError(
                f"{self}: expected formats whose bias is free; DLFloat gives its own: name it, and convert takes it"
            )

    @classmethod
    def read(cls, text: SpecText) -> "ChunkedFloatFamily":
        """Read a family from a text taken apart.

        Raises:
            ValueError: It is none: the biases are given, or something else stands there.
        """
        if is_named(text):
            problem = f"expected formats whose biases are free, got {text.head.text!r}, whose bias is given"
            raise text.error(f"{problem}: convert takes it as it is, without calibration", text.head)
        found = {option: _ROOT.fullmatch(option.value) for option in text.options if option.key == "chunk"}
        option, match = next(((option, match) for option, match in found.items() if match), (None, None))
        rules = read_rules(replace(text, options=tuple(other for other in text.options if other is not option)))
        try:
            root, offered = _read_root(match) if match else (0, ())
            return cls(read_family(text, rules), root, offered, **rules.rules)
        except ValueError as error:
            if option is not None:
                raise text.error(str(error), option.part) from None
            raise text.error(str(error), text.head) if rules.has_dlfloat_codes else error from None

    def __str__(self) -> str:
        """Return the text: the bits, then the options that are not the default."""
        chunks = f",chunk={self._root_text}" if self.root else ""
        return f"{self.formats}{chunks}{write_options(self)}"

    @property
    def _root_text(self) -> str:
        return f"root{self.root}" + (f"of{'/'.join(map(str, self.offered))}" if self.offered else "")

    def at_depth(self, depth: int) -> "ChunkedFloatFamily":
        """Return the family of products of a depth, whose chunks are of a size; 0 where the depth is not known."""
        if not self.root:
            return self
        if not depth:
            return replace(self, root=0, offered=())
        best = depth ** (1 / self.root)
        size = min(self.offered, key=lambda size: abs(math.log(size / best))) if self.offered else max(2, round(best))
        return replace(self, root=0, offered=(), chunk_size=size, outer_chunks=(size,) * (self.root - 2))

    @property
    def bits(self) -> str:
        """Return the formats' bits."""
        return str(self.formats)

    @property
    def binades(self) -> int:
        """How many powers of two the range of a format spans."""
        return 1 << self.formats.exponent_bits

    @property
    def free_knobs(self) -> tuple[Knob, ...]:
        """The largest exponents of both formats, which their biases set."""
        least = self.formats.with_bias(MAX_EXPONENT_BIAS)
        limits = least.max_exponent, MAX_EXPONENT
        of = {"product": "products", "accumulator": "sums"}
        return tuple(Knob(name, f"largest exponent of {what}", *limits) for name, what in of.items())

    @property
    def costly_knobs(self) -> tuple[Knob, ...]:
        """The bits of both formats."""
        return (
            Knob("range_bits", "exponent bits", 1, MAX_EXPONENT_BITS, self.formats.exponent_bits),
            Knob("precision_bits", "mantissa bits", 0, MAX_MANTISSA_BITS, self.formats.mantissa_bits),
        )

    def described(self) -> dict[str, Any]:
        """Return bits and options as JSON values."""
        bits = {"mantissa_bits": self.formats.mantissa_bits, "exponent_bits": self.formats.exponent_bits}
        root = {"chunk_root": self.root} if self.root else {}
        offered = {"offered_chunk_sizes": list(self.offered)} if self.offered else {}
        return {**bits, **super().described(), **root, **offered}

    def with_exponents(self, exponents: Exponents) -> str:
        """Return the text of the spec with these largest exponents, or with the nearest legal ones."""
        self._check_sizes()
        product, accumulator = map(self.formats.with_max_exponent, exponents)
        products = "" if self.exact_products else f"{product}/"
        return f"{products}{accumulator}{write_options(self)}"

    def with_bias(self, bias: int) -> str:
        """Return the text of the spec whose sums have this bias, and whose products have that of the rule."""
        self._check_sizes()
        return f"{self.formats}b{bias}{write_options(self)}"

    def _check_sizes(self) -> None:
        if self.root:
            raise ValueError(f"{self}: expected sizes of chunks where no data tell how deep products are")

    def exponents(self, accumulator: Accumulator) -> Exponents:
        """Return the largest exponents of both formats."""
        return Exponents(*(held.max_exponent for held in accumulator.ranges))

    def tied(self, exponents: Exponents) -> Exponents:
        """Return the exponents with the product's replaced by the one that the rule gives to the accumulator's."""
        return exponents._replace(product=exponents.accumulator - product_bias(0, self.group_size))

    def exponent_above(self, magnitude: float) -> int:
        """Return the least exponent whose largest value exceeds a magnitude."""
        return self.formats.exponent_above(magnitude)

    def legal(self, exponent: int) -> int:
        """Return the nearest legal exponent."""
        return self.formats.with_max_exponent(exponent).max_exponent

    def least_exponent(self, exponent: int) -> int:
        """Return the exponent of the smallest value that does not become zero."""
        smallest = self.formats.with_max_exponent(exponent).smallest_kept(self.underflow)
        return math.frexp(smallest)[1] - 1

    def wide(self) -> str:
        """Return M22E7b63 with the family's order; its range is wide enough to let what is smaller underflow."""
        order = SumRules(
            chunk_size=self.chunk_size,
            outer_chunks=self.outer_chunks,
            tree=self.tree,
            lanes=self.lanes,
            starts_from_carry=self.starts_from_carry,
        )
        return f"{WIDE_FORMAT}/{WIDE_FORMAT}{write_options(order)}"

    def widened(self, range_bits: int = 0, precision_bits: int = 0) -> "ChunkedFloatFamily | None":
        """Return the family with so many more exponent and mantissa bits; None beyond 7 and 22."""
        mantissa_bits = self.formats.mantissa_bits + precision_bits
        exponent_bits = self.formats.exponent_bits + range_bits
        if mantissa_bits > MAX_MANTISSA_BITS or exponent_bits > MAX_EXPONENT_BITS:
            return None
        wider = replace(self.formats, mantissa_bits=mantissa_bits, exponent_bits=exponent_bits)
        return replace(self, formats=wider)

    @property
    def precision_bits(self) -> int:
        """The mantissa bits."""
        return self.formats.mantissa_bits

    def includes(self, accumulator: Accumulator) -> bool:
        """Tell whether both formats of a spec have no more mantissa nor exponent bits."""
        held = [held.text.partition("b")[0] for held in accumulator.ranges]
        families = [FormatFamily.parse(text) for text in held if text != EXACT]
        ours = self.formats
        return all(f.mantissa_bits <= ours.mantissa_bits and f.exponent_bits <= ours.exponent_bits for f in families)

    def like(self, accumulator: Accumulator) -> "ChunkedFloatFamily":
        """Return the family with these bits and the rules of a spec."""
        rules = read_rules(read_text(str(accumulator)))
        codes = {"has_infinity": rules.has_infinity, "has_subnormals": rules.has_subnormals}
        return replace(self, root=0, offered=(), formats=replace(self.formats, **codes), **rules.rules)


def _read_root(match: re.Match[str]) -> tuple[int, tuple[int, ...]]:
    """Return what "root3of8/16" says: the root, and the sizes that chunks may have."""
    sizes = {check_size("chunk_size", int(size)) for size in (match[2] or "").split("/") if size}
    return int(match[1]), tuple(sorted(sizes))
