"""MANIFEST.json of a bundle: what is in it, what it was made with, and the SHA-256 of every file."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lba_onnx.errors import ModelError
from lba_onnx.files.hashes import file_hash
from lba_onnx.files.json_file import read_json, write_json
from lba_onnx.shipping.folders import files_in

MANIFEST_NAME = "MANIFEST.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What is in a bundle. Paths are inside it, with slashes.

    Attributes:
        model: The model's file.
        libraries: Platforms, such as "linux-x86_64", to the native library for each.
        samples: Where the inputs come from, and the folders of them.
        made_with: Versions, the platform and the CPU path that the golden outputs come from.
        files: Every file but the manifest to its SHA-256.
    """

    model: str
    libraries: Mapping[str, str]
    samples: Mapping[str, Any]
    made_with: Mapping[str, str]
    files: Mapping[str, str]

    def save(self, folder: Path) -> None:
        """Write the manifest into a bundle's folder."""
        write_json(folder / MANIFEST_NAME, {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a bundle.

        Raises:
            ModelError: There is none, it is of another format, or names a path outside the bundle.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise ModelError(f"{folder}: expected a bundle, got a folder without {MANIFEST_NAME}")
        value = read_json(path, ModelError)
        if value.get("format") != FORMAT:
            raise ModelError(f"{path}: expected a manifest of format {FORMAT}, got {value.get('format')!r}")
        try:
            manifest = cls(*(value[name] for name in ("model", "libraries", "samples", "made_with", "files")))
            listed = {manifest.model, *manifest.libraries.values(), *manifest.samples["folders"], *manifest.files}
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: expected a bundle's manifest, got one without {error}") from error
        for name in listed:
            _check_inside(name, path)
        return manifest

    def changes(self, folder: Path) -> Iterator[str]:
        """Yield a sentence for each file that is missing, changed or not listed."""
        found = set(files_in(folder)) - {MANIFEST_NAME}
        for name, expected in self.files.items():
            path = folder / name
            if name not in found:
                yield f"{name}: expected a file, found none"
            elif not path.resolve().is_relative_to(folder.resolve()):
                yield f"{name}: expected a file of the bundle, found a link that leads outside"
            elif (got := file_hash(path)) != expected:
                yield f"{name}: expected SHA-256 {expected}, got {got}"
        yield from (f"{name}: expected no such file, found one" for name in sorted(found - set(self.files)))


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder."""
    return {name: file_hash(folder / name) for name in files_in(folder)}


def _check_inside(name: Any, path: Path) -> None:
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise ModelError(f"{path}: expected paths inside the bundle, got {name!r}")
