"""The calls of low-bit-accumulator operators that a model makes, each under the name that its ONNX node has.

site "block1.conv", called once     ->  node "block1.conv"
site "head", called three times     ->  nodes "head", "head#2", "head#3"

The statistics key of each site is "export/<site>" while the model runs or is traced, so that every call says whose it
is, whether a module makes it or a product inside an attention module.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import lba_onnx.torch.operators.custom_ops  # noqa: F401  (registers them)
from lba_onnx.errors import ModelError
from lba_onnx.torch.layers.sites import LbaSite, require_sites

_PREFIX = "export/"
_ROOT = "model"

OPERATORS = {
    torch.ops.lba_onnx.linear.default: "linear",
    torch.ops.lba_onnx.matmul.default: "matmul",
    torch.ops.lba_onnx.conv.default: "conv",
}
_OPERANDS = {
    "linear": ("input", "weight", "bias"),
    "matmul": ("a", "b", "initial"),
    "conv": ("input", "weight", "bias"),
}


@dataclass(frozen=True, eq=False)
class LbaCall:
    """One call of an operator.

    Attributes:
        node: The name of its ONNX node.
        operator: "linear", "matmul" or "conv".
        arguments: Those of the operator, by name.
        output: What it returned, float32.
    """

    node: str
    operator: str
    arguments: Mapping[str, Any]
    output: Tensor

    @property
    def operands(self) -> list[Tensor | None]:
        """The tensors it took, in the order of the ONNX operator's inputs."""
        return [self.arguments[name] for name in _OPERANDS[self.operator]]

    def compute(self, **changed: Any) -> Tensor:
        """Return the operator's result with some arguments changed."""
        operator = getattr(torch.ops.lba_onnx, self.operator)
        with torch.no_grad():
            result: Tensor = operator(**{**self.arguments, **changed})
        return result


class NodeNames:
    """Gives the calls of a model their nodes' names, in the order in which they come."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def next(self, statistics: str) -> str:
        """Return the name for the next call under a statistics key that `naming_sites` has set.

        Raises:
            ModelError: The key is empty.
        """
        site = statistics.removeprefix(_PREFIX)
        if not site:
            raise ModelError(
                "expected every low-bit-accumulator product to be that of a site, whose name its node gets, got one "
                "outside; use a module where lba_linear or another function is called"
            )
        self._calls[site] += 1
        return site if self._calls[site] == 1 else f"{site}#{self._calls[site]}"


def site_of(node: str, sites: Mapping[str, Any]) -> str:
    """Return the site that a node's name stands for; the name itself where it is a site's, or no site's."""
    return node if node in sites else node.rpartition("#")[0] or node


def named_sites(model: nn.Module) -> dict[str, LbaSite]:
    """Return the sites of a model by name; a model that is one itself goes by "model".

    Raises:
        ModelError: There are none.
    """
    return {name or _ROOT: site for name, site in require_sites(model).items()}


@contextmanager
def naming_sites(model: nn.Module) -> Iterator[None]:
    """Let each site call its operator under its own name while the block runs.

    Raises:
        ModelError: The model has no site.
    """
    sites = named_sites(model)
    before = {name: site.statistics for name, site in sites.items()}
    try:
        for name, site in sites.items():
            site.statistics = _PREFIX + name
        yield
    finally:
        for name, site in sites.items():
            site.statistics = before[name]


def observe_calls(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], observer: Callable[[LbaCall], None]
) -> Any:
    """Run a model without gradients, show each call of an operator to the observer, and return the model's output.

    Raises:
        ModelError: The model has no site.
    """
    with naming_sites(model), torch.no_grad(), Observing(observer):
        return model(*args, **kwargs)


class Observing(TorchDispatchMode):
    """Shows each call of an operator to an observer, also inside the branch that torch.cond takes."""

    supports_higher_order_operators = True

    def __init__(self, observer: Callable[[LbaCall], None]) -> None:
        super().__init__()
        self._observer = observer
        self._names = NodeNames()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.higher_order.cond:
            is_true, true_branch, false_branch, operands = args
            with self:
                return (true_branch if is_true else false_branch)(*operands)
        output = func(*args, **(kwargs or {}))
        if func in OPERATORS:
            names = (argument.name for argument in func._schema.arguments)
            arguments = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
            node = self._names.next(arguments["statistics"])
            self._observer(LbaCall(node, OPERATORS[func], arguments, output))
        return output
