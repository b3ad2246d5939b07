"""Keys of products: in the model "node" or "node/product", in a run of statistics or of an observer "run/" before it.

A node's own name may hold slashes, so a key is never taken apart: whoever has one looks for the product of that key
(`rewrite.candidates`). The library is given "run/node" and puts "/product" behind it.
"""


def product_key(node: str, product: str) -> str:
    """Return the key of a node's product: the node's name alone where it has no other product."""
    return f"{node}/{product}" if product else node


def run_key(run: str, key: str) -> str:
    """Return the key in a run of a node or product, whatever characters its name has, without the NUL that ends it."""
    return f"{run}/{key.replace('%', '%25').replace(chr(0), '%00')}"


def key_in_run(key: str) -> str:
    """Return the key of the node or product with a key in a run."""
    return key.partition("/")[2].replace("%00", chr(0)).replace("%25", "%")
