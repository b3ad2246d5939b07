"""Nodes of a graph or function put between others, moved and taken out; all at once, so that it is walked once."""

from dataclasses import dataclass, field

import onnx

from lba_onnx.rewrite.analysis import Body


@dataclass
class _Neighbours:
    body: Body
    node: onnx.NodeProto
    before: list[onnx.NodeProto] = field(default_factory=list)
    behind: list[onnx.NodeProto] = field(default_factory=list)
    moved_here: onnx.NodeProto | None = None
    is_removed: bool = False


class Insertions:
    """Nodes to insert, move and remove; `apply` does it. The nodes that stay are the same objects."""

    def __init__(self) -> None:
        self._neighbours: dict[int, _Neighbours] = {}

    def before(self, node: onnx.NodeProto, body: Body, *inserted: onnx.NodeProto) -> None:
        """Insert nodes directly before a node of a body, behind those inserted there already."""
        self._at(node, body).before.extend(inserted)

    def behind(self, node: onnx.NodeProto, body: Body, *inserted: onnx.NodeProto) -> None:
        """Insert nodes directly behind a node of a body, before those inserted there already."""
        self._at(node, body).behind[:0] = inserted

    def replace(self, node: onnx.NodeProto, body: Body, other: onnx.NodeProto) -> None:
        """Remove a node of a body, and move another one, with all that is inserted around it, to its place."""
        neighbours = self._at(node, body)
        neighbours.is_removed, neighbours.moved_here = True, other

    def remove(self, node: onnx.NodeProto, body: Body) -> None:
        """Remove a node of a body; the object must not be used any more."""
        self._at(node, body).is_removed = True

    def apply(self) -> None:
        """Change everything."""
        bodies = {id(neighbours.body): neighbours.body for neighbours in self._neighbours.values()}
        for body in bodies.values():
            self._apply_to(body)
        self._neighbours.clear()

    def _at(self, node: onnx.NodeProto, body: Body) -> _Neighbours:
        return self._neighbours.setdefault(id(node), _Neighbours(body, node))

    def _apply_to(self, body: Body) -> None:
        present = list(body.node)
        moved = {id(around.moved_here) for around in self._neighbours.values() if around.moved_here is not None}
        order: list[onnx.NodeProto | None] = []  # None for each node that is new
        inserted: list[onnx.NodeProto] = []
        for place in present:
            at_place = self._neighbours.get(id(place), _Neighbours(body, place))
            node = at_place.moved_here if at_place.is_removed else place
            if node is None or id(place) in moved:
                continue
            around = self._neighbours.get(id(node), _Neighbours(body, node))
            order += [*[None] * len(around.before), node, *[None] * len(around.behind)]
            inserted += [*around.before, *around.behind]
        removed = [self._neighbours[id(n)].node for n in present if self._is_removed(n)]
        order += removed
        body.node.extend(inserted)
        added = iter(list(body.node)[len(present) :])
        nodes = [next(added) if node is None else node for node in order]  # kept alive, so that each keeps its id
        places = {id(node): place for place, node in enumerate(nodes)}
        body.node.sort(key=lambda node: places[id(node)])
        del body.node[len(nodes) - len(removed) :]

    def _is_removed(self, node: onnx.NodeProto) -> bool:
        return id(node) in self._neighbours and self._neighbours[id(node)].is_removed
