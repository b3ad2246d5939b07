"""What is known of a model's values: which node makes each, what the constants hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lba_onnx.rewrite import external_data
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.scopes import Scope, walk_scopes


class Values:
    """The values of one model, named as a node names them."""

    def __init__(self, model: onnx.ModelProto, sites: Sequence[Site], path: Path | None) -> None:
        """Look at a model.

        Args:
            model: The model; it is not changed.
            sites: All of its nodes.
            path: The file beside which its external data lies; None where there is none.
        """
        self._path = path
        self._scopes = {id(scope.body): scope for scope in walk_scopes(model)}
        self._consumers: dict[tuple[int, str], list[Site]] = {}
        for site in sites:
            for name in set(site.node.input):
                self._consumers.setdefault((id(site.body), name), []).append(site)
        self._producers = {(id(site.body), name): site for site in sites for name in site.node.output if name}

    def scope(self, site: Site) -> Scope:
        """Return the scope that a node stands in."""
        return self._scopes[id(site.body)]

    def producer(self, site: Site, name: str) -> Site | None:
        """Return the node that makes a value which a node reads; None for inputs and initializers."""
        owner = self.scope(site).owner(name)
        return None if owner is None else self._producers.get((id(owner.body), name))

    def only_consumer(self, site: Site, result: str) -> Site | None:
        """Return the node that alone reads a node's result; None where others do, or it is an output of the graph."""
        if self.scope(site).uses(result) != 1:
            return None
        consumers = self._consumers.get((id(site.body), result), [])
        return consumers[0] if consumers else None

    def means_the_same(self, name: str, first: Site, second: Site) -> bool:
        """Return whether a name stands for one value where two nodes stand."""
        return self.scope(first).owner(name) is self.scope(second).owner(name)

    def tensor(self, site: Site, name: str) -> onnx.TensorProto | None:
        """Return the tensor of a constant that a node reads, whose values may lie outside; None for what is none."""
        owner = self.scope(site).owner(name)
        return None if owner is None else owner.constant(name)

    def constant(self, site: Site, name: str) -> npt.NDArray[Any] | None:
        """Return what a constant that a node reads holds; None where it is no constant, or lies out of reach."""
        tensor = self.tensor(site, name)
        if tensor is None or not is_external(tensor):
            return None if tensor is None else np.asarray(onnx.numpy_helper.to_array(tensor))
        if self._path is None:
            return None
        loaded = onnx.TensorProto()
        loaded.CopyFrom(tensor)
        external_data.load_tensor(loaded, external_data.locate(tensor, self._path))
        return np.asarray(onnx.numpy_helper.to_array(loaded))

    def size(self, site: Site, index: int) -> int | None:
        """Return how many elements an input of a node has, where that is known."""
        constant = self.constant(site, site.node.input[index])
        if constant is not None:
            return constant.size
        dimensions = site.dimensions(index)
        if dimensions is None or None in dimensions:
            return None
        return int(np.prod([size for size in dimensions if size is not None], dtype=np.int64))
