"""Models cut into segments, which run one after another, and what stands for some of them where a model was changed.

    model      a = f(x);  b = MatMul(a, w);  c = g(b);  d = MatMul(c, v);  y = d + c
    segments   x -> f -> a        a -> MatMul, g -> c         c -> MatMul, + -> y
    changed                       a -> LbaMatMul, g -> c                                 stands for the second

Segments begin at products, where no more values go on than at the products around: between layers, and not inside them.
Requires nodes in an order in which they can run, as ONNX does. Parts hold only the initializers that they read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf

import onnx

from lba_onnx.rewrite.twins import has_twin, is_twin

_MOST_SEGMENTS = 32  # each has a session, with threads of its own


@dataclass(frozen=True, eq=False)
class Part:
    """Some nodes of a model.

    Attributes:
        model: The part; its inputs have no types yet.
        inputs: What it is fed.
        outputs: What it yields: what comes after it reads, and outputs of the whole model.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Segments:
    """Where a model is cut.

    Attributes:
        model: The model.
        places: The number of the first node of each segment, and how many nodes there are.
    """

    model: onnx.ModelProto
    places: tuple[int, ...]

    def __len__(self) -> int:
        """Return how many segments there are."""
        return len(self.places) - 1

    def nodes(self, first: int, stop: int) -> list[onnx.NodeProto]:
        """Return the nodes of the segments from one to before another."""
        return list(self.model.graph.node[self.places[first] : self.places[stop]])

    def joined(self, number: int) -> "Segments":
        """Return the same without the cut behind a segment."""
        return Segments(self.model, (*self.places[: number + 1], *self.places[number + 2 :]))

    def live(self, number: int) -> list[str]:
        """Return what a segment, or one behind it, reads of what is made before; the inputs of the model left out."""
        place = self.places[number]
        return [name for name, (made, read) in self._lives.items() if made < place <= read]

    def part(self, number: int) -> Part:
        """Return a segment."""
        return self._part_of(self.model, self.nodes(number, number + 1), number, number + 1)

    def changed(self, model: onnx.ModelProto) -> tuple[int, int, Part]:
        """Return what stands for the segments that differ where the model was changed.

        Args:
            model: The model, changed; values that nodes share with those that did not change have the same names.

        Returns:
            The first of the segments, the first behind them, and the part; both are the number of segments where
            nothing differs.
        """
        own, functions = self._texts, _changed_functions(model, self.model)
        texts = [node.SerializeToString() for node in model.graph.node]
        kept = {t for t, node in zip(texts, model.graph.node, strict=True) if not _called(node) & functions}
        places = [place for place, text in enumerate(own) if text not in kept]
        if not places:
            return len(self), len(self), self._part_of(model, [], len(self), len(self))
        first, last = (sum(place >= begin for begin in self.places) - 1 for place in (places[0], places[-1]))
        known = kept.intersection(own)
        new = {text for text in texts if text not in known}
        while True:
            inside = new.union(own[self.places[first] : self.places[last + 1]])
            nodes = [node for text, node in zip(texts, model.graph.node, strict=True) if text in inside]
            part = self._part_of(model, nodes, first, last + 1)
            if not first or set(part.inputs) <= {*self._inputs, *self.live(first)}:
                return first, last + 1, part
            first -= 1  # a changed node reads what goes on no further

    def _part_of(self, model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], first: int, stop: int) -> Part:
        """Return what nodes in place of some segments have to yield, and what of them does."""
        made = {output for node in self.nodes(first, stop) for output in node.output if output}
        whole = dict.fromkeys(output.name for output in self.model.graph.output)
        outputs = tuple(name for name in dict.fromkeys((*self.live(stop), *whole)) if name in made)
        wanted, needed = set(outputs), []
        for node in reversed(nodes):
            if not wanted.isdisjoint(node.output):
                needed.append(node)
                wanted.update(_reads(node))
        needed.reverse()
        given = {output for node in needed for output in node.output} | _constants(model.graph)
        read = dict.fromkeys(name for node in needed for name in _reads(node))
        return Part(_model_of(model, needed, outputs), tuple(name for name in read if name not in given), outputs)

    @cached_property
    def _lives(self) -> dict[str, tuple[int, int]]:
        return _lives(self.model.graph)

    @cached_property
    def _texts(self) -> list[bytes]:
        return [node.SerializeToString() for node in self.model.graph.node]

    @cached_property
    def _inputs(self) -> set[str]:
        return {value.name for value in self.model.graph.input}


def cut_segments(model: onnx.ModelProto) -> Segments:
    """Return where to cut a model; there are at most 32 segments."""
    nodes = model.graph.node
    steps = [0] * (len(nodes) + 1)
    inputs = {value.name for value in model.graph.input} - _constants(model.graph)
    for made, read in _lives(model.graph, inputs).values():
        steps[made + 1] += 1
        steps[read + 1] -= 1
    widths = list(accumulate(steps))  # how many values go on
    products = [place for place, node in enumerate(nodes) if has_twin(node) or is_twin(node)]
    found = [inf, *(widths[place] for place in products), inf]
    narrow = [p for p, *w in zip(products, found, found[1:], found[2:], strict=False) if w[1] <= min(w[0], w[2])]
    places = [place for place in narrow if place]
    step = -(-len(places) // (_MOST_SEGMENTS - 1)) or 1
    return Segments(model, (0, *places[::step], len(nodes)))


def with_inputs(model: onnx.ModelProto, values: Iterable[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """Return a part with inputs of these names and types; it shares nothing with the one given."""
    fed = onnx.ModelProto()
    fed.CopyFrom(model)
    del fed.graph.input[:]
    fed.graph.input.extend(values)
    return fed


def _lives(graph: onnx.GraphProto, inputs: Iterable[str] = ()) -> dict[str, tuple[int, int]]:
    """Return for each value that a node makes and a later one reads the numbers of that node and of its last reader.

    Args:
        graph: The graph.
        inputs: Inputs of the graph, which are made before the first node: by number -1.
    """
    made = {output: place for place, node in enumerate(graph.node) for output in node.output if output}
    made |= dict.fromkeys(inputs, -1)
    read = {name: place for place, node in enumerate(graph.node) for name in _reads(node)}
    return {name: (place, read[name]) for name, place in made.items() if name in read}


def _model_of(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> onnx.ModelProto:
    """Return a model of some nodes of another one."""
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.name = model.graph.name
    part.graph.node.extend(nodes)
    read = {name for node in part.graph.node for name in _reads(node)} | set(outputs)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    sparse = (tensor for tensor in model.graph.sparse_initializer if tensor.values.name in read)
    part.graph.sparse_initializer.extend(sparse)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return part


def _reads(node: onnx.NodeProto) -> list[str]:
    """Return the values that a node reads; of those that the graphs inside of it read, the ones from outside."""
    names = [name for name in node.input if name]
    for graph in _subgraphs(node):
        own = _constants(graph) | {value.name for value in graph.input}
        own |= {output for inner in graph.node for output in inner.output}
        read = [name for inner in graph.node for name in _reads(inner)]
        read += [output.name for output in graph.output]
        names += [name for name in read if name not in own]
    return names


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    return (attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _constants(graph: onnx.GraphProto) -> set[str]:
    return {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}


def _called(node: onnx.NodeProto) -> set[tuple[str, str]]:
    """Return domain and type of a node, and of those in the graphs inside of it."""
    inner = (_called(other) for graph in _subgraphs(node) for other in graph.node)
    return {(node.domain, node.op_type)}.union(*inner)


def _changed_functions(changed: onnx.ModelProto, source: onnx.ModelProto) -> set[tuple[str, str]]:
    """Return the functions that differ, and those that call them."""
    same = {function.SerializeToString() for function in source.functions}
    found = {(f.domain, f.name) for f in changed.functions if f.SerializeToString() not in same}
    while True:
        callers = {
            (function.domain, function.name)
            for function in changed.functions
            if any(_called(node) & found for node in function.node)
        }
        if callers <= found:
            return found
        found |= callers
