"""Keys of nodes in a run of statistics or of an observer: "run/node", without the NUL that would end a C string."""


def node_key(run: str, node: str) -> str:
    """Return the key of a node, whatever characters its name has."""
    return f"{run}/{node.replace('%', '%25').replace(chr(0), '%00')}"


def node_of(key: str) -> str:
    """Return the name of the node with a key."""
    return key.partition("/")[2].replace("%00", chr(0)).replace("%25", "%")
