"""lba-onnx convert: put low-bit accumulators into a model."""

import logging
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lba_onnx.cli import options
from lba_onnx.cli.calibrate import run_calibration
from lba_onnx.cli.files import check_writable
from lba_onnx.cli.output import print_json, print_rich, progress_bar
from lba_onnx.json_file import write_json

if TYPE_CHECKING:
    from lba_onnx.correction import CorrectionReport
    from lba_onnx.rewrite import ConversionReport, Specs

_SELECTION = ("nodes_to_exclude", "nodes_to_convert", "op_types_to_convert")
_OF_CALIBRATION = (
    "family",
    "method",
    "granularity",
    "tied",
    "percentile",
    "evaluations",
    "layer_evaluations",
    "resume_path",
)
_OF_DATA = ("batch_size", "max_samples", "preprocess", "metric", "providers")
_UNUSED = {"spec_text": _OF_CALIBRATION, "calibration_path": ("chunk_size", "underflow", *_OF_CALIBRATION)}
"""Where the accumulators come from, if not from data, and the options that then play no part."""


@click.command("convert")
@options.model_path
@click.option(
    "-o", "--output_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The model to write."
)
@click.option(
    "--spec",
    "spec_text",
    metavar="SPEC",
    help="One accumulator for all nodes, such as M7E4b10, or with the product's format M7E4b12/M7E4b10.",
)
@click.option(
    "--calibration_path",
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Accumulators per node, as `lba-onnx calibrate` wrote them.",
)
@click.option(
    "--calibration_data_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Samples to calibrate on, unless --spec or --calibration_path is given, and to correct with: .npz, .npy, a "
    "folder of .npz or of test_data_set_*/input_*.pb.",
)
@click.option(
    "--correct/--no_correct",
    "corrects",
    default=None,
    help="Undo what truncation systematically takes away, where the model's output on samples kept apart agrees. "
    "[default: with --calibration_data_path]",
)
@click.option("--portable", is_flag=True, help="Add float32 bodies, for runtimes without the library.")
@click.option(
    "--use_external_data_format",
    is_flag=True,
    default=None,
    help="Write the weights to a file beside the model; done anyway beyond 2 GB.",
)
@click.option("--report_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the ledger as JSON.")
@options.calibration
@options.arithmetic
@options.selection
@options.batching
@options.common
def convert_command(
    onnx_path: Path,
    output_path: Path,
    portable: bool,
    use_external_data_format: bool | None,
    report_path: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Put low-bit accumulators into a model.

    Takes one accumulator for all nodes (--spec), a calibration (--calibration_path), or data to calibrate on
    (--calibration_data_path). With data the converted model is corrected, too.
    """
    check_writable(output_path)
    check_writable(report_path)
    data, corrects = _read_data_options(settings)
    spec, provenance = _choose_spec(onnx_path, data, settings)
    arguments = {
        "portable": portable,
        "use_external_data_format": use_external_data_format,
        "provenance": provenance,
        **{name: settings[name] for name in _SELECTION},
    }
    of_data = {name: settings[name] for name in _OF_DATA}
    report, correction = _convert(onnx_path, spec, output_path, arguments, data if corrects else None, of_data)
    if not report.converted:
        logging.getLogger(__name__).warning("%s", report.summary())
    described = {"report": report.to_json(), "correction": correction and correction.to_json()}
    if report_path is not None:
        write_json(report_path, {**report.to_json(), "correction": described["correction"]})
    if as_json:
        print_json({"output_path": str(output_path), **described})
        return
    lines = [] if correction is None else [correction.summary()]
    print_rich(report.table(), *lines, f"wrote {output_path}", *([f"wrote {report_path}"] if report_path else []))


def _read_data_options(settings: dict[str, Any]) -> tuple[Path | None, bool]:
    """Return the path of the data, and whether to correct with them."""
    data, corrects = settings.pop("calibration_data_path"), settings.pop("corrects")
    if corrects and data is None:
        raise click.UsageError("--correct takes samples, --calibration_data_path")
    return data, data is not None if corrects is None else corrects


def _choose_spec(onnx_path: Path, data: Path | None, settings: dict[str, Any]) -> "tuple[Specs, dict[str, Any] | None]":
    """Return the specs, and where they come from if that is a calibration."""
    from lba_onnx.accumulator import AccumulatorSpec
    from lba_onnx.calibration import Calibration

    sources = {name: settings.pop(name) for name in _UNUSED}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1 or (not given and data is None):
        raise click.UsageError("expected one of --spec, --calibration_path and --calibration_data_path")
    for source in given:
        _refuse_unused(source, _UNUSED[source] if data is not None else (*_UNUSED[source], *_OF_DATA))
    text, file = sources.values()
    if text is not None:
        return AccumulatorSpec.parse(text, settings["chunk_size"], settings["underflow"]), None
    calibration = Calibration.load(file) if data is None or file else run_calibration(onnx_path, data, settings)
    return calibration.specs, calibration.provenance


def _refuse_unused(source: str, unused: Iterable[str]) -> None:
    """Refuse options that were given and would change nothing."""
    context = click.get_current_context()
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in unused:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{options[name]} plays no part with {options[source]}, which says all of it")


def _convert(
    onnx_path: Path,
    spec: "Specs",
    output_path: Path,
    arguments: dict[str, Any],
    data: Path | None,
    of_data: dict[str, Any],
) -> "tuple[ConversionReport, CorrectionReport | None]":
    """Convert, and correct where there are data to do so with."""
    from lba_onnx.correction import correct
    from lba_onnx.correction.run import DEFAULT_MAX_SAMPLES
    from lba_onnx.rewrite import convert

    if data is None:
        return convert(onnx_path, spec, model_output=output_path, **arguments)[1], None
    with TemporaryDirectory(dir=output_path.parent, prefix=".lba_onnx-") as folder:
        converted = Path(folder, "model.onnx")
        _, report = convert(onnx_path, spec, model_output=converted, **arguments)
        if report.converted:
            limit = min(of_data["max_samples"] or DEFAULT_MAX_SAMPLES, DEFAULT_MAX_SAMPLES)
            settings = {**of_data, "max_samples": limit, "model_output": output_path}
            settings["use_external_data_format"] = arguments["use_external_data_format"]
            with progress_bar("correcting") as progress:
                _, correction = correct(converted, data, progress=progress, **settings)
            return report, correction
    return convert(onnx_path, spec, model_output=output_path, **arguments)[1], None
