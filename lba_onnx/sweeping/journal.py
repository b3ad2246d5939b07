"""What the parts of an unfinished sweep have found, kept in a file beside the result: a JSON object a line.

    {"key": "<hash of all that decides what the part finds>", "figures": {...}}

A sweep that starts again looks its parts up by their keys; a change of the models, the metric, the data or the
arithmetic makes other keys. A last line without an end, cut short as it was written, does not count.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lba_onnx.errors import DataError
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.files.atomic import append
from lba_onnx.files.regular import check_regular
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.figures_json import figures_from_json, figures_to_json
from lba_onnx.sweeping.shards import Shard

_BEGINNING = b'{"key": "'


class Journal:
    """A file of figures, or nothing where there is no path."""

    def __init__(self, path: Path | None, job_digest: str) -> None:
        """Read what is there, and cut off a last line without an end.

        Args:
            path: The file; it need not exist.
            job_digest: Hash of all that parts share.

        Raises:
            DataError: The file cannot be read, or is no journal.
        """
        self._path = path
        self._job_digest = job_digest
        self._known: dict[str, Any] = {} if path is None or not path.exists() else _read(path)

    def find(self, spec: Specs, shard: Shard) -> ComparisonFigures | None:
        """Return what a part was found to give; None where it is not known.

        Raises:
            DataError: The file is damaged.
        """
        known = self._known.get(self._key(spec, shard))
        try:
            return None if known is None else figures_from_json(known)
        except ValueError as error:
            raise DataError(f"{self._path}: damaged; remove the file: {error}") from error

    def add(self, spec: Specs, shard: Shard, figures: ComparisonFigures) -> None:
        """Write down what a part has given.

        Raises:
            OSError: The file cannot be written.
        """
        if self._path is None:
            return
        line = json.dumps({"key": self._key(spec, shard), "figures": figures_to_json(figures)})
        append(self._path, line + "\n")

    def _key(self, spec: Specs, shard: Shard) -> str:
        return hashlib.sha256(f"{self._job_digest} {spec!r} {shard.digest}".encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    check_regular(path, DataError)
    try:
        text = path.read_bytes()
        end = text.rfind(b"\n") + 1
        entries = [json.loads(line) for line in text[:end].splitlines()]
        known = {str(entry["key"]): entry["figures"] for entry in entries}
        if not _BEGINNING.startswith(text[end : end + len(_BEGINNING)]):
            raise ValueError(f"its last line begins otherwise than {_BEGINNING!r}")
        os.truncate(path, end)  # only now that it is known to be a journal
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: expected what an unfinished sweep has left; remove the file: {error!r}") from error
    return known
