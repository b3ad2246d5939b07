"""The check of output paths: no output takes the place of what the same run reads, or of another of its outputs.

Files are compared, not names: links, `./` and, where the file system knows no case, capital letters make no difference.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path

from lba_onnx.errors import OutputError

_ENDINGS = {
    "converted model": "_lba.onnx",
    "corrected model": "_corrected.onnx",
    "promoted model": "_promoted.onnx",
    "exported model": "_exported.onnx",
    "calibration": "_biases.json",
    "specs": "_specs.json",
    "report": "_report.json",
    "progress file": "_progress.json",
    "search": "_search.json",
    "searched model": "_searched.onnx",
    "sweep": "_sweep.json",
    "table": "_table.csv",
    "plot": "_plot.svg",
    "page": "_report.html",
    "journal": ".journal",
}
"""What an output's name may end in, for the advice of error messages."""


@dataclass(frozen=True)
class Input:
    """A file that a run reads.

    Attributes:
        role: What it is, for messages.
        path: The file; with a pattern, a folder.
        pattern: Names of the folder's files that are read, such as "*.npz".
    """

    role: str
    path: Path
    pattern: str | None = None

    def is_met_by(self, path: Path) -> bool:
        """Tell whether a file written to this path would be read, or take the place of what is read."""
        if self.pattern is None:
            return is_same_file(path, self.path)
        return fnmatchcase(path.name, self.pattern) and is_same_file(path.parent, self.path)


def check_outputs(outputs: Mapping[str, str | os.PathLike[str] | None], inputs: Iterable[Input] = ()) -> None:
    """Refuse outputs that would take the place of an input or of one another.

    Args:
        outputs: What each output is, such as "report", to its path; None for one that is not wanted.
        inputs: All that the run reads.

    Raises:
        OutputError: Two of them are the same file; the message names both.
    """
    wanted = {role: Path(path) for role, path in outputs.items() if path is not None}
    for (role, path), (other, other_path) in combinations(wanted.items(), 2):
        if is_same_file(path, other_path):
            raise OutputError(f"{path}: expected a file for the {role} alone, got that of the {other}, {other_path}")
    for read in inputs if wanted else ():
        for role, path in wanted.items():
            if read.is_met_by(path):
                raise OutputError(
                    f"{path}: expected a file for the {role} alone, got the {read.role}, {_shown(read)}, which is "
                    f"read; write to another, such as {_unused(path, role)}"
                )


def kept(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """Return inputs for a check later on, when the working directory may be another."""
    return tuple(replace(read, path=read.path.absolute()) for read in inputs)


def is_same_file(first: Path, second: Path) -> bool:
    """Tell whether two paths lead to the same file, or would once it is written."""
    one, other = _identity(first), _identity(second)
    if one == other:
        return True
    differ_in_case = one[0] == other[0] and isinstance(one[1], str) and isinstance(other[1], str)
    return differ_in_case and str(one[1]).casefold() == str(other[1]).casefold() and _ignores_case(first.parent)


def _identity(path: Path) -> tuple[object, object]:
    """Return device and inode of a file; of one that does not exist the identity of its folder, and its name."""
    try:
        status = os.stat(path)
        if status.st_ino:  # some network file systems have none
            return status.st_dev, status.st_ino
    except (OSError, ValueError):
        pass
    resolved = Path(os.path.realpath(path))
    if resolved.parent == resolved:
        return "", str(resolved)
    return _identity(resolved.parent), resolved.name


def _ignores_case(folder: Path) -> bool:
    """Tell whether a folder takes names that differ only in case for the same; yes where that cannot be found out."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".lba_onnx-case-") as probe:
            return os.path.exists(folder / Path(probe.name).name.upper())
    except OSError:
        return True


def _shown(read: Input) -> str:
    return str(read.path if read.pattern is None else read.path / read.pattern)


def _unused(path: Path, role: str) -> Path:
    """Return a path beside another where nothing is yet."""
    stem, ending = path.stem, _ENDINGS.get(role, f"_new{path.suffix}")
    candidate, number = path.with_name(f"{stem}{ending}"), 2
    while os.path.lexists(candidate):
        candidate, number = path.with_name(f"{stem}_{number}{ending}"), number + 1
    return candidate
