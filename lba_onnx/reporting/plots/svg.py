"""matplotlib's figures as SVG inside a page: text stays text, and colours are the page's, in dark mode and in print.

A figure is drawn in colours that nobody uses otherwise, one for each role; in the SVG each becomes a CSS variable:

    style="fill: #0a0004"  ->  style="fill: var(--accent)"
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

from lba_onnx.errors import LbaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = ("ink", "muted", "rule", "accent", "base", "band", "warn")
_VARIABLES = {f"#0a000{number}": name for number, name in enumerate(_NAMES, 1)}
INK, MUTED, RULE, ACCENT, BASE, BAND, WARN = _VARIABLES
"""Colours by role: text, less important text, lines, the converted model, float32, what a format holds, a warning."""

WIDE, NARROW = 860, 340
"""Widths of a figure in pixels: on a screen, and on a telephone."""

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lba_onnx",
    "font.size": 12.0,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12.0,
    "axes.linewidth": 1.0,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "grid.linewidth": 1.0,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 12.0,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

Draw = Callable[["Figure", int], None]
"""Draws into an empty figure; is told its width in pixels."""


def check_matplotlib() -> None:
    """Raise where plots cannot be drawn.

    Raises:
        LbaError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise LbaError(f"{error}; a report needs: pip install 'lba-onnx[report]'") from None


def both_widths(draw: Draw, height: int, label: str, narrow_height: int | None = None) -> str:
    """Return a figure twice, of which the page shows the one that fits.

    Args:
        draw: Draws it.
        height: In pixels.
        label: What the figure shows, for those who cannot see it.
        narrow_height: Of the narrow one, if that is another.
    """
    wide = inline_svg(draw, WIDE, height, label, "wide")
    return wide + inline_svg(draw, NARROW, narrow_height or height, label, "narrow")


def inline_svg(draw: Draw, width: int, height: int, label: str, css_class: str = "") -> str:
    """Return a figure as an svg element."""
    with _styled():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        figure.patch.set_visible(False)
        draw(figure, width)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata=_NO_METADATA)
    return _as_element(content.getvalue(), width, height, label, css_class)


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def _as_element(text: str, width: int, height: int, label: str, css_class: str) -> str:
    """Return the drawing without what belongs to a file, with names of its own, in the page's colours and font."""
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    prefix = f"f{hashlib.sha256(body.encode()).hexdigest()[:8]}-"
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = re.sub(r'(href="#|url\(#)', rf"\1{prefix}", body)
    body = re.sub(r"font: (?:\w+ )?([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    for colour, name in _VARIABLES.items():
        body = body.replace(colour, f"var(--{name})")
    size = f'viewBox="0 0 {width} {height}" style="width: {width}px"'
    return f'<svg class="{css_class}" {size} role="img" aria-label="{escape(label)}">{body}</svg>'


def plain(axes: "Axes", grid: str) -> None:
    """Leave of the axes' lines those that help to read."""
    axes.grid(visible=True, axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=0)
    for name, spine in axes.spines.items():
        spine.set_visible(name == ("left" if grid == "x" else "bottom"))


def shortened(text: str, most: int) -> str:
    """Return a text that has at most so many characters; its middle makes room."""
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
