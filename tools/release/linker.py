"""Links what the local g++ compiled so that it runs on old systems: by zig, against glibc 2.17 and static libstdc++.

The library of a released wheel so has the code of the one that is tested, and asks for nothing but an old C library.
"""

import shlex
import subprocess
from pathlib import Path

from tools.release.targets import TARGETS, write_compiler

_SHIM = Path(__file__).with_name("old_systems.c")
_LIBRARIES = ("libstdc++.a", "libgcc.a", "libgcc_s.so.1")


def write_linker(folder: Path) -> Path:
    """Write a program that is called with g++'s command for linking, and return its path."""
    zig = write_compiler(TARGETS["x86_64"].triple, folder, "cc")
    libraries = [str(_SHIM), *map(_path_of, _LIBRARIES)]
    linker = folder / "linker"
    linker.write_text(f'#!/bin/sh\nshift\nexec {shlex.quote(str(zig))} "$@" {shlex.join(libraries)}\n')
    linker.chmod(0o755)
    return linker


def _path_of(library: str) -> str:
    """Return where g++ finds one of its libraries."""
    told = subprocess.run(["g++", f"-print-file-name={library}"], capture_output=True, text=True, check=True)
    return str(Path(told.stdout.strip()).resolve())
