"""Renders a report as one page that needs nothing else: style, script, plots and the data are in it."""

import importlib.resources
import json
import re
from typing import Any

from lba_onnx.errors import LbaError
from lba_onnx.reporting import highlights, tables
from lba_onnx.reporting.plots.accuracy import plot_accuracy
from lba_onnx.reporting.plots.cost import plot_cost
from lba_onnx.reporting.plots.front import plot_front
from lba_onnx.reporting.plots.layers import plot_layers
from lba_onnx.reporting.plots.spread import plot_spreads
from lba_onnx.reporting.plots.svg import check_matplotlib
from lba_onnx.reporting.sections import Front, Report
from lba_onnx.rewrite.mac_share import mac_text, percent_text
from lba_onnx.text import visible

_SHOWN_SPREADS, _MOST_SPREADS = 6, 24
_NAMES = {
    "accuracy": "Accuracy",
    "cost": "Cost",
    "front": "Cost against loss",
    "layers": "Layers",
    "spreads": "Values",
    "ledger": "Ledger",
    "settings": "Settings",
}


def check_renderer() -> None:
    """Raise, before any work is done, where pages cannot be made.

    Raises:
        LbaError: matplotlib or Jinja2 is not installed.
    """
    check_matplotlib()
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise LbaError(f"{error}; a report needs: pip install 'lba-onnx[report]'") from None


def render(report: Report) -> str:
    """Return the page.

    Raises:
        LbaError: matplotlib or Jinja2 is not installed.
    """
    check_renderer()
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["breakable"] = _breakable
    environment.globals.update(css=_file("report.css"), script=_file("report.js"), shown=_SHOWN_SPREADS)
    page: str = environment.from_string(_file("report.html.j2")).render(**_context(report))
    return page.lstrip() + "\n"


def embedded_json(value: Any) -> str:
    """Return JSON that may stand in a script element, whatever names are in it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _breakable(text: str) -> Any:
    """Return text as HTML that may break behind the parts of a name."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=\w)([./_])(?=\w)", r"\1<wbr>", str(escape(text))))


def _file(name: str) -> str:
    return importlib.resources.files("lba_onnx.reporting").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def _context(report: Report) -> dict[str, Any]:
    spreads = [(visible(s.node), s.spec, plot_spreads(s)) for s in report.spreads[:_MOST_SPREADS]]
    there: dict[str, Any] = {
        "accuracy": report.accuracy,
        "cost": report.cost,
        "front": report.fronts,
        "layers": report.layers.rows,
    }
    there |= {"spreads": spreads, "ledger": True, "settings": True}
    return {
        "report": report,
        "data": embedded_json(report.to_json()),
        "highlights": highlights.highlights(report),
        "sections": [(name, heading) for name, heading in _NAMES.items() if there[name]],
        "spreads": spreads,
        "spreads_sentence": highlights.spreads_sentence(len(spreads)),
        "layers_sentence": highlights.layers_sentence(report.layers),
        "layers_plot": plot_layers(report.layers),
        "layers": tables.layers_table(report.layers),
        "ledger": tables.ledger_table(report.ledger),
        "ledger_sentence": _ledger_sentence(report),
        "files": _files(report),
        "settings": tables.settings_table("Settings and versions", _settings(report)),
        **_accuracy(report),
        **_cost(report),
        "fronts": [_front(report, front) for front in report.fronts],
    }


def _accuracy(report: Report) -> dict[str, Any]:
    accuracy = report.accuracy
    if accuracy is None:
        return {}
    return {
        "accuracy_sentence": highlights.accuracy_sentence(accuracy),
        "accuracy_plot": plot_accuracy(accuracy, report.reference_name),
        "figures": tables.figures_table(accuracy, report.reference_name),
        "outputs": tables.outputs_table(accuracy, report.reference_name),
    }


def _cost(report: Report) -> dict[str, Any]:
    cost = report.cost
    if cost is None:
        return {}
    plot, sentence = plot_cost(cost), highlights.cost_sentence(cost)
    return {"cost_sentence": sentence, "cost_plot": plot, "costs": tables.cost_table(cost)}


def _front(report: Report, front: Front) -> dict[str, Any]:
    plot, sentence = plot_front(front), highlights.front_sentence(front, report.cost)
    told = {"points": tables.front_table(front), "choices": tables.choices_table(front)}
    return {"source": front.source, "sentence": sentence, "plot": plot, **told}


def _ledger_sentence(report: Report) -> str:
    ledger = report.ledger
    left = [row for row in ledger.rows if row.spec is None]
    text = f"{len(ledger.rows) - len(left)} of {len(ledger.rows)} products are converted"
    if ledger.macs:
        text += f", {percent_text(ledger.converted_macs, ledger.macs)} of {mac_text(ledger.macs)}"
    return f"{text}; {len(left)} left." if left else f"{text}."


def _files(report: Report) -> tables.PageTable:
    files = {"Model": report.model, "Made from": report.reference}
    rows = [
        (name, f"{file.path}, {file.size_bytes:,} bytes, SHA-256 {file.sha256}") for name, file in files.items() if file
    ]
    return tables.settings_table("Files", rows)


def _settings(report: Report) -> list[tuple[str, str]]:
    return [*report.settings.items(), *((f"version of {name}", text) for name, text in report.versions.items())]
