"""The source that wheels are built from: what is committed, with what only a release adds.

A tree that is no checkout, such as an unpacked sdist, is taken as it is.
"""

import importlib.metadata
import shutil
import tarfile
from pathlib import Path

from tools.release.readme import for_package_index
from tools.release.run import run

ROOT = Path(__file__).parents[2]
_ZIG_LICENCES = {
    "libcxx": "lib/libcxx/LICENSE.TXT",
    "libcxxabi": "lib/libcxxabi/LICENSE.TXT",
    "libunwind": "lib/libunwind/LICENSE.TXT",
    "zig": "LICENSE",
}
_GCC_LICENCE = Path("/usr/share/doc/libstdc++6/copyright")  # Debian's


def export_source(folder: Path) -> Path:
    """Write the source into a new folder, with the README for a package index and licences of what is linked.

    Raises:
        SystemExit: The checkout has changes that are not committed.
    """
    if (ROOT / ".git").exists():
        _export_commit(folder)
    else:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("build", "dist", "__pycache__", "*_cache"))
    readme = folder / "README.md"
    readme.write_text(for_package_index(readme.read_text()))
    copy_compiler_licences(folder / "licenses")
    return folder


def _export_commit(folder: Path) -> None:
    git = ("git", "-c", f"safe.directory={ROOT}")  # a checkout may be another user's
    changes = run(*git, "status", "--porcelain", "--untracked-files=no", folder=ROOT)
    if changes:
        raise SystemExit(f"expected a clean checkout, got changes in\n{changes}")
    archive = folder.with_suffix(".tar")
    run(*git, "archive", "--output", archive, "HEAD", folder=ROOT)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()


def copy_compiler_licences(folder: Path) -> None:
    """Copy the licences of the static libraries that are linked into a wheel's library.

    Raises:
        SystemExit: GCC's is not where Debian has it.
    """
    if not _GCC_LICENCE.is_file():
        raise SystemExit(f"expected the licence in Debian's libstdc++6 at {_GCC_LICENCE}, got no file")
    shutil.copyfile(_GCC_LICENCE, folder / "LICENSE.libstdcxx")
    zig = Path(str(importlib.metadata.distribution("ziglang").locate_file("ziglang")))
    for name, path in _ZIG_LICENCES.items():
        shutil.copyfile(zig / path, folder / f"LICENSE.{name}")
