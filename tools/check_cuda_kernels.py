"""Checks the machine code of the CUDA library: no spills, inner loops as short as they should be, size, exported names.

For every kernel and architecture: no memory of a thread's own beyond what OWN_MEMORY lists, and no instruction that
reads or writes it elsewhere, nor in any inner loop that multiplies and accumulates. For every kind of such loop: the
instructions of one. Where threads hold 8 x 8 outputs, in the large and medium tiles, all kinds must be there and come
within 5 % of what the arithmetic and OVERHEAD add up to. That is told of truncation only: what rounding to nearest
should take is not known yet.
Nothing here needs a GPU. Run it as `python -m tools.check_cuda_kernels`.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cuda.limits import FLOAT_LANES, INNER_LOOPS, ISSUED_PER_CLOCK, LOGIC_LANES, Instructions
from benchmarks.cuda.report import Column, format_table
from lba_onnx import native
from lba_onnx.native.cuda import CUDA_LIBRARY_NAME
from tools.cuobjdump import demangle, dump_kernels, exported_names
from tools.sass import Instruction, Kernel, Resources, innermost_loops, parse_kernels, parse_resources

ENTRY_PREFIX = "lba_cuda_"
TILE = re.compile(r"TileShape<(\d+), (\d+), (\d+), (\d+), (\d+), \d+, \d+>")
CHECKED_TILE = (8, 8)  # outputs of a thread
NOT_COUNTED = "NearestArithmetic"  # part of the names of kernels whose loops INNER_LOOPS does not describe
OVERHEAD = 0.17  # instructions of one multiply-accumulate that load operands and count, with 8 x 8 outputs of a thread
TOLERANCE = 0.05
MOST_BYTES = 17_000_000  # of the library for each of its architectures: 15.9 MB with code and PTX of one
# Bytes of a thread that a kernel may keep outside registers, by a part of its name: outer sums and the state of a
# definition, which are indexed at run time.
OWN_MEMORY = {
    "ChunkedFloatLevelsKind": 1488,
    "defined::": 1040,
    "SplitKind": 960,
    "RuledChains": 6968,
    "KulischChains": 1792,
    "LargestKernel<8,": 368,
}

_FLOAT = {"FFMA", "FMUL"}
_LOGIC = {"LOP3", "FMNMX"}
_FLOAT_LANE_USERS = _FLOAT | {"FADD", "IMAD"}
_ALU = _LOGIC | {"IADD3", "ISETP", "SHF", "SEL", "PRMT", "FSEL", "FSETP", "LEA", "VIADD", "IMNMX", "PLOP3"}
_OWN_MEMORY_ACCESS = {"LDL", "STL"}
_COLUMNS = (
    Column("kernel", "kernel"),
    Column("architecture", "arch"),
    Column("registers", "registers", "d"),
    Column("own_memory_bytes", "own bytes", "d"),
    Column("own_memory_accesses", "spills", "d"),
    Column("loop", "loop"),
    Column("multiplies", "MACs", "d"),
    Column("instructions", "instr./MAC", ".3f"),
    Column("wanted", "wanted", ".2f"),
    Column("limit", "MAC/clk/SM", ".1f"),
    Column("verdict", "verdict"),
)


@dataclass(frozen=True)
class Loop:
    """The largest inner loop of its kind in a kernel; figures of one multiply-accumulate.

    Attributes:
        kind: Key of INNER_LOOPS, or "other".
        multiplies: Multiply-accumulates of one thread in one iteration.
        instructions: All instructions.
        by_opcode: Instructions by opcode.
        limit: Most multiply-accumulates per clock and multiprocessor that its instructions allow.
    """

    kind: str
    multiplies: int
    instructions: float
    by_opcode: dict[str, float]
    limit: float


@dataclass(frozen=True)
class Finding:
    """What the machine code of one kernel for one architecture looks like, and what is wrong with it."""

    kernel: str
    architecture: str
    resources: Resources
    own_memory_accesses: int
    loops: tuple[Loop, ...]
    faults: tuple[str, ...]


def main(words: Sequence[str] | None = None) -> int:
    """Check what the command line names; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("library", nargs="?", type=Path, default=native.library_path().with_name(CUDA_LIBRARY_NAME))
    parser.add_argument("--output_path", type=Path, help="write the findings as JSON")
    arguments = parser.parse_args(words)
    findings = check_kernels(*dump_kernels(arguments.library))
    print(format_table(str(arguments.library), [row for finding in findings for row in _rows(finding)], _COLUMNS))
    faults = [f"{f.kernel} for {f.architecture}: {fault}" for f in findings for fault in f.faults]
    faults += check_exports(exported_names(arguments.library))
    faults += check_size(arguments.library.stat().st_size, len({finding.architecture for finding in findings}))
    print("\n".join(faults) or f"{len(findings)} kernels, all as they should be")
    if arguments.output_path:
        document = {"findings": [asdict(finding) for finding in findings], "faults": faults}
        arguments.output_path.write_text(json.dumps(document, indent=1))
    return 1 if faults else 0


def check_kernels(sass: str, resource_usage: str) -> list[Finding]:
    """Check every kernel of every architecture in what `dump_kernels` returned.

    Raises:
        ValueError: There is no kernel.
    """
    resources = parse_resources(resource_usage)
    kernels = list(parse_kernels(sass))
    if not kernels:
        raise ValueError("expected a library with kernels, got none")
    names = demangle([kernel.name for kernel in kernels])
    return [
        check_kernel(kernel, name, resources[kernel.architecture, kernel.name])
        for kernel, name in zip(kernels, names, strict=True)
    ]


def check_kernel(kernel: Kernel, name: str, resources: Resources) -> Finding:
    """Check one kernel; `name` is for people."""
    accesses = sum(instruction.opcode in _OWN_MEMORY_ACCESS for instruction in kernel.instructions)
    loops = product_loops(kernel)
    faults = tuple([*_memory_faults(name, resources, accesses), *_loop_faults(name, loops)])
    return Finding(TILE.sub(_tile_size, name), kernel.architecture, resources, accesses, loops, faults)


def product_loops(kernel: Kernel) -> tuple[Loop, ...]:
    """Return the largest loop of each kind that multiplies and accumulates, in the order of INNER_LOOPS."""
    largest: dict[str, Loop] = {}
    for body in innermost_loops(kernel.instructions):
        multiplies = count_multiplies(body)
        if multiplies == 0:
            continue
        loop = _describe(body, multiplies, kernel.architecture)
        if loop.kind not in largest or largest[loop.kind].multiplies < multiplies:
            largest[loop.kind] = loop
    return tuple(largest[kind] for kind in [*INNER_LOOPS, "other"] if kind in largest)


def _describe(body: Sequence[Instruction], multiplies: int, architecture: str) -> Loop:
    by_opcode = Counter(instruction.opcode for instruction in body)
    float32, logic = (round(sum(by_opcode[name] for name in names) / multiplies) for names in (_FLOAT, _LOGIC))
    kinds = {loop: kind for kind, loop in INNER_LOOPS.items()}
    return Loop(
        kinds.get(Instructions(float32, logic), "other"),
        multiplies,
        len(body) / multiplies,
        {name: count / multiplies for name, count in by_opcode.most_common()},
        _limit(by_opcode, architecture) * multiplies,
    )


def count_multiplies(body: Sequence[Instruction]) -> int:
    """Multiply-accumulates in a loop: the fused instructions that truncate and flush."""
    return sum(instruction.opcode == "FFMA" and instruction.is_truncating for instruction in body)


def wanted_instructions(kind: str) -> float:
    """Instructions of one multiply-accumulate of a kind of loop."""
    return INNER_LOOPS[kind].float32 + INNER_LOOPS[kind].logic + OVERHEAD


def _limit(by_opcode: Counter[str], architecture: str) -> float:
    """Iterations per clock and multiprocessor."""
    version = int(architecture.removeprefix("sm_"))
    float_lanes = FLOAT_LANES.get((version // 10, version % 10), 128)
    lanes = (
        (ISSUED_PER_CLOCK, by_opcode.total()),
        (LOGIC_LANES, sum(by_opcode[name] for name in _ALU)),
        (float_lanes, sum(by_opcode[name] for name in _FLOAT_LANE_USERS)),
    )
    return min(count / needed for count, needed in lanes if needed)


def _memory_faults(name: str, resources: Resources, accesses: int) -> Iterator[str]:
    allowed = max((size for part, size in OWN_MEMORY.items() if part in name), default=0)
    own = resources.stack_bytes + resources.local_bytes
    if own > allowed:
        yield f"expected at most {allowed} bytes outside registers, got {own}"
    if accesses and not allowed:
        yield f"expected no spills, got {accesses} instructions that read or write the stack"


def _loop_faults(name: str, loops: Sequence[Loop]) -> Iterator[str]:
    for loop in loops:
        if used := sorted(_OWN_MEMORY_ACCESS & loop.by_opcode.keys()):
            yield f"{loop.kind}: expected an inner loop in registers, got {', '.join(used)}"
    tile = TILE.search(name)
    if tile is None or (int(tile[1]), int(tile[2])) != CHECKED_TILE or NOT_COUNTED in name:
        return
    if missing := set(INNER_LOOPS) - {loop.kind for loop in loops}:
        yield f"expected inner loops of all kinds, found none of {', '.join(sorted(missing))}"
    for loop in loops:
        if loop.kind in INNER_LOOPS and loop.instructions > wanted_instructions(loop.kind) * (1 + TOLERANCE):
            wanted = f"{wanted_instructions(loop.kind):.2f} instructions per multiply-accumulate"
            yield f"{loop.kind}: expected {wanted}, got {loop.instructions:.3f}"


def _tile_size(tile: re.Match[str]) -> str:
    thread_rows, thread_columns, lane_rows, warp_rows, warp_columns = map(int, tile.groups())
    return f"{thread_rows * lane_rows * warp_rows}x{thread_columns * 32 // lane_rows * warp_columns}"


def check_exports(names: Sequence[str]) -> list[str]:
    """Return what is wrong with the names that the library offers."""
    return [f"expected {ENTRY_PREFIX}* only, got {name}" for name in names if not name.startswith(ENTRY_PREFIX)]


def check_size(size: int, architectures: int) -> list[str]:
    """Return what is wrong with a library of `size` bytes for so many architectures."""
    most = MOST_BYTES * architectures
    return [] if size <= most else [f"expected at most {most} bytes for {architectures} architectures, got {size}"]


def _rows(finding: Finding) -> Iterator[dict[str, object]]:
    """One line for the kernel, with its first loop, and one for each other loop."""
    row: dict[str, object] = {
        "kernel": finding.kernel,
        "architecture": finding.architecture,
        "registers": finding.resources.registers,
        "own_memory_bytes": finding.resources.stack_bytes + finding.resources.local_bytes,
        "own_memory_accesses": finding.own_memory_accesses,
        "verdict": "WRONG" if finding.faults else "right",
    }
    for loop in finding.loops:
        row |= {"loop": loop.kind, **{key: getattr(loop, key) for key in ("multiplies", "instructions", "limit")}}
        row["wanted"] = wanted_instructions(loop.kind) if loop.kind in INNER_LOOPS else None
        yield row
        row = {"kernel": "", "architecture": ""}
    if not finding.loops:
        yield row


if __name__ == "__main__":
    sys.exit(main())
