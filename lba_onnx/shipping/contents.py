"""What goes into bundles and model repositories alike: the model, licences, texts made out of templates."""

import importlib.metadata
import importlib.resources
from pathlib import Path, PurePosixPath

from lba_onnx import operators
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.model_files import open_model
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.provenance import own_metadata
from lba_onnx.shipping.folders import copy_into


def check_converted(source: Path) -> dict[str, str]:
    """Return what a converted model's metadata say of this package.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: It is no model, or none that was converted.
    """
    proto = open_model(source).proto
    if all(imported.domain != operators.DOMAIN for imported in proto.opset_import):
        raise ModelError(f"{source}: expected a converted model, got one without operators of {operators.DOMAIN}")
    return own_metadata(proto)


def copy_model(source: Path, folder: Path, name: str | None = None) -> Path:
    """Copy a model and its external data, which keeps its place beside it; returns the copy's path.

    Args:
        source: The model.
        folder: Where the copy goes.
        name: What the copy is called; as the model unless given.
    """
    model, *external = (read.path for read in model_inputs(source))
    target = copy_into(model, folder)
    for path in external:
        copy_into(path, (folder / path.relative_to(source.parent)).parent)
    return target if name is None else target.rename(folder / name)


def copy_licenses(given: tuple[Path, ...], folder: Path) -> None:
    """Copy this package's licences and those given."""
    own = importlib.metadata.files("lba-onnx") or []
    paths = [Path(str(file.locate())) for file in own if "licenses" in PurePosixPath(file).parts]
    for path in (*paths, *given):
        copy_into(path, folder)


def template(*names: str) -> str:
    """Return the text of a file that goes into bundles or repositories."""
    path = importlib.resources.files("lba_onnx.shipping").joinpath("templates", *names)
    return path.read_text(encoding="utf-8")
