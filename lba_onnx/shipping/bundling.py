"""Writes a bundle: all that another machine needs to run a model, and to prove that it runs it right.

    bundle/
      MANIFEST.json                              what is in it, and the SHA-256 of every file
      README.md  run.py                          how to run it, in Python
      run.cc  sample.h  CMakeLists.txt           and in C++
      model/                                     the model and its external data
      lib/linux-x86_64/liblba_ops.so             the native library for each platform
      provenance.json  provenance/               what the model's metadata say, and the files given
      licenses/                                  this package's, and those given
      samples/0/                                 inputs and golden outputs

Paths in the manifest are inside the bundle; nothing of a bundle leads out of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from lba_onnx import native
from lba_onnx.files.json_file import write_json
from lba_onnx.packages import package_version
from lba_onnx.shipping.bundled_session import open_bundled
from lba_onnx.shipping.contents import check_converted, copy_licenses, copy_model, template
from lba_onnx.shipping.folders import copy_into, new_folder
from lba_onnx.shipping.goldens import SampleInputs, write_samples
from lba_onnx.shipping.libraries import copy_libraries, this_platform
from lba_onnx.shipping.manifest import Manifest, hashes

_PACKAGES = ("lba-onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Attachments:
    """Files that go into a bundle beside the model.

    Attributes:
        libraries: Native libraries, or wheels of this package, for other platforms than this one.
        provenance: Calibrations, reports of corrections, and whatever else says how the model was made.
        licenses: Of the model and its data.
    """

    libraries: tuple[Path, ...] = ()
    provenance: tuple[Path, ...] = ()
    licenses: tuple[Path, ...] = ()


def bundle(
    model: str | PathLike[str],
    output: str | PathLike[str],
    inputs: SampleInputs | None = None,
    attachments: Attachments | None = None,
) -> Manifest:
    """Write a bundle of a converted model.

    Args:
        model: The path of the model.
        output: The folder to write, which must not exist, or be empty.
        inputs: The sample inputs; random ones unless given.
        attachments: Further files.

    Raises:
        DataError: The data do not fit the model, or its inputs cannot be drawn.
        FileNotFoundError: There is no such file.
        LibraryError: A library is missing, or none.
        ModelError: The file is no converted model, or does not run.
        OutputError: There is something where the bundle would go, or two files have one name.
    """
    inputs, attachments, source = inputs or SampleInputs(), attachments or Attachments(), Path(model)
    metadata = check_converted(source)
    with new_folder(Path(output)) as folder:
        model_name = copy_model(source, folder / "model").relative_to(folder).as_posix()
        copied = copy_libraries(attachments.libraries, folder / "lib")
        libraries = {name: f"lib/{path}" for name, path in copied.items()}
        session = open_bundled(folder, model_name, libraries)
        names = write_samples(session, inputs, folder / "samples")
        _write_provenance(metadata, attachments.provenance, folder)
        copy_licenses(attachments.licenses, folder / "licenses")
        _write_runners(folder, model_name, libraries)
        samples = {"source": inputs.describe(), "folders": [f"samples/{name}" for name in names]}
        manifest = Manifest(model_name, libraries, samples, _made_with(), hashes(folder))
        manifest.save(folder)
    return manifest


def _write_provenance(metadata: Mapping[str, str], given: tuple[Path, ...], folder: Path) -> None:
    for path in given:
        copy_into(path, folder / "provenance")
    files = [f"provenance/{path.name}" for path in given]
    write_json(folder / "provenance.json", {"metadata": _readable(metadata), "files": files})


def _readable(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return metadata with what is JSON in them as such."""
    values: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def _write_runners(folder: Path, model_name: str, libraries: Mapping[str, str]) -> None:
    for name in ("run.py", "run.cc", "sample.h", "CMakeLists.txt"):
        (folder / name).write_text(template("bundle", name), encoding="utf-8")
    text = template("bundle", "README.md").format(model=model_name, library=libraries[this_platform()])
    (folder / "README.md").write_text(text, encoding="utf-8")


def _made_with() -> dict[str, str]:
    versions = {name: package_version(name) for name in _PACKAGES}
    return {**versions, "platform": this_platform(), "cpu_path": native.cpu_path()}
