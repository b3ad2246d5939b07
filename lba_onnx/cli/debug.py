"""lba-onnx debug: which layer of a converted model hurts, why, and which to promote."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lba_onnx.cli import options
from lba_onnx.cli.files import check_files
from lba_onnx.cli.model_hashes import model_hashes
from lba_onnx.cli.output import print_json, print_text
from lba_onnx.cli.progress import progress_bar
from lba_onnx.text import TextTable, figures, names

if TYPE_CHECKING:
    from lba_onnx.data.samples import Samples
    from lba_onnx.diagnosis import Diagnosis, Promotion

_SENTENCES = 3


@click.command("debug")
@options.model_path
@options.test_data
@click.option(
    "--reference_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The float32 or int8 model that it was made from; needed where its weights were corrected.",
)
@click.option(
    "--samples_alone",
    type=click.IntRange(min=0),
    default=16,
    show_default=True,
    help="Samples to try each node on as the only converted one, in whole batches; 0 to skip it.",
)
@click.option(
    "--promote_until",
    "condition",
    metavar="CONDITION",
    help='Find the fewest layers to promote until it holds: "sqnr>=20", "cosine>=0.99", "agreement>=99", "top1>=93", '
    '"top5>=99", "top1_difference>=-0.5", "metric>=0.9" or "perplexity_change<=1".',
)
@click.option(
    "--wider", metavar="M<m>E<e>", help="Promote to this family; where not given to float32, and integers to 32 bits."
)
@click.option(
    "-o",
    "--output_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The promoted model to write, if the condition is fulfilled.",
)
@options.metric
@options.batching
@options.common
def debug_command(
    onnx_path: Path,
    data_path: Path,
    labels_path: Path | None,
    reference_path: Path | None,
    as_json: bool,
    samples_alone: int,
    **given: Any,
) -> None:
    """Show which layer of a converted model hurts, and why.

    Looks at 64 samples (256 for --promote_until) unless --max_samples says otherwise. Labels and --metric are for
    --promote_until alone.
    """
    from lba_onnx.cli.settings import take_execution, take_samples
    from lba_onnx.diagnosis import debug

    check_files(
        {"promoted model": given["output_path"]},
        models={"model": onnx_path, "reference": reference_path},
        data={"data": data_path, "labels": labels_path},
        functions={name: given[name] for name in ("metric", "preprocess")},
    )
    _check_promotion({**given, "labels_path": labels_path})
    samples = take_samples(given, data_path, labels_path)
    with progress_bar("looking at layers") as progress:
        execution = take_execution(given, progress)
        diagnosis = debug(onnx_path, samples, reference_path, samples_alone=samples_alone, execution=execution)
    promotion = None
    if given["condition"] is not None:
        order = [layer.node for layer in diagnosis.ranking] if diagnosis.samples_alone else None
        promotion = _promote(onnx_path, samples, reference_path, order, execution.providers, given)
    if as_json:
        promoted = {"promotion": promotion.to_json()} if promotion else {}
        print_json({**diagnosis.to_json(), **model_hashes(onnx_path, reference_path), **promoted})
        return
    tables = _errors(diagnosis), _causes(diagnosis), _events(diagnosis), *_bits(diagnosis)
    print_text(*tables, *diagnosis.sentences(_SENTENCES))
    if promotion is not None:
        print_text(_steps(promotion), *_outcome(promotion, _target(promotion, diagnosis), given["output_path"]))


def _check_promotion(given: dict[str, Any]) -> None:
    """Refuse, before any work is done, what cannot be promoted to."""
    from lba_onnx.arithmetic import parse_family
    from lba_onnx.evaluation.condition import Condition

    if given["condition"] is not None:
        Condition.parse(given["condition"])
    if given["wider"] is not None:
        parse_family(given["wider"])
    for name in ("wider", "output_path", "metric", "labels_path"):
        if given["condition"] is None and given[name] is not None:
            raise click.UsageError(f"--{name} plays no part without --promote_until")


def _promote(
    onnx_path: Path,
    samples: "Samples",
    reference_path: Path | None,
    order: list[str] | None,
    providers: Sequence[str],
    given: dict[str, Any],
) -> "Promotion":
    from lba_onnx.data.execution import Execution
    from lba_onnx.diagnosis import promote_until

    with progress_bar("promoting layers") as progress:
        return promote_until(
            onnx_path,
            samples,
            given["condition"],
            reference_path,
            wider=given["wider"],
            metric=given["metric"],
            order=order,
            execution=Execution(providers, progress),
            model_output=given["output_path"],
        )


def _errors(diagnosis: "Diagnosis") -> TextTable:
    title = f"{diagnosis.samples} samples ({diagnosis.samples_alone} for the model's output), the worst layer first, dB"
    columns = (
        *names("node", "operator"),
        *figures("spec", "output alone", "exact inputs", "own error", "cross-model"),
    )
    rows = []
    for layer in diagnosis.ranking:
        values = layer.output_sqnr_alone, layer.exact_input_err, layer.qdq_err, layer.xmodel_err
        rows.append((layer.node, layer.op_type, str(layer.spec), *map(_decibels, values)))
    return TextTable(columns, rows, title)


def _causes(diagnosis: "Diagnosis") -> TextTable:
    causes = [layer.spec.causes for layer in diagnosis.ranking]
    kinds = list(dict.fromkeys(cause.kind for own in causes for cause in own))
    rows = []
    for layer, own in zip(diagnosis.ranking, causes, strict=True):
        shares = {kind: [_share(layer.shares[c.name]) for c in own if c.kind == kind] for kind in kinds}
        rows.append((layer.node, *(" / ".join(cells) or "-" for cells in shares.values())))
    title = "share of the layer's error, %: of products / of sums / of both"
    return TextTable((*names("node"), *figures(*(kind.replace("_", " ") for kind in kinds))), rows, title)


def _events(diagnosis: "Diagnosis") -> TextTable:
    shares = {layer.node: layer.events.shares if layer.events else {} for layer in diagnosis.ranking}
    events = list(dict.fromkeys(name for own in shares.values() for name in own))
    rows = [(node, *(_percent(own.get(name)) for name in events)) for node, own in shares.items()]
    headings = (name.replace("_", " ") for name in events)
    title = "how often it happens in the converted model, %"
    return TextTable((*names("node"), *figures(*headings)), rows, title)


def _bits(diagnosis: "Diagnosis") -> list[TextTable]:
    """Return a table of the registers of integers; none where all nodes multiply floats."""
    rows = [
        (layer.node, needed.width.level.replace("_", " "), str(needed.width.bits), *map(str, needed.shares.values()))
        for layer in diagnosis.ranking
        for needed in layer.bits
    ]
    columns = (*names("node", "sums"), *figures("has", "all", "99.9 %", "99 %"))
    return [TextTable(columns, rows, "bits that sums have, and that so many of them need")] if rows else []


def _steps(promotion: "Promotion") -> TextTable:
    title = f"{promotion.condition} on {promotion.samples} samples"
    columns = figures("promoted layers", promotion.condition.split(">")[0], "holds")
    steps = promotion.steps
    rows = ((str(len(step.promoted)), f"{step.value:.4g}", "yes" if step.holds else "no") for step in steps)
    return TextTable(columns, rows, title)


def _target(promotion: "Promotion", diagnosis: "Diagnosis") -> str:
    """Return what promoted nodes compute in."""
    sorts = {"32-bit integers" if layer.spec.sums_codes else "float32" for layer in diagnosis.layers}
    return promotion.wider or " or ".join(sorted(sorts))


def _outcome(promotion: "Promotion", target: str, output_path: Path | None) -> list[str]:
    if not promotion.is_fulfilled:
        line = f"{promotion.condition} does not hold even with all layers in {target}: {promotion.value:.4g}"
        return [line, *([f"wrote nothing to {output_path}"] if output_path else [])]
    if not promotion.promoted:
        line = f"{promotion.condition} holds as it is: {promotion.value:.4g}"
    else:
        listed = ", ".join(promotion.promoted)
        line = f"{promotion.condition} holds with these layers in {target}: {listed}"
    return [line, *([f"wrote {output_path}"] if output_path else [])]


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2g}"


def _share(share: float | None) -> str:
    return "-" if share is None or not math.isfinite(share) else str(round(100 * share))
