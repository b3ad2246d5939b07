"""The names of the nodes that multiply and accumulate, and the keys of their products: each means one thing.

MatMul without a name            ->  "MatMul_0"                  written into the node
"proj" in two graphs             ->  "main/proj", "main/If_0:then_branch/proj"
"attention" of products qk, pv   ->  "attention/qk", "attention/pv"; where a node is called "attention/qk",
"attention_/qk", "attention_/pv"
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import onnx

from lba_onnx.native.keys import product_key
from lba_onnx.rewrite.analysis import Site


def name_nodes(nodes: Sequence[onnx.NodeProto], taken: set[str]) -> None:
    """Name what has no name after its op type and its index among the nodes of that type.

    Args:
        nodes: The nodes that multiply and accumulate.
        taken: The names of all nodes; the new ones are added.
    """
    counts: Counter[str] = Counter()
    for node in nodes:
        index = counts[node.op_type]
        counts[node.op_type] += 1
        if node.name:
            continue
        name = f"{node.op_type}_{index}"
        while name in taken:
            name += "_"
        node.name = name
        taken.add(name)


def unique_names(sites: Sequence[Site], products: Sequence[Sequence[str]]) -> list[str]:
    """Return for each node a name of its own; no key of a product is the name of a node, or another one's key.

    Args:
        sites: The nodes, all of which have names.
        products: The names of each one's products.
    """
    names = list(_told_apart(sites))
    taken = set(names)
    return [_with_free_keys(name, own, taken) for name, own in zip(names, products, strict=True)]


def _told_apart(sites: Sequence[Site]) -> Iterator[str]:
    """Prefix names that occur twice with the location, and number what still is not unique."""
    shared = Counter(site.node.name for site in sites)
    located = Counter((site.location, site.node.name) for site in sites)
    taken = {name for name, count in shared.items() if count == 1}
    numbers: Counter[tuple[str, str]] = Counter()
    for site in sites:
        key = site.location, site.node.name
        if shared[site.node.name] == 1:
            yield site.node.name
            continue
        numbers[key] += 1
        name = f"{site.location}/{site.node.name}"
        if located[key] > 1:
            name += f"#{numbers[key]}"
        while name in taken:
            name += "_"
        taken.add(name)
        yield name


def _with_free_keys(name: str, products: Sequence[str], taken: set[str]) -> str:
    """Return a node's name, or, where a key of its products is taken, one with underscores behind it."""
    if not any(products):
        return name
    free, texts = name, {product_key(name, product) for product in products}
    while not taken.isdisjoint(texts):
        free += "_"
        texts = {free, *(product_key(free, product) for product in products)}
    taken |= {free, *texts}
    return free
