"""The arithmetic with every order of sums, every rounding, exact products and the codes of IEEE 754, in rationals.

A value is a rational, or a float for what rationals cannot be: both zeros, both infinities and NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from random_draws import random_draw
from rationals import Format, float32_bits, floor_log2, power, result_bits

Value = Fraction | float
Item = tuple[int, Value]  # a sum, and the first product in it


@dataclass(frozen=True)
class Rules:
    """An accumulator: two formats, and all that can be said of how it sums.

    A chunk of 0 is the whole depth; no product format stands for exact products. `name` is what a text calls it by.
    """

    product: Format | None
    accumulator: Format
    chunks: tuple[int, ...] = ()
    tree: int = 0
    underflow: bool = True
    rounding: str = "truncate"
    random_bits: int = 0
    seed: int = 0
    infinity: bool = False
    subnormals: bool = False
    name: str = ""
    dlfloat: bool = False
    lanes: int = 0
    carry: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """What its text says of how a value gets to a format."""
        said = {
            "underflow=off": not self.underflow,
            f"round={self.rounding}{self.random_bits or ''}": True,
            f"seed={self.seed}": self.seed,
            "range=infinity": self.infinity,
            "subnormals=keep": self.subnormals,
            "codes=dlfloat": self.dlfloat,
        }
        return tuple(option for option, is_said in said.items() if is_said)

    def __str__(self) -> str:
        """Return the text."""
        if self.name:
            return self.name
        products = "" if self.product is None else f"{self.product.text}/"
        exact = ["product=exact"] if self.product is None else []
        tree = [f"tree={self.tree}"] if self.tree else []
        chunk = f"chunk={'x'.join(map(str, self.chunks)) or 'none'}"
        lanes = [f"lanes={self.lanes}"] if self.lanes else []
        carry = ["start=carry"] if self.carry else []
        return ",".join([f"{products}{self.accumulator.text}", chunk, *tree, *lanes, *self.options, *exact, *carry])

    def largest_exponent(self, number_format: Format) -> int:
        """Return the exponent of the largest finite value of a format."""
        return number_format.max_exponent - self.infinity

    def smallest_exponent(self, number_format: Format) -> int:
        """Return the exponent of the smallest value of a format with a leading one."""
        return number_format.min_exponent + self.subnormals

    def as_seen(self, number_format: Format) -> Format:
        """Return a format with the range that its codes leave for values with a leading one."""
        low, high = self.smallest_exponent(number_format), self.largest_exponent(number_format)
        return replace(number_format, min_exponent=low, max_exponent=high)


def is_up(kept: int, rest: Fraction, rules: Rules, draw: int) -> bool:
    """Tell whether a magnitude of so many last bits and a rest becomes one last bit more."""
    half = Fraction(1, 2)
    match rules.rounding:
        case "nearest":
            return rest > half or (rest == half and kept % 2 == 1)
        case "nearest-away":
            return rest >= half
        case "odd":
            return rest > 0 and kept % 2 == 0
        case "stochastic":
            return math.floor(rest * 2**rules.random_bits) + draw >= 2**rules.random_bits
    return False


def quantize(value: Value, number_format: Format, rules: Rules, draw: int = 0) -> Value:
    """Return a value in a format."""
    sign = math.copysign(1, value)
    largest = power(rules.largest_exponent(number_format)) * (2 - power(-number_format.mantissa_bits))
    if rules.dlfloat:
        largest -= power(rules.largest_exponent(number_format) - number_format.mantissa_bits)
    too_large: Value = sign * math.inf if rules.infinity else math.nan if rules.dlfloat else Fraction(sign) * largest
    zero = sign * 0.0 if rules.infinity else 0.0
    if math.isnan(value):
        return value
    if not isinstance(value, Fraction):
        return zero if value == 0 else too_large
    exponent = floor_log2(abs(value))
    smallest = rules.smallest_exponent(number_format)
    if rules.subnormals:
        exponent = max(exponent, smallest)
    last_bit = power(exponent - number_format.mantissa_bits)
    kept, rest = divmod(abs(value) / last_bit, 1)
    magnitude = (kept + is_up(int(kept), rest, rules, draw)) * last_bit
    least = Fraction(0) if rules.subnormals else power(smallest if rules.underflow else -126)
    if rules.dlfloat:
        least *= 1 + power(-number_format.mantissa_bits)
    if magnitude == 0 or magnitude < least:
        return zero
    return too_large if magnitude > largest else Fraction(sign) * magnitude


def multiply(x: float, w: float) -> Value:
    """Return the exact product of two float32 values."""
    product = x * w  # right where it is no rational
    return product if product == 0 or not math.isfinite(product) else Fraction(x) * Fraction(w)


def add(a: Value, b: Value) -> Value:
    """Return the exact sum."""
    numbers = [value for value in (a, b) if isinstance(value, Fraction)]
    others = [value for value in (a, b) if not isinstance(value, Fraction)]
    if len(numbers) == 2:
        return sum(numbers, Fraction(0)) or 0.0
    if numbers:
        return numbers[0] if others[0] == 0 else others[0]
    return others[0] + others[1]


@dataclass(frozen=True)
class Output:
    """One dot product of the outputs of a node."""

    rules: Rules
    place: tuple[int, int]

    def draw(self, stream: int, step: int) -> int:
        """Return the random integer of one rounding."""
        if not self.rules.random_bits:
            return 0
        return random_draw(self.rules.seed, self.place, stream, step, self.rules.random_bits)

    def product(self, x: float, w: float, k: int) -> Item:
        """Return product k in its format."""
        exact = multiply(x, w)
        if self.rules.product is None:
            return k, exact
        return k, quantize(exact, self.rules.product, self.rules, self.draw(0, k))

    def sum(self, total: Value, item: Item, stream: int) -> Value:
        """Return the quantized sum of a total and one item more."""
        k, addend = item
        return quantize(add(total, addend), self.rules.accumulator, self.rules, self.draw(stream, k))

    def chain(self, items: Sequence[Item], stream: int, total: Value = 0.0) -> Item:
        """Return the items summed one after the other."""
        for item in items:
            total = self.sum(total, item, stream)
        return items[0][0] if items else 0, total

    def tree(self, items: Sequence[Item]) -> Item:
        """Return products summed as neighbours, then as neighbours of these sums; an odd one passes up."""
        if len(items) == 1:
            return self.chain(items, 1)
        while len(items) > 1:
            pairs = [items[i : i + 2] for i in range(0, len(items), 2)]
            items = [(p[0][0], self.sum(p[0][1], p[1], 1)) if len(p) == 2 else p[0] for p in pairs]
        return items[0]

    def beside(self, items: Sequence[Item], carry: Sequence[Item]) -> Item:
        """Return products summed in lanes, their sums as neighbours; what is carried starts the first lane."""
        lanes = [items[lane :: self.rules.lanes] for lane in range(min(self.rules.lanes, len(items)))]
        sums = []
        for lane, own in enumerate(lanes):
            total: Value = carry[0][1] if carry and lane == 0 else 0.0
            for item in own:
                total = self.sum(total, item, 1)
            sums.append((own[0][0], total))
        return self.tree(sums) if len(sums) > 1 else sums[0]

    def carried(self, items: Sequence[Item], size: int, how_many: int, start: Value = 0.0) -> list[Item]:
        """Return sums of so many groups each, where each group begins with the sum of those before."""
        sums = []
        for chain in groups(groups(items, size), how_many):
            total: Value = start
            for group in chain:
                carry = (group[0][0], total)
                total = (self.beside(group, [carry]) if self.rules.lanes else self.tree([carry, *group]))[1]
            sums.append((chain[0][0][0], total))
        return sums

    def dot(self, products: Sequence[Item], start: Value = 0.0) -> Value:
        """Return the sum of quantized products; the last chain starts from a value in the format of sums."""
        stream = 1
        items = list(products)
        if self.rules.tree or self.rules.lanes:
            return self.dot_of_groups(items, start)
        for size in self.rules.chunks:
            items = [self.chain(group, stream) for group in groups(items, size)]
            stream += 1
        first = quantize(start, self.rules.accumulator, self.rules, self.draw(stream, len(products)))
        return self.chain(items, stream, first)[1]

    def dot_of_groups(self, items: list[Item], start: Value) -> Value:
        """Return the sum of trees, or of groups of lanes, in chains."""
        rules, everything = self.rules, max(len(items), 1)
        sizes = (rules.tree, *rules.chunks) if rules.tree else rules.chunks or (everything,)
        stream, depth = 2, len(items)
        if rules.carry:
            if len(sizes) == 1:
                first = quantize(start, rules.accumulator, rules, self.draw(stream, depth))
                return self.carried(items, sizes[0], everything, first)[0][1] if items else first
            items = self.carried(items, sizes[0], sizes[1])
            sizes, stream = sizes[1:], 3
        else:
            items = [self.tree(g) if rules.tree else self.beside(g, []) for g in groups(items, sizes[0])]
        for size in sizes[1:]:
            items = [self.chain(group, stream) for group in groups(items, size)]
            stream += 1
        first = quantize(start, rules.accumulator, rules, self.draw(stream, depth))
        return self.chain(items, stream, first)[1]


def groups(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return consecutive groups of so many items; the last may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def dot(
    x: Sequence[float], w: Sequence[float], rules: Rules, place: tuple[int, int] = (0, 0), start: Value = 0.0
) -> Value:
    """Return the dot product in a place."""
    output = Output(rules, place)
    return output.dot([output.product(a, b, k) for k, (a, b) in enumerate(zip(x, w, strict=True))], start)


def value_bits(value: Value) -> str:
    """Return the float32 bits of a result, which float32 must hold exactly; zeros keep their sign."""
    return result_bits(value) if isinstance(value, Fraction) else float32_bits(value)
