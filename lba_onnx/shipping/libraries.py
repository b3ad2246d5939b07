"""The native library for a machine: which one a file is for, and those at hand.

    linux-x86_64, linux-aarch64      as `platform.system()` and `platform.machine()` say, in small letters

The file itself says which it is for.
"""

import platform
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lba_onnx.errors import LibraryError
from lba_onnx.native.cuda import CUDA_LIBRARY_NAME, find_cuda_library
from lba_onnx.native.library import LIBRARY_NAME, library_path

_ELF = b"\x7fELF"
_MACHINES = {62: "x86_64", 183: "aarch64"}  # e_machine of an ELF header


def this_platform() -> str:
    """Return the name of the platform that this process runs on."""
    return f"{platform.system()}-{platform.machine()}".lower()


def copy_libraries(given: Iterable[Path], folder: Path) -> Mapping[str, str]:
    """Copy the installed library, the CUDA library beside it, and those given, into a folder each platform.

    Args:
        given: Libraries, or wheels of this package, for other platforms; for this one, in place of the installed.
        folder: Where the folders of the platforms are made.

    Returns:
        Platforms to the paths of their libraries, inside `folder`.

    Raises:
        LibraryError: A file is neither, or two are for one platform.
    """
    found: dict[str, str] = {}
    for path in given:
        contents = dict(_contents(path))
        name = platform_of(contents[LIBRARY_NAME], path)
        if name in found:
            raise LibraryError(f"{path}: expected one library for {name}, got a second")
        found[name] = f"{name}/{_write(contents, folder / name)}"
    if this_platform() not in found:
        name = this_platform()
        found[name] = f"{name}/{copy_installed(folder / name)}"
    return dict(sorted(found.items()))


def copy_installed(folder: Path) -> str:
    """Copy the installed library, and the CUDA library beside it, into a folder; returns the library's name there."""
    return _write(dict(_installed()), folder)


def platform_of(content: bytes, path: Path) -> str:
    """Return the platform that a library is for.

    Raises:
        LibraryError: It is no library, or for another machine than those that are known.
    """
    machine = int.from_bytes(content[18:20], "little")
    if content[:4] != _ELF or machine not in _MACHINES:
        raise LibraryError(
            f"{path}: expected a shared library for Linux on {' or '.join(_MACHINES.values())}, got something else"
        )
    return f"linux-{_MACHINES[machine]}"


def _installed() -> Iterator[tuple[str, bytes]]:
    yield LIBRARY_NAME, library_path().read_bytes()
    cuda = find_cuda_library()
    if cuda is not None:
        yield CUDA_LIBRARY_NAME, cuda.read_bytes()


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the libraries in a file, which is one or a wheel, by their names."""
    if not zipfile.is_zipfile(path):
        yield LIBRARY_NAME, path.read_bytes()
        return
    with zipfile.ZipFile(path) as wheel:
        members = {name.rpartition("/")[2]: name for name in wheel.namelist() if name.startswith("lba_onnx/")}
        if LIBRARY_NAME not in members:
            raise LibraryError(f"{path}: expected a wheel of this package, got a file without lba_onnx/{LIBRARY_NAME}")
        for name in (LIBRARY_NAME, CUDA_LIBRARY_NAME):
            if name in members:
                yield name, wheel.read(members[name])


def _write(contents: Mapping[str, bytes], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)
    return LIBRARY_NAME
