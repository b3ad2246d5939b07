"""What killed runs have left in a folder, cleared away by the next."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lba_onnx.files.temporary import locked, remove, remove_leftover, take_leftovers, temporary_folder
from lba_onnx.files.weights_names import RECORD_SUFFIX, read_record, remove_unneeded


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of dead processes, then the weights files that these were about to need, or to remove.

    Files of runs that go on stay, and so does all that cannot be removed.
    """
    records = {path for path in take_leftovers(folder) if path.suffix == RECORD_SUFFIX}
    for path in take_leftovers(folder):  # first, since models among them mention weights files
        if path.suffix != RECORD_SUFFIX:
            remove_leftover(path)
    for path in take_leftovers(folder):
        if path in records:
            with locked(folder) as is_locked:
                remove_unneeded(folder, read_record(path) if is_locked else [])
                remove(path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for files that only this process needs, among the system's temporary files."""
    parent = Path(tempfile.gettempdir())
    clear_leftovers(parent)
    with temporary_folder(parent) as folder:
        yield folder
