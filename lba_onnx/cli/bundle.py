"""lba-onnx bundle: a converted model with all that another machine needs to run it, and to prove it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.input_shapes import input_shapes
from lba_onnx.cli.output import print_json, print_text, say
from lba_onnx.cli.progress import progress_bar

if TYPE_CHECKING:
    from lba_onnx.shipping import SampleInputs

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("bundle")
@click.option("-i", "--onnx_path", type=click.Path(path_type=Path), metavar="FILE", help="The converted ONNX model.")
@click.option(
    "-o",
    "--output_path",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="The folder to write; must not exist, or be empty.",
)
@click.option(
    "--verify",
    "verify_path",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Check a bundle on this machine: hashes, then the bits of its outputs. Exit code 1 where something differs.",
)
@click.option(
    "--data_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Sample inputs, as `lba-onnx evaluate` takes them, 16 unless --max_samples says more; drawn at random "
    "without.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of inputs drawn at random.")
@input_shapes
@options.reading
@click.option(
    "--library_path",
    "libraries",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="The native library, or a wheel of this package, for another platform. May be repeated.",
)
@click.option(
    "--provenance_path",
    "provenance",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="A calibration, a report, or another file that says how the model was made. May be repeated.",
)
@click.option(
    "--license_path", "licenses", multiple=True, type=_FILE, metavar="FILE", help="A licence. May be repeated."
)
@options.common
def bundle_command(
    onnx_path: Path | None,
    output_path: Path | None,
    verify_path: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write a folder with a converted model and all that it takes to run it elsewhere.

    It holds libraries, provenance, licences, samples with golden outputs, runners in Python and C++, and the SHA-256 of
    every file. With --verify, check such a folder on the machine where it is to run.
    """
    if verify_path is not None:
        if onnx_path is not None or output_path is not None:
            raise click.UsageError("expected --verify alone, got it beside -i or -o")
        click.get_current_context().exit(_verify(verify_path, as_json))
    if onnx_path is None or output_path is None:
        raise click.UsageError("expected -i FILE and -o FOLDER, or --verify FOLDER")
    _bundle(onnx_path, output_path, as_json, given)


def _verify(path: Path, as_json: bool) -> int:
    from lba_onnx.shipping import verify

    differences = verify(path)
    if as_json:
        print_json({"is_right": not differences, "differences": list(differences)})
    elif not differences:
        print_text(f"{path}: all files have their hashes, all outputs the golden bits")
    for difference in () if as_json else differences:
        say(f"error: {difference}")
    return 1 if differences else 0


def _bundle(onnx_path: Path, output_path: Path, as_json: bool, given: dict[str, Any]) -> None:
    from lba_onnx.shipping import Attachments, bundle

    attachments = Attachments(**{name: given.pop(name) for name in ("libraries", "provenance", "licenses")})
    with progress_bar("bundling"):
        manifest = bundle(onnx_path, output_path, _inputs(given), attachments)
    if as_json:
        print_json({"output_path": str(output_path), "libraries": dict(manifest.libraries), **manifest.samples})
        return
    print_text(
        f"libraries: {', '.join(manifest.libraries)}",
        f"samples: {len(manifest.samples['folders'])} ({manifest.samples['source']})",
        f"wrote {output_path}",
    )


def _inputs(given: dict[str, Any]) -> "SampleInputs":
    from lba_onnx.cli.settings import take_samples
    from lba_onnx.shipping import SampleInputs

    data_path, seed, shapes = (given.pop(name) for name in ("data_path", "seed", "input_shapes"))
    return SampleInputs(None if data_path is None else take_samples(given, data_path), seed, shapes)
