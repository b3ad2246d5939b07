"""C headers beside the structures of Python that mirror them: layouts as a compiler sees them, fields as they stand."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[1] / "custom_ops" / "include"
Structures = Mapping[str, type[ctypes.Structure]]


def compile_with(source: str, target: Path, *options: str) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no c++ on the path")
    command = [compiler, "-std=c++17", "-I", str(INCLUDE), *options, "-x", "c++", "-", "-o", str(target)]
    subprocess.run(command, input=source.encode(), check=True)


def layout_in_c(header: Path, structures: Structures, folder: Path) -> list[str]:
    """Return the size of each structure, then the place and size of each field, as the compiler tells them."""
    lines = []
    for name, structure in structures.items():
        lines.append(f'std::printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in structure._fields_:
            place = f"offsetof({name}, {field}), sizeof({name}::{field})"
            lines.append(f'std::printf("{name}.{field} %zu %zu\\n", {place});')
    body = "\n".join(lines)
    included = f'#include <cstddef>\n#include <cstdio>\n#include "{header.relative_to(INCLUDE)}"\n'
    compile_with(f"{included}int main() {{\n{body}\n}}\n", folder / "layout")
    return subprocess.run([folder / "layout"], capture_output=True, text=True, check=True).stdout.splitlines()


def layout_in_python(structures: Structures) -> list[str]:
    """Return the same as Python has it."""
    lines = []
    for name, structure in structures.items():
        lines.append(f"{name} {ctypes.sizeof(structure)}")
        for field, *_ in structure._fields_:
            place = getattr(structure, field)
            lines.append(f"{name}.{field} {place.offset} {place.size}")
    return lines


def fields_in_header(header: Path) -> dict[str, list[str]]:
    """Return the names of each structure's fields in order."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    bodies = re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, re.DOTALL)
    return {name: re.findall(r"(\w+)(?:\[\w+\])?(?=[,;])", body) for name, body in bodies}


def fields_in_python(structures: Structures) -> dict[str, list[str]]:
    """Return the same as Python has it."""
    return {name: [field for field, *_ in structure._fields_] for name, structure in structures.items()}
