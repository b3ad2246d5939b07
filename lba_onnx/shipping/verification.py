"""Proves a bundle on this machine: the hashes of its files, then the bits of its outputs.

The operators give the same bits everywhere. What stays float32 is onnxruntime's own, whose last bits may depend on its
version and on the processor: where outputs differ, the operators are checked by themselves, so that the finding says
which of the two it is.
"""

from os import PathLike
from pathlib import Path

from lba_onnx.doctor import diagnose
from lba_onnx.packages import package_version
from lba_onnx.shipping.bundled_session import session_of
from lba_onnx.shipping.goldens import compare_samples
from lba_onnx.shipping.manifest import Manifest


def verify(path: str | PathLike[str]) -> tuple[str, ...]:
    """Return a sentence for whatever differs from what a bundle promises; none where it holds on this machine.

    Nothing of a bundle is loaded unless all hashes are right.

    Raises:
        LibraryError: The bundle has no library for this platform, or this onnxruntime does not take it.
        ModelError: The folder is no bundle, or its model does not run.
    """
    folder = Path(path)
    manifest = Manifest.load(folder)
    changes = tuple(manifest.changes(folder))
    if changes:
        return changes
    session = session_of(folder, manifest)
    differences = [text for name in manifest.samples["folders"] for text in compare_samples(session, folder / name)]
    return (*differences, _cause(manifest)) if differences else ()


def _cause(manifest: Manifest) -> str:
    broken = [check for check in diagnose().checks if not check.is_right]
    if broken:
        return f"{broken[0].name}: {broken[0].finding}"
    made = manifest.made_with
    return (
        "the operators give the right bits here, so that what stays float32 differs: it is onnxruntime's, "
        f"{package_version('onnxruntime')} here and {made.get('onnxruntime')} where the bundle was made, "
        f"on a processor of path {made.get('cpu_path')}"
    )
