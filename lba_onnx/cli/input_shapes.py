"""The option --input_shapes, of commands that follow shapes through a model."""

import re
from pathlib import Path

import click

_SHAPE = re.compile(r"(?P<name>.+):\[?(?P<sizes>(\d+([x,]\d+)*)?)\]?", re.DOTALL)


def _read_shapes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for value in values:
        match = _SHAPE.fullmatch(value)
        if match is None:
            raise click.BadParameter(f"expected NAME:SIZExSIZE..., such as image:1x3x224x224, got {value!r}")
        shapes[match["name"]] = tuple(int(size) for size in re.findall(r"\d+", match["sizes"]))
    return shapes


input_shapes = click.option(
    "--input_shapes",
    multiple=True,
    callback=_read_shapes,
    metavar="NAME:1x3x224x224",
    help="The shape of an input, where the model leaves sizes open. May be repeated.",
)

data_to_count = click.option(
    "--data_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Samples, as `lba-onnx evaluate` takes them: MACs are counted while the model runs on the first one.",
)
