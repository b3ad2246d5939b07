r"""What to convert, with which arithmetic and estimator: names, patterns and the rest.

    LbaConfig("M7E4b12/M7E4b10")                                              every layer the same
    LbaConfig({"conv1": "M10E5b16", "re:layer4\..*": "M7E4b10", "*": "M7E4b12/M7E4b10"}, "recursive_overflow")

An exact name wins over a pattern, the first pattern that matches over later ones, and "*" takes the rest. Without "*",
what no key selects stays as it is.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from lba_onnx.arithmetic import Accumulator
from lba_onnx.errors import SelectionError
from lba_onnx.estimators import DEFAULT_ESTIMATOR, as_estimator
from lba_onnx.torch.operators.operands import spec_of_floats

PATTERN_PREFIX = "re:"
REST = "*"

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class LbaConfig:
    """What `quantize_` gives to the modules of a model.

    Attributes:
        spec: The arithmetic, or its text; or a mapping of module names, "re:" patterns (regular expressions that match
            a whole name) and "*" to specs.
        estimator: How the backward pass treats what the accumulator loses; or such a mapping, where what no key
            selects has `DEFAULT_ESTIMATOR`.
        attention: Names and "re:" patterns of modules whose matrix products (matmul, @, mm, bmm, baddbmm, addmm,
            scaled_dot_product_attention) are converted too, and the projections of nn.MultiheadAttention. Of matches
            inside one another the outermost counts.
        weight_quantizer: Called once for each site with a weight; the module it returns is applied to the weight before
            the product. It takes over the mode of the site, training or evaluation.
        input_quantizer: Likewise for the input; for a product inside an attention module called twice, once for each
            of the two matrices (`input_quantizer` and `other_quantizer` of the site).
        bias_start: Whether the sums of sites with a bias start from it, as in fused kernels, in place of zero; else it
            is added in float32.

    Raises:
        TypeError: A field has another type.
        ValueError: A spec cannot be read or has no exponent bias, or an estimator is unknown.
    """

    spec: Accumulator | str | Mapping[str, Accumulator | str]
    estimator: str | Mapping[str, str] = DEFAULT_ESTIMATOR
    attention: Sequence[str] = ()
    weight_quantizer: Callable[[], nn.Module] | None = None
    input_quantizer: Callable[[], nn.Module] | None = None
    bias_start: bool = False

    def __post_init__(self) -> None:
        """Check the fields; specs are stored as Accumulator."""
        object.__setattr__(self, "spec", _read("spec", self.spec, spec_of_floats))
        object.__setattr__(self, "estimator", _read("estimator", self.estimator, as_estimator))
        if isinstance(self.attention, str) or not all(isinstance(name, str) for name in self.attention):
            raise TypeError(f"expected attention as a list of names and patterns, got {self.attention!r}")
        if not isinstance(self.bias_start, bool):
            raise TypeError(
                f"expected bias_start to be a bool, got {type(self.bias_start).__name__} {self.bias_start!r}"
            )
        for name in ("weight_quantizer", "input_quantizer"):
            value = getattr(self, name)
            if value is not None and (not callable(value) or isinstance(value, nn.Module)):
                raise TypeError(
                    f"expected {name} as something that returns a new module each time, such as its class, "
                    f"got {type(value).__name__}"
                )


def assign(keys: Mapping[str, _Value], names: Sequence[str], argument: str) -> dict[str, _Value]:
    """Return the value of each name that a key selects.

    Args:
        keys: Exact names, "re:" patterns and "*" to values.
        names: What there is to select.
        argument: What to call the mapping in errors.

    Raises:
        SelectionError: A key selects nothing, or a pattern is no regular expression.
    """
    chosen: dict[str, _Value] = {}
    for key in sorted(keys, key=_precedence):
        selected = names if key == REST else select(key, names, argument)
        for name in selected:
            chosen.setdefault(name, keys[key])
    return {name: chosen[name] for name in names if name in chosen}


def assign_specs(keys: Mapping[str, Accumulator], names: Sequence[str], argument: str) -> dict[str, Accumulator]:
    """Return the spec of each name that a key selects; one for several has random bits of its own in each.

    Args:
        keys: As `assign` takes them.
        names: Likewise.
        argument: Likewise.

    Raises:
        SelectionError: As `assign`.
    """
    chosen = assign(keys, names, argument)
    return {name: spec if name in keys else spec.in_product(name) for name, spec in chosen.items()}


def select(key: str, names: Sequence[str], argument: str) -> list[str]:
    """Return the names that an exact name or a "re:" pattern selects, at least one.

    Raises:
        SelectionError: There is none, or the pattern is no regular expression.
    """
    if not key.startswith(PATTERN_PREFIX):
        selected = [name for name in names if name == key]
    else:
        try:
            expression = re.compile(key.removeprefix(PATTERN_PREFIX))
        except re.error as error:
            raise SelectionError(f"{argument}: {key!r} is no regular expression: {error}") from None
        selected = [name for name in names if expression.fullmatch(name)]
    if not selected:
        raise SelectionError(f"{argument}: nothing to convert matches {key!r}; {nearest(key, names)}")
    return selected


def nearest(key: str, names: Iterable[str]) -> str:
    """Return the end of an error message: which names come nearest to one that was not found."""
    close = difflib.get_close_matches(key.removeprefix(PATTERN_PREFIX), list(names), n=3, cutoff=0.0)
    return f"the nearest names are {', '.join(map(repr, close))}" if close else "there is nothing to choose from"


def _precedence(key: str) -> int:
    if key == REST:
        return 2
    return 1 if key.startswith(PATTERN_PREFIX) else 0


def _read(argument: str, value: object, read: Callable[..., _Value]) -> _Value | dict[str, _Value]:
    if not isinstance(value, Mapping):
        return read(value, argument)
    if not value:
        raise ValueError(f"{argument}: expected at least one name, pattern or '*', got an empty mapping")
    result = {}
    for key, entry in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{argument}: expected names and patterns as keys, got {type(key).__name__} {key!r}")
        result[key] = read(entry, f"{argument} of {key!r}")
    return result
