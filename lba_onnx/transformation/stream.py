"""Residual streams: the values that normalizations and residual additions share, who writes them and who reads them.

    ids -> Gather -> s0 --> Norm -> MatMul ... MatMul -> Add -> s1 --> Norm -> ...
                     |                                   |
                     +-----------------------------------+

From the input of each normalization on, backwards and forwards: what an Add adds and what it gives belong to the same
stream. Writers are constant matrices (MatMul, Gemm, Gather) and constants; readers are normalizations, each followed
by constant matrices. Anything else is a reason to leave the stream as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import onnx

from lba_onnx.transformation.graph import INSIDE, ModelGraph, Use, attribute, called, is_standard
from lba_onnx.transformation.linear import Linear, as_linear, as_patches
from lba_onnx.transformation.norms import Norm, is_identity
from lba_onnx.transformation.transformation import Refusal

_POST_NORM = "post-norm: its own output goes on as the residual stream, where its gain does not pass through a rotation"


@dataclass(frozen=True, eq=False)
class Reader:
    """A normalization and the matrices that its result is multiplied by."""

    norm: Norm
    products: tuple[Linear, ...]


@dataclass(frozen=True, eq=False)
class Stream:
    """A residual stream that can be rotated.

    Attributes:
        size: Its width.
        writers: Matrices whose outputs it is the sum of.
        constants: Uses of constants that are added to it.
        readers: The normalizations that read it.
    """

    size: int
    writers: tuple[Linear, ...]
    constants: tuple[Use, ...]
    readers: tuple[Reader, ...]

    @property
    def is_centred(self) -> bool:
        """Whether a reader subtracts the mean."""
        return any(reader.norm.is_centred for reader in self.readers)

    def __str__(self) -> str:
        """Say what it is."""
        kind = "LayerNorm" if self.is_centred else "RMSNorm"
        products = sum(len(reader.products) for reader in self.readers)
        return (
            f"residual stream of {self.size} channels from {called(self.writers[0].node)}: {len(self.writers)} "
            f"matrices write it, {len(self.readers)} {kind} and {products} matrices behind them read it"
        )


class _Unfit(Exception):
    """A reason why a stream cannot be rotated."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(node, reason)


def find_streams(graph: ModelGraph, norms: Sequence[Norm]) -> Iterator[Stream | Refusal]:
    """Yield the residual streams of a graph: each as it can be rotated, or with the first reason why not."""
    seen: set[str] = set()
    for norm in norms:
        if norm.inputs[0] in seen:
            continue
        search = _Search(graph, norms)
        try:
            yield search.run(norm)
        except _Unfit as unfit:
            yield unfit.refusal
        seen |= search.values


@dataclass
class _Search:
    """What is found of one stream so far."""

    graph: ModelGraph
    norms: Sequence[Norm]
    values: set[str] = field(default_factory=set)
    pending: list[str] = field(default_factory=list)
    writers: dict[int, Linear] = field(default_factory=dict)
    constants: list[Use] = field(default_factory=list)
    readers: list[Norm] = field(default_factory=list)

    def run(self, first: Norm) -> Stream:
        self._join(*first.inputs)
        refusals = []
        while self.pending:  # to its end, so that a stream that is left is not looked at again
            value = self.pending.pop()
            for follow in (self._follow_back, self._follow_on):
                try:
                    follow(value)
                except _Unfit as unfit:
                    refusals.append(unfit)
        if refusals:
            raise min(refusals, key=lambda unfit: unfit.refusal.reason != _POST_NORM)
        readers = tuple(Reader(norm, tuple(self._products(norm, norm.output))) for norm in self.readers)
        return self._checked(readers)

    def _join(self, *values: str) -> None:
        for value in values:
            if value not in self.values:
                self.values.add(value)
                self.pending.append(value)

    def _follow_back(self, value: str) -> None:
        node = self.graph.producer(value)
        if node is None:
            raise _Unfit(value, f"the stream begins at the graph's input {value!r}, which nothing can rotate")
        own = next((norm for norm in self.norms if id(node) in norm.nodes), None)
        if own is not None and value != own.total:
            raise _Unfit(called(own.node), _POST_NORM)
        if own is not None:
            self._enter(own)
        elif is_standard(node, "Add") or self._joins(node):
            self._join_or_note(*(Use(node, index) for index in range(len(node.input))))
        elif is_identity(node) or self._scaled(node) is not None or self._cut(node):
            self._join(node.input[self._scaled(node) or 0])
        elif is_standard(node, "Expand") and self.graph.vector(node.input[0]) is not None:
            self._join_or_note(Use(node, 0))
        else:
            self._write(node)

    def _write(self, node: onnx.NodeProto) -> None:
        """Note a matrix that writes the stream."""
        patches = self._patches(node)
        found = as_linear(self.graph, node) if patches is None else as_patches(self.graph, patches)
        if isinstance(found, str):
            raise _Unfit(called(node), f"writes the stream, but {found}")
        self.writers[id(found.node)] = found

    def _follow_on(self, value: str) -> None:
        if value in self.graph.outputs:
            raise _Unfit(value, f"the stream's value {value!r} is an output of the graph")
        for use in self.graph.uses(value):
            own = next((norm for norm in self.norms if id(use.node) in norm.nodes), None)
            if own is not None and value in own.inputs:
                self._enter(own)
            elif use.index != INSIDE and self._passes(use):
                self._join(use.node.output[0])
            elif not is_standard(use.node, "Shape"):
                raise _Unfit(called(use.node), f"reads the stream's value {value!r} without a normalization")

    def _enter(self, norm: Norm) -> None:
        if norm in self.readers:
            return
        self.readers.append(norm)
        self._join(*norm.inputs)
        if norm.total is not None:
            self._join(norm.total)
        if norm.added is not None:
            self._join_or_note(norm.added)

    def _join_or_note(self, *uses: Use) -> None:
        for use in uses:
            if self.graph.vector(use.value) is None:
                self._join(use.value)
            elif not any(use.node is known.node and use.index == known.index for known in self.constants):
                self.constants.append(use)

    def _scaled(self, node: onnx.NodeProto) -> int | None:
        """Return which input a node multiplies by one number for all channels."""
        if not is_standard(node, "Mul", "Div"):
            return None
        by = [index for index, name in enumerate(node.input) if self.graph.scalar(name) is not None]
        return 1 - by[0] if len(by) == 1 and (node.op_type == "Mul" or by[0] == 1) else None

    def _cut(self, node: onnx.NodeProto) -> bool:
        """Return whether a node takes some of the positions, with all their channels."""
        if is_standard(node, "Gather") and self.graph.vector(node.input[0]) is None:
            return self.graph.is_inner_axis(node.input[0], attribute(node, "axis", 0))
        if not is_standard(node, "Slice") or len(node.input) < 4:
            return False
        axes = self.graph.constant(node.input[3])
        return axes is not None and all(self.graph.is_inner_axis(node.input[0], int(axis)) for axis in axes.ravel())

    def _joins(self, node: onnx.NodeProto) -> bool:
        """Return whether a node puts positions beside others, each with all its channels."""
        return is_standard(node, "Concat") and self.graph.is_inner_axis(node.output[0], attribute(node, "axis", -1))

    def _patches(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the convolution whose channels a Transpose puts last: Conv, Reshape or Flatten to three axes, it."""
        if not is_standard(node, "Transpose") or list(attribute(node, "perm", ())) != [0, 2, 1]:
            return None
        flat = self.graph.producer(node.input[0])
        conv = self.graph.producer(flat.input[0]) if flat is not None and is_standard(flat, "Reshape") else None
        if flat is None or conv is None or not is_standard(conv, "Conv"):
            return None
        uses = [use for use in self.graph.uses(conv.output[0]) if not is_standard(use.node, "Shape")]
        is_alone = len(uses) == 1 and self.graph.only_use(flat.output[0]) is not None
        return conv if is_alone and conv.output[0] not in self.graph.outputs else None

    def _passes(self, use: Use) -> bool:
        """Return whether what a node does with a value is the same for all channels."""
        if is_standard(use.node, "Add") or is_identity(use.node) or self._joins(use.node):
            return True
        return self._scaled(use.node) == use.index or (self._cut(use.node) and not use.index)

    def _products(self, norm: Norm, value: str) -> Iterator[Linear]:
        if value in self.graph.outputs:
            raise _Unfit(called(norm.node), f"the output {value!r} of the normalization is an output of the graph")
        for use in self.graph.uses(value):
            if use.index != INSIDE and (is_identity(use.node) or self._cut(use.node)):
                yield from self._products(norm, use.node.output[0])
            elif is_standard(use.node, "Shape"):
                continue
            elif is_standard(use.node, "Add"):
                raise _Unfit(called(norm.node), _POST_NORM)
            elif use.index or not is_standard(use.node, "MatMul", "Gemm"):
                reason = f"reads the output {value!r} of a normalization, but multiplies by no constant matrix"
                raise _Unfit(called(use.node), reason)
            else:
                found = as_linear(self.graph, use.node)
                if isinstance(found, str):
                    raise _Unfit(called(use.node), f"reads the output of a normalization, but {found}")
                yield found

    def _checked(self, readers: tuple[Reader, ...]) -> Stream:
        """Return the stream; all that it meets has to have its width, and each weight one role."""
        writers = tuple(self.writers[id(node)] for node in self.graph.nodes if id(node) in self.writers)
        size = writers[0].outputs if writers else 0
        sizes = [(w.node, w.outputs) for w in writers] + [(p.node, p.inputs) for r in readers for p in r.products]
        vectors = [use for r in readers for use in (r.norm.gain, r.norm.bias) if use is not None]
        for use in (*vectors, *self.constants):
            values = self.graph.vector(use.value)
            if values is None:
                raise _Unfit(called(use.node), f"its constant {use.value!r} is not known in float32")
            last = values.shape[-1] if values.ndim else 1
            sizes.append((use.node, size if last == 1 and use in self.constants else last))
        wrong = next(((node, width) for node, width in sizes if width != size), None)
        if wrong is not None:
            raise _Unfit(called(wrong[0]), f"expected the stream's {size} channels, got {wrong[1]}")
        if size < 2:
            raise _Unfit(called(readers[0].norm.node), "no matrix writes what it normalizes")
        return Stream(size, writers, tuple(self.constants), readers)
