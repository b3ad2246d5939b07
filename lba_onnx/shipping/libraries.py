"""The native library for a machine, and those at hand; a file itself says which platform it is for."""

import platform
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from lba_onnx.errors import LibraryError
from lba_onnx.native.cuda import CUDA_LIBRARY_NAME, find_cuda_library
from lba_onnx.native.library import LIBRARY_NAME, LIBRARY_NAMES, library_path
from lba_onnx.shipping.library_formats import platform_of


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
        contents = _contents(path)
        library = next(iter(contents))
        name = platform_of(contents[library], path)
        if name in found:
            raise LibraryError(f"{path}: expected one library for {name}, got a second")
        _write(contents, folder / name)
        found[name] = f"{name}/{library}"
    if this_platform() not in found:
        name = this_platform()
        found[name] = f"{name}/{copy_installed(folder / name)}"
    return dict(sorted(found.items()))


def copy_installed(folder: Path) -> str:
    """Copy the installed library, and the CUDA library beside it, into a folder; returns the library's name there."""
    contents = {LIBRARY_NAME: library_path().read_bytes()}
    cuda = find_cuda_library()
    if cuda is not None:
        contents[CUDA_LIBRARY_NAME] = cuda.read_bytes()
    _write(contents, folder)
    return LIBRARY_NAME


def _contents(path: Path) -> Mapping[str, bytes]:
    """Return the libraries in a file, which is one or a wheel, by the names they are to have; the CPU's first."""
    if not zipfile.is_zipfile(path):
        content = path.read_bytes()
        return {LIBRARY_NAMES[platform_of(content, path).split("-")[0]]: content}
    with zipfile.ZipFile(path) as wheel:
        members = {name.rpartition("/")[2]: name for name in wheel.namelist() if name.startswith("lba_onnx/")}
        names = [name for name in (*LIBRARY_NAMES.values(), CUDA_LIBRARY_NAME) if name in members]
        if not names or names[0] == CUDA_LIBRARY_NAME:
            raise LibraryError(f"{path}: expected a wheel of this package, got a file without lba_onnx/{LIBRARY_NAME}")
        return {name: wheel.read(members[name]) for name in names}


def _write(contents: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)
