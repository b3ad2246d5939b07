"""What a CPU wheel is built for, and the compiler that builds it: zig, which brings the C libraries of all targets."""

import importlib.metadata
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A platform.

    Attributes:
        name: What the command line calls it.
        triple: zig's name of it, with the oldest C library that it needs.
        host_platform: Python's name of it, from which the wheel's tag follows.
        system: CMake's name of the system.
        processor: CMake's name of the processor.
        policy: The tag that auditwheel has to grant; empty where there is no such policy.
    """

    name: str
    triple: str
    host_platform: str
    system: str
    processor: str
    policy: str = ""


TARGETS = {
    target.name: target
    for target in (
        Target("x86_64", "x86_64-linux-gnu.2.17", "linux-x86_64", "Linux", "x86_64", "manylinux_2_17_x86_64"),
        Target("aarch64", "aarch64-linux-gnu.2.17", "linux-aarch64", "Linux", "aarch64", "manylinux_2_17_aarch64"),
        Target("macos-arm64", "aarch64-macos.13.0", "macosx-13.0-arm64", "Darwin", "arm64"),
        Target("macos-x86_64", "x86_64-macos.13.0", "macosx-13.0-x86_64", "Darwin", "x86_64"),
        Target("windows-x86_64", "x86_64-windows-gnu", "win-amd64", "Windows", "AMD64"),
    )
}


def write_compiler(triple: str, folder: Path, mode: str = "c++") -> Path:
    """Write a program that is zig as a compiler for a target, and return its path."""
    zig = importlib.metadata.distribution("ziglang").locate_file("ziglang/zig")
    compiler = folder / f"{triple}-{mode}"
    compiler.write_text(f'#!/bin/sh\nexec {shlex.quote(str(zig))} {mode} -target {triple} "$@"\n')
    compiler.chmod(0o755)
    return compiler
