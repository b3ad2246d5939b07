"""Machine code of NVIDIA GPUs (SASS) as cuobjdump prints it: kernels, their instructions and their loops."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_HEADING = re.compile(r"^\s*(?:\.target\s+(?P<target>sm_\w+)|Function : (?P<function>\S+))\s*$")
_INSTRUCTION = re.compile(
    r"^\s*/\*(?P<address>[0-9a-f]{4,})\*/\s+(?:@(?P<predicate>!?\w+)\s+)?(?P<opcode>[A-Z]\w*)(?P<modifiers>[.\w]*)"
    r"\s*(?P<operands>[^;]*);"
)
_RESOURCES = re.compile(
    r"^arch = (?P<target>sm_\w+)$|^ Function (?P<function>\S+):$|"
    r"^  REG:(?P<registers>\d+) STACK:(?P<stack>\d+) SHARED:(?P<shared>\d+) LOCAL:(?P<local>\d+)",
    re.MULTILINE,
)
_ADDRESS = re.compile(r"^(?:.*[ ,`(])?(0x[0-9a-f]+)\)?$")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        address: In bytes from the kernel's start.
        opcode: Without modifiers: "FFMA".
        modifiers: What follows the opcode: {"FTZ", "RZ"}.
        operands: As printed.
        predicate: The register that lets it run, "P0" or "!UP1", or empty.
    """

    address: int
    opcode: str
    modifiers: frozenset[str]
    operands: str
    predicate: str = ""

    @property
    def is_truncating(self) -> bool:
        """Whether it truncates and flushes, as all arithmetic of the products does."""
        return {"FTZ", "RZ"} <= self.modifiers


@dataclass(frozen=True)
class Resources:
    """What one kernel takes: registers of a thread, and bytes."""

    registers: int
    stack_bytes: int
    shared_bytes: int
    local_bytes: int


@dataclass(frozen=True)
class Kernel:
    """One kernel for one architecture ("sm_90"); `name` is the linker's."""

    name: str
    architecture: str
    instructions: tuple[Instruction, ...]


def parse_kernels(text: str) -> Iterator[Kernel]:
    """Yield the kernels of the output of `cuobjdump --dump-sass`."""
    architecture, name, instructions = "", "", list[Instruction]()
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            if instructions:
                yield Kernel(name, architecture, tuple(instructions))
            architecture, name, instructions = heading["target"] or architecture, heading["function"] or name, []
        elif found := _INSTRUCTION.match(line):
            modifiers = frozenset(found["modifiers"].split(".")) - {""}
            address, operands = int(found["address"], 16), found["operands"].strip()
            instructions.append(Instruction(address, found["opcode"], modifiers, operands, found["predicate"] or ""))
    if instructions:
        yield Kernel(name, architecture, tuple(instructions))


def parse_resources(text: str) -> dict[tuple[str, str], Resources]:
    """Return the resources by architecture and name, from the output of `cuobjdump --dump-resource-usage`."""
    resources = {}
    architecture = name = ""
    for found in _RESOURCES.finditer(text):
        architecture, name = found["target"] or architecture, found["function"] or name
        if found["registers"]:
            counts = (int(found[count]) for count in ("registers", "stack", "shared", "local"))
            resources[architecture, name] = Resources(*counts)
    return resources


def innermost_loops(instructions: Sequence[Instruction]) -> list[tuple[Instruction, ...]]:
    """Return the bodies of the loops that contain no other loop, in the order of their first instructions.

    A loop is what a jump back to a place that every way to the jump passes can repeat (a natural loop), so code that
    the compiler has moved to the end of the kernel belongs to the loop that it serves, and only to that.
    """
    starts = _block_starts(instructions)
    numbers = {start: number for number, start in enumerate(starts)}
    blocks = [range(start, end) for start, end in pairwise([*starts, len(instructions)])]
    successors = [
        [numbers[place] for place in _next_places(instructions, block[-1]) if place in numbers] for block in blocks
    ]
    loops = _natural_loops(successors)
    return [
        tuple(instructions[place] for block in sorted(body) for place in blocks[block])
        for head, body in sorted(loops.items())
        if not any(other != head and other in body for other in loops)
        and sum(len(blocks[block]) for block in body) > 1  # a jump to itself fills the space after the end
    ]


def _target(instruction: Instruction) -> int | None:
    found = _ADDRESS.match(instruction.operands)
    return int(found[1], 16) if found else None


def _next_places(instructions: Sequence[Instruction], place: int) -> list[int]:
    """Indices of the instructions that may follow the one at `place`."""
    instruction = instructions[place]
    is_always_done = not instruction.predicate
    if instruction.opcode in ("EXIT", "RET", "BRX"):
        return [] if is_always_done else [place + 1]
    target: int | None = None
    if instruction.opcode == "BRA":
        target = _target(instruction)
        is_always_done = is_always_done and "," not in instruction.operands
    elif instruction.opcode == "BSYNC":  # goes where the last BSSY of its barrier says
        opening = f"{instruction.operands},"
        before = (instructions[i] for i in range(place - 1, -1, -1))
        found = next((one for one in before if one.opcode == "BSSY" and one.operands.startswith(opening)), None)
        target = None if found is None else _target(found)
    if target is None:
        return [place + 1]
    jump = (target - instructions[0].address) // _instruction_bytes(instructions)
    return [jump] if is_always_done else [place + 1, jump]


def _instruction_bytes(instructions: Sequence[Instruction]) -> int:
    return instructions[1].address - instructions[0].address if len(instructions) > 1 else 1


def _block_starts(instructions: Sequence[Instruction]) -> list[int]:
    starts = {0}
    for place, instruction in enumerate(instructions):
        if instruction.opcode in ("BRA", "BSYNC", "EXIT", "RET", "BRX"):
            starts.update([place + 1, *_next_places(instructions, place)])
    return sorted(start for start in starts if start < len(instructions))


def _natural_loops(successors: Sequence[Sequence[int]]) -> dict[int, set[int]]:
    """Bodies of the loops by their head, as numbers of blocks; `successors` follow each block."""
    predecessors = defaultdict[int, list[int]](list)
    for block, following in enumerate(successors):
        for after in following:
            predecessors[after].append(block)
    dominators = _dominators(predecessors, _entries(successors))
    loops = defaultdict[int, set[int]](set)
    for block, following in enumerate(successors):
        for head in following:
            if head in dominators.get(block, ()):
                loops[head] |= _blocks_between(head, block, predecessors)
    return loops


def _blocks_between(head: int, last: int, predecessors: dict[int, list[int]]) -> set[int]:
    body, waiting = {head}, [last]
    while waiting:
        block = waiting.pop()
        if block not in body:
            body.add(block)
            waiting += predecessors[block]
    return body


def _entries(successors: Sequence[Sequence[int]]) -> set[int]:
    """The first block, and those that are reached by a table of jumps (BRX) or a call: the first of each such part."""
    entries, reached = set[int](), set[int]()
    for block in range(len(successors)):
        if block not in reached:
            entries.add(block)
        waiting = [block]
        while waiting:
            if (here := waiting.pop()) not in reached:
                reached.add(here)
                waiting += successors[here]
    return entries


def _dominators(predecessors: dict[int, list[int]], entries: set[int]) -> dict[int, set[int]]:
    """For each block, those that every way to it passes."""
    dominators = {entry: {entry} for entry in entries}
    blocks = sorted({block for block in predecessors if block not in entries})
    is_changing = True
    while is_changing:
        is_changing = False
        for block in blocks:
            known = [dominators[before] for before in predecessors[block] if before in dominators]
            if known and (new := set.intersection(*known) | {block}) != dominators.get(block):
                dominators[block] = new
                is_changing = True
    return dominators
