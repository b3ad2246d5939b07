"""The pass: nodes that multiply and accumulate, and have no twin, become equal nodes whose products have one.

y = com.microsoft.FusedMatMul(a, b, transB=1, alpha=0.5)  ->  fused_transpose = Transpose(b)
                                                              fused_mul = MatMul(a, fused_transpose)    node "fused"
                                                              y = Mul(fused_mul, 0.5)

Requires a model that model_files has checked. Ensures that outputs keep their names, that the nodes stand where the one
that they are made of stood, and that no other node, input, output or opset changes. What cannot be taken apart stays,
with the reason.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import onnx

from lba_onnx import operators
from lba_onnx.rewrite.accumulating import find_accumulating
from lba_onnx.rewrite.analysis import Body, Site, walk_sites
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.lowering.maker import Maker, Names
from lba_onnx.rewrite.lowering.record import Lowering, Origin
from lba_onnx.rewrite.lowering.registry import rules_for
from lba_onnx.rewrite.lowering.rule import Refused, Rule, Source
from lba_onnx.rewrite.node_names import unique_names
from lba_onnx.rewrite.scopes import FIRST_IR_WITH_SEPARATE_INITIALIZERS
from lba_onnx.rewrite.values import Values


def lower_model(model: onnx.ModelProto, path: Path | None = None, groups: Collection[str] = ()) -> Lowering:
    """Take apart what has a rule; name nodes without a name.

    Args:
        model: The model; it is changed.
        path: The file beside which its external data lies; without one, what constants hold there is not known.
        groups: Those of `operators.LOWERED_ON_REQUEST` that are asked for.

    Returns:
        What has been taken apart, and what refuses to be. It knows the model's nodes by identity.
    """
    lowering = Lowering(tuple(groups))
    rules = rules_for(_all_nodes(model), groups)
    if not any(_key(node) in rules for node in _all_nodes(model)):
        return lowering
    sites = list(walk_sites(model))
    found = [site for site, _ in find_accumulating(model, sites, groups)]
    keys = unique_names(found, [[""]] * len(found))
    names = Names(FreshNames(model), {*keys, *(site.node.name for site in sites)})
    values = Values(model, sites, path)
    makers = {}
    for site, key in zip(found, keys, strict=True):
        if _key(site.node) in rules:
            maker = Maker(site.node.name, key, names)
            made = _take_apart(rules[_key(site.node)], Source(site, values), maker, lowering)
            if made is not None and made.nodes:
                makers[id(site.node)] = site, made
    _replace(model, list(makers.values()), lowering)
    return lowering


def _key(node: onnx.NodeProto) -> tuple[str, str]:
    return operators.standard_domain(node.domain), node.op_type


def _take_apart(rule: Rule, source: Source, maker: Maker, lowering: Lowering) -> Maker | None:
    try:
        rule.apply(source, maker)
    except Refused as reason:
        lowering.refuse(source.node, str(reason))
        return None
    return maker


def _replace(model: onnx.ModelProto, made: list[tuple[Site, Maker]], lowering: Lowering) -> None:
    originals, insertions = [], Insertions()
    takes_initializers = model.ir_version >= FIRST_IR_WITH_SEPARATE_INITIALIZERS
    for site, maker in made:
        original = onnx.NodeProto()
        original.CopyFrom(site.node)
        constants = _add_initializers(site.body, maker) if takes_initializers else ()
        before = [*(() if constants else maker.constant_nodes()), *maker.nodes[:-1]]
        insertions.before(site.node, site.body, *before)
        site.node.CopyFrom(maker.nodes[-1])
        originals.append((original, len(before), constants))
    insertions.apply()
    bodies = {id(site.body): site.body for site, _ in made}
    places = {key: _places(body) for key, body in bodies.items()}
    for (site, maker), (original, count, constants) in zip(made, originals, strict=True):
        end = places[id(site.body)][id(site.node)] + 1
        nodes = tuple(site.body.node[end - count - 1 : end])
        lowering.add(Origin(maker.key, original, site.body, nodes, constants))


def _places(body: Body) -> dict[int, int]:
    """Return where each node of a body stands; ids are those of nodes that somebody holds."""
    return {id(node): place for place, node in enumerate(body.node)}


def _add_initializers(body: Body, maker: Maker) -> tuple[str, ...]:
    """Add a maker's constants to the graph that holds the node; a function takes none."""
    if isinstance(body, onnx.FunctionProto):
        return ()
    body.initializer.extend(maker.constants)
    return tuple(tensor.name for tensor in maker.constants)


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    bodies: list[Body] = [model.graph, *model.functions]
    while bodies:
        for node in bodies.pop().node:
            yield node
            bodies.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))
