"""Options that several commands share, spelled alike everywhere."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE
from lba_onnx.calibration.methods import DEFAULT_METHOD, METHODS, NUMBERS, Count, Number, Wanted
from lba_onnx.calibration.settings import GRANULARITIES
from lba_onnx.cli.output import StandardErrorLog
from lba_onnx.cli.progress import set_quiet
from lba_onnx.data.hooks import Hook, load_function
from lba_onnx.operators import LOWERED_ON_REQUEST, op_types
from lba_onnx.transformation.registry import TRANSFORMATIONS

Command = TypeVar("Command", bound=Callable[..., Any])

_LOG_LEVELS = ("debug", "info", "warning", "error")


def parse_chunk_size(value: str | int | None) -> int | None:
    """Read a number of products, or "none" for the whole depth; values that are no text pass."""
    if not isinstance(value, str):
        return value
    if value.lower() == "none":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"expected a number of at least 1, or none, got {value!r}")
    return int(value)


def read_texts(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Read texts with commas between them; what has a "=" is an option of the text before it."""
    texts: list[str] = []
    for part in text.split(","):
        if "=" in part and texts:
            texts[-1] += f",{part.strip()}"
        else:
            texts.append(part.strip())
    return tuple(texts)


def combine(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return a decorator that adds several options to a command, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _range_of(number: Number) -> click.ParamType[Any]:
    """Return the type of the option for what a method of calibration takes."""
    if isinstance(number, Wanted):
        return click.STRING
    if isinstance(number, Count):
        return click.IntRange(min=number.least)
    return click.FloatRange(min=0, max=100, min_open=True)


def _load_function(ctx: click.Context, param: click.Parameter, value: str | None) -> Hook | None:
    return None if value is None else load_function(value)


def _set_log_level(ctx: click.Context, param: click.Parameter, value: str) -> None:
    logger = logging.getLogger("lba_onnx")
    logger.setLevel(value.upper())
    if not any(isinstance(handler, StandardErrorLog) for handler in logger.handlers):
        logger.addHandler(StandardErrorLog())


model_path = click.option(
    "-i", "--onnx_path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The ONNX model."
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")

log_level = click.option(
    "--log_level",
    type=click.Choice(_LOG_LEVELS, case_sensitive=False),
    default="warning",
    show_default=True,
    is_eager=True,
    expose_value=False,
    callback=_set_log_level,
    help="How much to say on standard error; debug shows where errors come from.",
)

quiet = click.option(
    "--quiet",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=set_quiet,
    help="Show no progress and nothing that only informs; warnings and errors stay.",
)

common = combine(as_json, log_level, quiet)

accumulate = click.option(
    "--accumulate",
    multiple=True,
    type=click.Choice(tuple(LOWERED_ON_REQUEST)),
    help="Take what only accumulates, too; reductions: sums, means, average pools, Softmax, normalizations.",
)

selection = combine(
    click.option(
        "--nodes_to_exclude",
        multiple=True,
        metavar="NAME|REGEX",
        help="Leave these nodes as they are; a regular expression matches whole names. May be repeated.",
    ),
    click.option(
        "--nodes_to_convert", multiple=True, metavar="NAME|REGEX", help="Take only these nodes. May be repeated."
    ),
    click.option(
        "--op_types_to_convert",
        multiple=True,
        type=click.Choice(op_types(LOWERED_ON_REQUEST)),
        default=op_types(),
        show_default=True,
        help="Take only nodes of these operators. May be repeated.",
    ),
    accumulate,
)

bias_start = click.option(
    "--bias_start",
    is_flag=True,
    help="Let sums of Gemm and Conv start from their bias, as in fused kernels, in place of adding it in float32.",
)

arithmetic = combine(
    click.option(
        "--chunk_size",
        type=parse_chunk_size,
        metavar="NUMBER|none",
        default=DEFAULT_CHUNK_SIZE,
        show_default=True,
        help="Products summed before their sum joins the total; none for the whole depth.",
    ),
    click.option(
        "--underflow/--no_underflow",
        default=True,
        show_default=True,
        help="Whether values below the smallest of a format become zero.",
    ),
)

transformations = click.option(
    "--transformations",
    multiple=True,
    type=click.Choice(list(TRANSFORMATIONS)),
    default=tuple(TRANSFORMATIONS),
    show_default=True,
    help="What to do, in this order. "
    + "; ".join(f"{name}: {entry.help}" for name, entry in TRANSFORMATIONS.items())
    + ". May be repeated.",
)

feeding = combine(
    click.option(
        "--preprocess",
        callback=_load_function,
        metavar="MODULE:FUNCTION",
        help="Called with a dict of the arrays of each feed; returns what the model is fed. Modules of this folder are "
        "found.",
    ),
    click.option(
        "--shared_inputs",
        multiple=True,
        metavar="NAME",
        help="An input that is the same for all samples, such as a mask: the data hold it as the model takes it. "
        "May be repeated.",
    ),
)

reading = combine(
    click.option(
        "--batch_size",
        type=click.IntRange(min=1),
        default=16,
        show_default=True,
        help="Samples per run, where the model leaves it open.",
    ),
    click.option("--max_samples", type=click.IntRange(min=1), default=None, help="Stop after so many samples."),
    feeding,
)

batching = combine(
    reading,
    click.option(
        "--provider",
        "providers",
        multiple=True,
        default=("CPUExecutionProvider",),
        show_default=True,
        help="onnxruntime's execution provider, such as CUDAExecutionProvider. May be repeated.",
    ),
)

test_data = combine(
    click.option(
        "--data_path",
        type=click.Path(path_type=Path),
        required=True,
        metavar="PATH",
        help='Samples: .npz (an entry "label" or "labels" holds the classes), .npy, a folder of .npz or of '
        "test_data_set_*/input_*.pb.",
    ),
    click.option(
        "--labels_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Class numbers as .npy, if not in the data.",
    ),
)

metric = click.option(
    "--metric",
    callback=_load_function,
    metavar="perplexity|MODULE:FUNCTION",
    help="perplexity, of a language model that is fed token ids. Or a function, called with a dict of the outputs and "
    "the labels (or None) of each batch; returns a number per sample, larger is better. Modules of this folder are "
    "found.",
)

calibration = combine(
    click.option(
        "--family",
        "--format",
        "family",
        default="M7E4",
        show_default=True,
        metavar="M<m>E<e>[,OPTIONS]",
        help="Format of products and sums, with options such as M7E4,round=nearest; calibration chooses the biases. "
        "Of an int8 model, int-wrap or int-saturate; calibration chooses the bits.",
    ),
    click.option(
        "--method",
        type=click.Choice(list(METHODS)),
        default=DEFAULT_METHOD,
        show_default=True,
        help="How the biases are chosen. "
        + "; ".join(f"{name}: {method.help}" for name, method in METHODS.items())
        + ".",
    ),
    click.option(
        "--granularity",
        type=click.Choice(GRANULARITIES),
        default=GRANULARITIES[0],
        show_default=True,
        help="Biases of each layer's own, or the same for the whole model.",
    ),
    click.option("--tied", "is_tied", is_flag=True, help="Derive the product's bias from the accumulator's."),
    *(
        click.option(f"--{name}", type=_range_of(number), default=number.default, show_default=True, help=number.help)
        for name, number in NUMBERS.items()
    ),
    click.option(
        "--resume_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Note the progress in this file, and go on from it where it exists.",
    ),
    metric,
)
