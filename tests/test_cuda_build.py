"""Whether the CUDA library is built, and what its machine code has to be like (tools/check_cuda_kernels.py).

tests/sass holds what cuobjdump prints for one small kernel: two nested loops, the inner one unrolled four times and
followed by up to three single steps.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.cuda.limits import INNER_LOOPS
from lba_onnx import native
from lba_onnx.native.cuda import CUDA_LIBRARY_NAME
from tools import check_cuda_kernels
from tools.check_cuda_kernels import MOST_BYTES, Finding, check_exports, check_kernels, check_size
from tools.sass import Kernel, innermost_loops, parse_kernels, parse_resources

ROOT = Path(__file__).parent.parent
SASS = (ROOT / "tests/sass/product.sass").read_text()
RESOURCES = (ROOT / "tests/sass/product.resources").read_text()
LIBRARY = native.library_path().with_name(CUDA_LIBRARY_NAME)
LARGE_TILE = "_ZN3lba4cuda6KernelINS0_9TileShapeILi8ELi8ELi4ELi4ELi2ELi2ELi1EEEEEvv"
SMALL_TILE = "_ZN3lba4cuda6KernelINS0_9TileShapeILi4ELi4ELi4ELi2ELi1ELi4ELi8EEEEEvv"
MULTIPLIES = 64


def loop_lines(kind: str, overhead: int) -> list[str]:
    """One iteration of MULTIPLIES multiply-accumulates, and `overhead` instructions that only load."""
    counts = INNER_LOOPS[kind]
    minima = {"fused_saturate": 1, "truncate_saturate": 1, "saturate": 2}.get(kind, 0)
    step = ["FMUL.FTZ.RZ R1, R2, R3"] * (counts.float32 - 1) + ["FFMA.FTZ.RZ R4, R1, R5, R4"]
    step += ["FMNMX.FTZ R4, |R4|, R6, PT"] * minima + ["LOP3.LUT R4, R4, R7, RZ, 0xc0, !PT"] * (counts.logic - minima)
    return step * MULTIPLIES + ["LDS.128 R8, [R9]"] * overhead


def listing(name: str, loops: Sequence[list[str]], ending: Sequence[str] = ()) -> str:
    """Machine code as cuobjdump prints it: the loops, one after the other, and what follows them."""
    lines = ["LDC R1, c[0x0][0x28]"]
    for body in loops:
        lines += [*body, f"@P0 BRA {16 * len(lines):#x}"]
    lines += [*ending, "EXIT", f"BRA {16 * (len(lines) + len(ending) + 1):#x}"]
    code = "".join(f"        /*{16 * i:04x}*/                   {line} ;\n" for i, line in enumerate(lines))
    return f"\t.target\tsm_90\n\n\t\tFunction : {name}\n{code}"


def usage(name: str, stack_bytes: int = 0, local_bytes: int = 0) -> str:
    head = f"arch = sm_90\n\nResource usage:\n Common:\n  GLOBAL:0\n Function {name}:\n"
    return f"{head}  REG:200 STACK:{stack_bytes} SHARED:33792 LOCAL:{local_bytes} CONSTANT[0]:952 TEXTURE:0\n"


def check_one(name: str, overhead: int = 5, ending: Sequence[str] = (), **bytes_: int) -> Finding:
    """Check a kernel with the loops of all kinds."""
    loops = [loop_lines(kind, overhead) for kind in INNER_LOOPS]
    (finding,) = check_kernels(listing(name, loops, ending), usage(name, **bytes_))
    return finding


def only_kernel(text: str) -> Kernel:
    (kernel,) = parse_kernels(text)
    return kernel


def test_instructions_are_parsed() -> None:
    kernel = only_kernel(SASS)
    assert (kernel.architecture, kernel.name) == ("sm_90", "_ZN3lba4cuda7ProductINS0_9LargeTileEEEvNS0_4ArgsE")
    assert [instruction.address for instruction in kernel.instructions] == list(range(0, 0x680, 16))
    multiply = next(one for one in kernel.instructions if one.opcode == "FMUL")
    assert (multiply.address, multiply.modifiers, multiply.operands) == (0x2A0, {"FTZ", "RZ"}, "R12, R9.reuse, R12")
    assert multiply.is_truncating
    assert not kernel.instructions[5].is_truncating
    assert kernel.instructions[5].predicate == "!P0"


def test_resources_are_parsed() -> None:
    ((place, resources),) = parse_resources(RESOURCES).items()
    assert place == ("sm_90", "_ZN3lba4cuda7ProductINS0_9LargeTileEEEvNS0_4ArgsE")
    assert (resources.registers, resources.stack_bytes, resources.local_bytes) == (21, 0, 0)


def test_only_the_innermost_loop_counts() -> None:
    (loop,) = innermost_loops(only_kernel(SASS).instructions)
    assert (loop[0].address, loop[-1].address, len(loop)) == (0x210, 0x3A0, 26)


def test_code_that_was_moved_away_belongs_to_its_loop_only() -> None:
    # The jump from the end back into the first loop is not the jump of a loop around both.
    lines = ["MOV R1, R2", "@P1 BRA 0x70", "FADD R1, R1, R2", "@P0 BRA 0x10", "FMUL R1, R1, R2", "@P0 BRA 0x40", "EXIT"]
    lines += ["FFMA R1, R1, R2, R1", "BRA 0x20"]
    code = "".join(f"        /*{16 * i:04x}*/                   {line} ;\n" for i, line in enumerate(lines))
    first, second = innermost_loops(only_kernel(f"\t.target\tsm_90\n\t\tFunction : kernel\n{code}").instructions)
    assert [one.address for one in first] == [0x10, 0x20, 0x30, 0x70, 0x80]
    assert [one.address for one in second] == [0x40, 0x50]


def test_loops_behind_a_table_of_jumps_are_found() -> None:
    lines = [
        "MOV R1, R2",
        "BRX R6 -0x5770",
        "FMUL R1, R1, R2",
        "@P0 BRA 0x20",
        "EXIT",
        "FADD R1, R1, R2",
        "@P0 BRA 0x50",
    ]
    code = "".join(f"        /*{16 * i:04x}*/                   {line} ;\n" for i, line in enumerate([*lines, "EXIT"]))
    loops = innermost_loops(only_kernel(f"\t.target\tsm_90\n\t\tFunction : kernel\n{code}").instructions)
    assert [[one.opcode for one in loop] for loop in loops] == [["FMUL", "BRA"], ["FADD", "BRA"]]


def test_a_kernel_as_it_should_be_is_right() -> None:
    finding = check_one(LARGE_TILE)
    assert finding.faults == ()
    assert [loop.kind for loop in finding.loops] == list(INNER_LOOPS)
    truncate = finding.loops[list(INNER_LOOPS).index("truncate")]
    assert (truncate.multiplies, truncate.instructions) == (MULTIPLIES, 4 + 6 / MULTIPLIES)
    assert truncate.limit == 128 / truncate.instructions


def test_the_tile_is_named_by_its_size() -> None:
    assert check_one(LARGE_TILE).kernel in ("Kernel<128x128>", LARGE_TILE)  # the latter without c++filt


@pytest.mark.parametrize("overhead", [40, 400])
def test_too_many_instructions_are_a_fault(overhead: int) -> None:
    finding = check_one(LARGE_TILE, overhead)
    assert any(fault.startswith("truncate: expected 4.17 instructions") for fault in finding.faults)


def test_small_tiles_may_take_more_instructions() -> None:
    assert check_one(SMALL_TILE, overhead=40).faults == ()


def test_a_missing_loop_is_a_fault() -> None:
    loops = [loop_lines(kind, 5) for kind in INNER_LOOPS if kind != "truncate"]
    (finding,) = check_kernels(listing(LARGE_TILE, loops), usage(LARGE_TILE))
    assert finding.faults == ("expected inner loops of all kinds, found none of truncate",)


@pytest.mark.parametrize("name", [LARGE_TILE, SMALL_TILE, "_Z4Packv"])
@pytest.mark.parametrize("access", ["STL [R1+0x4], R5", "@P0 LDL.LU R5, [R1+0x4]"])
def test_a_spill_is_a_fault(name: str, access: str) -> None:
    assert check_one(name, ending=[access]).faults == (
        "expected no spills, got 1 instructions that read or write the stack",
    )


@pytest.mark.parametrize("memory", ["stack_bytes", "local_bytes"])
def test_memory_outside_registers_is_a_fault(memory: str) -> None:
    assert check_one("_Z4Packv", **{memory: 8}).faults == ("expected at most 0 bytes outside registers, got 8",)


def test_a_listed_kernel_may_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_cuda_kernels, "OWN_MEMORY", {"Pack": 8})
    assert check_one("_Z4Packv", ending=["STL [R1], R5"], stack_bytes=8).faults == ()
    assert check_one("_Z4Packv", stack_bytes=16).faults == ("expected at most 8 bytes outside registers, got 16",)


def test_inner_loops_stay_in_registers_where_a_kernel_may_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_cuda_kernels, "OWN_MEMORY", {"Pack": 8})
    loop = [*loop_lines("fused", overhead=5), "LDL R1, [R2]"]
    (finding,) = check_kernels(listing("_Z4Packv", [loop]), usage("_Z4Packv", stack_bytes=8))
    assert finding.faults == ("fused: expected an inner loop in registers, got LDL",)


def test_a_library_without_kernels_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a library with kernels, got none"):
        check_kernels("", "")


def test_other_exported_names_are_a_fault() -> None:
    assert check_exports(["lba_cuda_conv", "cudaMalloc"]) == ["expected lba_cuda_* only, got cudaMalloc"]


def test_a_library_that_is_too_large_for_its_architectures_is_a_fault() -> None:
    assert check_size(2 * MOST_BYTES, 2) == []
    (fault,) = check_size(2 * MOST_BYTES + 1, 2)
    assert fault == f"expected at most {2 * MOST_BYTES} bytes for 2 architectures, got {2 * MOST_BYTES + 1}"


def test_the_installed_library_is_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    if not LIBRARY.exists():
        pytest.skip(f"needs {CUDA_LIBRARY_NAME}, which nvcc builds")
    try:
        code = check_cuda_kernels.main([])
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert code == 0, capsys.readouterr().out


def configure(folder: Path, *definitions: str, compiler: str) -> subprocess.CompletedProcess[str]:
    """Configure custom_ops/kernels/cuda alone."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(alone LANGUAGES CXX)\nfind_package(Threads REQUIRED)\n"
        f"add_library(lba_flags INTERFACE)\nadd_subdirectory({ROOT}/custom_ops/kernels/cuda cuda)\n"
    )
    command = ["cmake", "-S", str(folder), "-B", str(folder / "build"), *definitions]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDACXX": compiler})


def test_auto_goes_on_without_a_compiler(tmp_path: Path) -> None:
    done = configure(tmp_path, "-DLBA_CUDA=AUTO", compiler="/bin/false")
    assert done.returncode == 0, done.stderr
    assert "lba_ops_cuda is not built: found no working nvcc" in done.stdout


def test_on_fails_without_a_compiler(tmp_path: Path) -> None:
    done = configure(tmp_path, "-DLBA_CUDA=ON", compiler="/bin/false")
    assert done.returncode != 0
    assert "LBA_CUDA=ON: found no working nvcc" in done.stderr
