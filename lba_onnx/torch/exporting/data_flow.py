"""Which calls of low-bit-accumulator operators have a part in what a model returns.

    y = self.first(x); unused = self.second(x); return y   ->   {"first"}

A call whose result reaches no output has no node in an exported model. Values are followed from operator to operator
by the storage that holds them, which at times takes a call for needed that is not, and never the reverse, unless a
value leaves PyTorch on its way, as by `item()`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lba_onnx.torch.exporting.calls import OPERATORS, LbaCall, Observing, naming_sites


def needed_calls(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> set[str]:
    """Run a model without gradients and return the nodes' names of the calls that its outputs depend on.

    Raises:
        ModelError: The model has no site.
    """
    flow = _Flow()
    with naming_sites(model), torch.no_grad(), flow:
        outputs = model(*args, **kwargs)
    return flow.origins(outputs)


class _Flow(Observing):
    """Notes for each storage which calls its values come from."""

    def __init__(self) -> None:
        super().__init__(self._take)
        self._node = ""
        self._noted: dict[int, tuple[torch.UntypedStorage, set[str]]] = {}  # held, so that no address serves twice

    def origins(self, values: Any) -> set[str]:
        """Return the calls that the tensors in any nesting of containers come from."""
        found: set[str] = set()
        for tensor in _tensors(values):
            found |= self._noted.get(tensor.untyped_storage().data_ptr(), (None, found))[1]
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        origins = self.origins((args, kwargs))
        output = super().__torch_dispatch__(func, types, args, kwargs)
        if func in OPERATORS:
            origins.add(self._node)
        is_mutable = hasattr(func, "_schema") and func._schema.is_mutable
        self._note((output, args, kwargs) if is_mutable else output, origins)
        return output

    def _take(self, call: LbaCall) -> None:
        self._node = call.node

    def _note(self, values: Any, origins: set[str]) -> None:
        for tensor in _tensors(values):
            storage = tensor.untyped_storage()
            _, known = self._noted.setdefault(storage.data_ptr(), (storage, set()))
            known |= origins


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)]
