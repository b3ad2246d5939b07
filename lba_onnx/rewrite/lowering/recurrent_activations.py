"""Which activations an LSTM, GRU or RNN applies: names and numbers as onnxruntime reads them."""

from collections.abc import Iterator, Mapping, Sequence

from lba_onnx.rewrite.lowering.activations import Activation, parameters_of
from lba_onnx.rewrite.lowering.rule import Refused, Source

_KNOWN = (
    *("Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu"),
    *("ScaledTanh", "HardSigmoid", "Elu", "Softsign", "Softplus"),
)
_DEFAULTS = {"LeakyRelu": {"alpha": 0.01}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "Elu": {"alpha": 1.0}}
_TWO_OF_ONE = 2, 1  # an RNN that goes one way may have the second activation of ONNX's default


def activations_of(source: Source, default: Sequence[str], directions: int) -> list[list[Activation]]:
    """Return the activations of each direction; those that take numbers take the given ones in turn.

    Args:
        source: A recurrent node.
        default: The names of a direction's activations where the node has none.
        directions: 1 or 2.

    Raises:
        Refused: A name or their number is wrong.
    """
    given = {name: iter(source.attributes.get(f"activation_{name}") or ()) for name in ("alpha", "beta")}
    found = [Activation(name, _numbers(name, given)) for name in _names(source, default, directions)]
    return [found[start : start + len(default)] for start in range(0, len(found), len(default))]


def _names(source: Source, default: Sequence[str], directions: int) -> list[str]:
    names = [name.decode() for name in source.attributes.get("activations") or ()] or [*default] * directions
    known = {name.lower(): name for name in _KNOWN}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise Refused(f"expected activations out of {', '.join(_KNOWN)}, got {unknown[0]}")
    count = len(default) * directions
    if len(names) != count and (len(names), count) != _TWO_OF_ONE:
        raise Refused(f"expected {count} activations, got {len(names)}")
    return [known[name.lower()] for name in names[:count]]


def _numbers(name: str, given: Mapping[str, Iterator[float]]) -> tuple[float, ...]:
    defaults = _DEFAULTS.get(name, {})
    return tuple(next(given[number], defaults.get(number, 0.0)) for number in parameters_of(name))
