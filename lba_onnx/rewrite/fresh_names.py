"""Names of values and nodes that nothing in a model has yet."""

from collections import Counter
from collections.abc import Iterator

import onnx

from lba_onnx.rewrite.analysis import Body


class FreshNames:
    """Hands out names of values and nodes that nothing in the model has."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken = set(_names_in(model))
        self._numbers: Counter[str] = Counter()

    def make(self, name: str) -> str:
        """Return the name, with an underscore behind it, or that and a number, where it is taken."""
        fresh = name
        while fresh in self._taken:
            self._numbers[name] += 1
            fresh = f"{name}_" if self._numbers[name] == 1 else f"{name}_{self._numbers[name]}"
        self._taken.add(fresh)
        return fresh


def _names_in(model: onnx.ModelProto) -> Iterator[str]:
    bodies: list[Body] = [model.graph, *model.functions]
    while bodies:
        body = bodies.pop()
        if isinstance(body, onnx.FunctionProto):
            yield from (*body.input, *body.output)
        else:
            yield from (value.name for value in (*body.input, *body.output, *body.value_info, *body.initializer))
            yield from (tensor.values.name for tensor in body.sparse_initializer)
        for node in body.node:
            yield from (node.name, *node.input, *node.output)
            bodies.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))
