"""lba-onnx convert: put low-bit accumulators into a model."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.calibration.methods import NUMBERS
from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.cli.unused import OF_RUNS, is_given, refuse_unused, spelled
from lba_onnx.files.json_file import write_json

if TYPE_CHECKING:
    from lba_onnx.correction import Tuning
    from lba_onnx.post_training import ConvertedModel
    from lba_onnx.rewrite import Specs

_OF_ARITHMETIC = ("chunk_size", "underflow")
_OF_CALIBRATION = (
    "family",
    "method",
    "granularity",
    "is_tied",
    *NUMBERS,
    "resume_path",
)
_UNUSED = {
    "spec_text": _OF_CALIBRATION,
    "calibration_path": (*_OF_ARITHMETIC, *_OF_CALIBRATION),
    "search_path": (*_OF_ARITHMETIC, *_OF_CALIBRATION),
}
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
    help="One accumulator for all nodes, such as M7E4b10, with the product's format M7E4b12/M7E4b10, with options "
    "M7E4b10,chunk=32,underflow=off,round=nearest; `lba-onnx explain` says what one is.",
)
@click.option(
    "--calibration_path",
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Accumulators per node, as `lba-onnx calibrate` wrote them.",
)
@click.option(
    "--search_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Accumulators per node, those of a point that `lba-onnx search` wrote.",
)
@click.option(
    "--point",
    type=click.IntRange(min=1),
    metavar="N",
    help="Which point of --search_path; not needed where it has one.",
)
@click.option(
    "--calibration_data_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Samples to calibrate on, unless one of the options above says it all, to correct with, and, one in four, "
    "to measure with: .npz, .npy, a folder of .npz or of test_data_set_*/input_*.pb.",
)
@click.option(
    "--correct/--no_correct",
    "with_correction",
    default=None,
    help="Undo what truncation systematically takes away, where the model's output on samples kept apart agrees. "
    "[default: with --calibration_data_path]",
)
@click.option(
    "--effort",
    type=click.Choice(["quick", "default", "thorough"]),
    help="How much the correction tries: scales alone, refits of the weights, or every recipe, "
    "also of the model transformed first. [default: default]",
)
@click.option(
    "--tune",
    is_flag=True,
    help="After the correction, move weights and biases by gradient towards what they give in float32: minutes, for "
    "what is left at 8 and 9 bits. Needs PyTorch, the extra torch.",
)
@click.option(
    "--tune_epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="How often --tune sees all samples. [default: 20]",
)
@click.option("--portable", is_flag=True, help="Add float32 bodies, for runtimes without the library.")
@options.bias_start
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
def convert_command(onnx_path: Path, output_path: Path, report_path: Path | None, as_json: bool, **given: Any) -> None:
    """Put low-bit accumulators into a model.

    Takes one accumulator for all nodes (--spec), a calibration (--calibration_path), a point of a search
    (--search_path), or data to calibrate on (--calibration_data_path). With data the converted model is corrected, too,
    and measured beside float32 on samples kept apart.
    """
    check_files(
        {"converted model": output_path, "report": report_path, "progress file": given["resume_path"]},
        models={"model": onnx_path},
        data={
            "calibration": given["calibration_path"],
            "search": given["search_path"],
            "calibration data": given["calibration_data_path"],
        },
        functions={name: given[name] for name in ("metric", "preprocess")},
    )
    result = _convert(onnx_path, output_path, given)
    if not result.conversion.converted:
        logging.getLogger(__name__).warning("%s", result.conversion.summary())
    described = result.to_json()
    if report_path is not None:
        write_json(report_path, {**described["report"], **described})
    if as_json:
        print_json({"output_path": str(output_path), **described})
        return
    lines = [str(step) for step in (result.transformed,) if step is not None]
    lines += [] if result.correction is None else [result.correction.summary()]
    lines += [result.verdict_line(), *result.causes()]
    print_text(result.conversion.table(), *lines, f"wrote {output_path}", *_wrote(report_path))


def _wrote(path: Path | None) -> list[str]:
    return [] if path is None else [f"wrote {path}"]


def _convert(onnx_path: Path, output_path: Path, given: dict[str, Any]) -> "ConvertedModel":
    """Convert; with data calibrate, correct and measure as well."""
    from lba_onnx.cli.settings import take_family, take_method, take_samples, take_selection
    from lba_onnx.correction import DEFAULT_EFFORT
    from lba_onnx.data.execution import Execution
    from lba_onnx.post_training import convert_only, convert_with_data
    from lba_onnx.rewrite import ModelFile

    data, with_correction = given.pop("calibration_data_path"), given.pop("with_correction")
    effort, tune = given.pop("effort"), _take_tuning(given)
    for option, wanted in (("--correct", with_correction), ("--effort", effort), ("--tune", tune)):
        if wanted and data is None:
            raise click.UsageError(f"{option} takes samples, --calibration_data_path")
        if wanted and with_correction is False:
            raise click.UsageError(f"{option} is of no effect with --no_correct")
    spec = _choose_spec(data, given)
    selection, samples = take_selection(given), take_samples(given, data)
    method, family = take_method(given), take_family(given)
    resume_path, metric = given.pop("resume_path"), given.pop("metric")
    providers = given.pop("providers")
    output = ModelFile(output_path, use_external_data_format=given.pop("use_external_data_format"))
    if data is None and spec is not None:
        return convert_only(onnx_path, spec, selection=selection, model_output=output, **given)
    calibration = {"method": method, "resume_path": resume_path} if spec is None else {}
    with progress_bar("converting") as progress:
        return convert_with_data(
            onnx_path,
            samples,
            family if spec is None else spec,
            with_correction=with_correction is not False,
            effort=effort or DEFAULT_EFFORT,
            tune=tune,
            metric=metric,
            selection=selection,
            execution=Execution(providers, progress),
            model_output=output,
            **calibration,
            **given,
        )


def _take_tuning(given: dict[str, Any]) -> "Tuning | None":
    """Return how to tune; None for not at all."""
    from lba_onnx.correction import Tuning

    is_asked_for, epochs = given.pop("tune"), given.pop("tune_epochs")
    if epochs and not is_asked_for:
        raise click.UsageError("--tune_epochs takes --tune")
    if not is_asked_for:
        return None
    return Tuning(epochs) if epochs else Tuning()


def _choose_spec(data: Path | None, options: dict[str, Any]) -> "Specs | None":
    """Return the specs that are given; None where the data are to say."""
    from lba_onnx.arithmetic import as_spec
    from lba_onnx.arithmetic.arguments import option_texts, with_options
    from lba_onnx.searching import load_point

    sources: dict[str, Any] = {name: options.pop(name) for name in _UNUSED}
    point = options.pop("point")
    stated = [name for name, value in sources.items() if value is not None]
    if len(stated) > 1 or (not stated and data is None):
        raise click.UsageError("expected one of --spec, --calibration_path, --search_path and --calibration_data_path")
    for source in stated:
        unused = _UNUSED[source] if data is not None else (*_UNUSED[source], *OF_RUNS)
        refuse_unused(unused, f"with {spelled(source)}, which says all of it")
    text, search = sources["spec_text"], sources["search_path"]
    calibration: Path | None = sources["calibration_path"]
    if point is not None and search is None:
        raise click.UsageError("--point takes a search, --search_path")
    if text is not None:
        flags = {name: options[name] for name in _OF_ARITHMETIC if is_given(name)}
        return as_spec(with_options(text, option_texts(**flags)))
    if search is not None:
        return load_point(search, point)
    return calibration
