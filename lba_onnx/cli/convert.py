"""lba-onnx convert: put low-bit accumulators into a model."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lba_onnx.cli import options
from lba_onnx.cli.calibrate import run_calibration
from lba_onnx.cli.files import check_writable
from lba_onnx.cli.output import print_json, print_rich
from lba_onnx.json_file import write_json

if TYPE_CHECKING:
    from lba_onnx.rewrite import Specs

_SELECTION = ("nodes_to_exclude", "nodes_to_convert", "op_types_to_convert")
_OF_CALIBRATION = ("family", "method", "batch_size", "max_samples", "providers")
_UNUSED = {
    "spec_text": _OF_CALIBRATION,
    "calibration_path": ("chunk_size", "underflow", *_OF_CALIBRATION),
    "calibration_data_path": (),
}
"""Where the accumulators come from, and the options that then play no part."""


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
    help="Calibrate on these samples first: .npz, .npy, a folder of .npz or of test_data_set_*/input_*.pb.",
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
    (--calibration_data_path).
    """
    from lba_onnx.rewrite import convert

    check_writable(output_path)
    check_writable(report_path)
    spec, provenance = _choose_spec(onnx_path, settings)
    _, report = convert(
        onnx_path,
        spec,
        portable=portable,
        model_output=output_path,
        use_external_data_format=use_external_data_format,
        provenance=provenance,
        **{name: settings[name] for name in _SELECTION},
    )
    if not report.converted:
        logging.getLogger(__name__).warning("%s", report.summary())
    if report_path is not None:
        write_json(report_path, report.to_json())
    if as_json:
        print_json({"output_path": str(output_path), "report": report.to_json()})
        return
    print_rich(report.table(), f"wrote {output_path}", *([f"wrote {report_path}"] if report_path else []))


def _choose_spec(onnx_path: Path, settings: dict[str, Any]) -> "tuple[Specs, dict[str, Any] | None]":
    """Return the specs, and where they come from if that is a calibration."""
    from lba_onnx.accumulator import AccumulatorSpec
    from lba_onnx.calibration import Calibration

    sources = {name: settings.pop(name) for name in _UNUSED}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise click.UsageError("expected one of --spec, --calibration_path and --calibration_data_path")
    _refuse_unused(given[0])
    text, file, data = sources.values()
    if text is not None:
        return AccumulatorSpec.parse(text, settings["chunk_size"], settings["underflow"]), None
    calibration = Calibration.load(file) if file is not None else run_calibration(onnx_path, data, settings)
    return calibration.specs, calibration.provenance


def _refuse_unused(source: str) -> None:
    """Refuse options that were given and would change nothing."""
    context = click.get_current_context()
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in _UNUSED[source]:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{options[name]} plays no part with {options[source]}, which says all of it")
