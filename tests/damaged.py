"""Makes damaged files of whole ones: JSON values of the wrong kind in the wrong place, bytes flipped or doubled."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

_WRONG = (
    None, True, 0, -1, 7, 1.5, -0.0, 1e308, 10**30, -(10**400), "", "x", "M7E4b10", "1e5", [],
    [1], [[1, 2]], [[-99999, 5]],
    [[5, 10**400]], {}, {"a": 1},
)  # fmt: skip


def damaged_values(value: Any, count: int, seed: int) -> Iterator[Any]:
    """Yield copies of a JSON value in which one part is replaced by something else, or missing."""
    random = np.random.default_rng(seed)
    places = list(_places(value))
    for _ in range(count):
        changed = copy.deepcopy(value)
        path = places[random.integers(len(places))]
        owner = changed
        for step in path[:-1]:
            owner = owner[step]
        if random.random() < 0.2:
            del owner[path[-1]]
        else:
            owner[path[-1]] = _WRONG[random.integers(len(_WRONG))]
        yield changed


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from _places(part, (*path, key))


def damaged_bytes(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield copies with a few bytes changed, most of them near the ends where headers are, or cut short, or doubled."""
    random = np.random.default_rng(seed)
    for index in range(count):
        changed = bytearray(content)
        kind = index % 8
        if kind == 0:
            del changed[random.integers(len(changed)) :]
        elif kind == 1:
            start = int(random.integers(len(changed)))
            changed[start:start] = changed[start : start + int(random.integers(1, 30))]
        else:
            for _ in range(int(random.integers(1, 4))):
                near = int(min(random.exponential(60), len(changed) - 1))
                place = (near, len(changed) - 1 - near, int(random.integers(len(changed))))[index % 3]
                changed[place] = int(random.integers(256))
        yield bytes(changed)


def json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()
