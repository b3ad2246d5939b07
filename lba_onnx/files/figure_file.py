"""Figures as files: .svg or .png, the same bytes for the same figure, whole or not at all.

Text in an .svg stays text, so that files are small and can be searched.
"""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lba_onnx.errors import LbaError
from lba_onnx.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_kind(path: str | os.PathLike[str]) -> str:
    """Check, before any work is done, that a figure can be written; return its kind, "png" or "svg".

    Raises:
        LbaError: matplotlib is not installed.
        ValueError: The suffix is another.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise LbaError(f"{error}; a plot needs: pip install 'lba-onnx[report]'") from None
    suffix = Path(path).suffix
    if suffix not in (".png", ".svg"):
        raise ValueError(f"{path}: expected a file .png or .svg for the plot")
    return suffix[1:]


def write_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure as what the suffix says.

    Raises:
        LbaError: matplotlib is not installed.
        OSError: The file cannot be written.
        ValueError: The suffix is neither .png nor .svg.
    """
    kind = figure_kind(path)
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "lba_onnx", "svg.fonttype": "none"}):
        figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
    with replacing(Path(path)) as file:
        file.write(content.getvalue())
