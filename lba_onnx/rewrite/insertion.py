"""Nodes put between others of a graph or function, all at once, so that a long graph is walked only once."""

from dataclasses import dataclass, field

import onnx

from lba_onnx.rewrite.analysis import Body


@dataclass
class _Neighbours:
    body: Body
    node: onnx.NodeProto
    before: list[onnx.NodeProto] = field(default_factory=list)
    behind: list[onnx.NodeProto] = field(default_factory=list)


class Insertions:
    """Nodes to insert; `apply` puts them in. The nodes that were there stay the same objects."""

    def __init__(self) -> None:
        self._neighbours: dict[int, _Neighbours] = {}

    def before(self, node: onnx.NodeProto, body: Body, *inserted: onnx.NodeProto) -> None:
        """Insert nodes directly before a node of a body, behind those inserted there already."""
        self._at(node, body).before.extend(inserted)

    def behind(self, node: onnx.NodeProto, body: Body, *inserted: onnx.NodeProto) -> None:
        """Insert nodes directly behind a node of a body, before those inserted there already."""
        self._at(node, body).behind[:0] = inserted

    def apply(self) -> None:
        """Insert everything."""
        bodies = {id(neighbours.body): neighbours.body for neighbours in self._neighbours.values()}
        for body in bodies.values():
            self._apply_to(body)
        self._neighbours.clear()

    def _at(self, node: onnx.NodeProto, body: Body) -> _Neighbours:
        return self._neighbours.setdefault(id(node), _Neighbours(body, node))

    def _apply_to(self, body: Body) -> None:
        present = list(body.node)
        order: list[onnx.NodeProto | None] = []  # None for each node that is new
        inserted: list[onnx.NodeProto] = []
        for node in present:
            around = self._neighbours.get(id(node), _Neighbours(body, node))
            order += [*[None] * len(around.before), node, *[None] * len(around.behind)]
            inserted += [*around.before, *around.behind]
        body.node.extend(inserted)
        added = iter(list(body.node)[len(present) :])
        nodes = [next(added) if node is None else node for node in order]  # kept alive, so that each keeps its id
        places = {id(node): place for place, node in enumerate(nodes)}
        body.node.sort(key=lambda node: places[id(node)])
