"""How many bits the accumulators of int8 models need: accuracy against their width, wrapping and saturating.

Each model (models/int8/zoo.py) runs in onnxruntime, in float32 and as it is, and converted with every accumulator asked
for. Each result is compared with sums of 32 bits, that is with the model in int32-wrap: how many samples have the same
bits, and how like the others are. onnxruntime's own outputs are compared with what its kernels compute on the processor
at hand: int32-wrap where it has AVX-512 VNNI, x86-u8s8 where not. Results are added to --json_path one by one,
replacing older ones of the same settings; --render prints the tables of docs/results.md from that file and measures
nothing.

Ranges are 95 % intervals: Wilson's of shares, Student's of other means.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from benchmarks.harness import Column, Row, keep_results, progress
from benchmarks.integers_tables import render
from benchmarks.results import interval, share
from lba_onnx import native
from models import zoo
from models.int8 import zoo as int8

FLOAT32, EXACT, PAIRS = "float32", "int32-wrap", "x86-u8s8"
ONNXRUNTIME = {EXACT: "onnxruntime with VNNI", PAIRS: "onnxruntime without VNNI"}
WIDTHS = (32, 24, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10)
ACCUMULATORS = (
    *(f"int{bits}-{overflow}" for overflow in ("wrap", "saturate") for bits in WIDTHS),
    *("int16x64/int20-wrap", "int16x64-saturate/int20-saturate", PAIRS),
)
_KEYS = ("model", "form", "accumulator")
COLUMNS = (
    Column("model", "model"),
    Column("form", "form"),
    Column("accumulator", "accumulator"),
    Column("converted", "converted", "d"),
    Column("left", "left", "d"),
    Column("right", "right"),
    Column("likeness_name", "likeness to 32 bits"),
    Column("likeness", "value", ".4f"),
    Column("same_bits", "same bits", "d"),
    Column("samples", "samples", "d"),
    Column("seconds", "seconds", ".1f"),
)


def main() -> None:
    """Measure, or render, what the command line asks for."""
    arguments = _parse_arguments()
    if arguments.render:
        print(render(json.loads(arguments.json_path.read_text())["results"]))
        return
    keep_results("integers", _measure(arguments), COLUMNS, arguments.json_path, _KEYS, _order)


def _measure(arguments: argparse.Namespace) -> Iterator[Row]:
    for name in arguments.models:
        for form in arguments.forms or int8.forms_of(name):
            case = _some(int8.load(name, form, arguments.photographs), arguments.samples)
            yield from measure_model(case, arguments.accumulators)


def measure_model(case: int8.Int8Model, accumulators: Sequence[str]) -> Iterator[Row]:
    """Yield a row of the float32 model, one of onnxruntime's int8 model, and one of each accumulator."""
    shipped = EXACT if native.integer_path() == "avx512_vnni" else PAIRS
    runs = {EXACT: _run(case, EXACT)}
    runs[shipped] = runs.get(shipped) or _run(case, shipped)
    head: Row = {"model": case.model.name, "form": case.form}
    texts = (FLOAT32, ONNXRUNTIME[shipped], *accumulators)
    for text in progress(texts, lambda text: f"{case.model.name} {case.form} {text}"):
        found = runs.get(text) or _run(case, text)
        figures = _figures(case.model, found.run, runs[EXACT].run)
        if text == ONNXRUNTIME[shipped]:
            figures["same_bits"] = _same_bits(found.run, runs[shipped].run)
        yield head | {"accumulator": text, **found.counts, **figures, "seconds": found.seconds}


@dataclass(frozen=True)
class _Found:
    """What a model gave, in how many seconds; of a converted one, how many nodes are."""

    run: zoo.Run
    seconds: float
    counts: Row


def _run(case: int8.Int8Model, text: str) -> _Found:
    model, counts = _model_of(case, text)
    start = time.perf_counter()
    return _Found(zoo.run(model, case.model.test), time.perf_counter() - start, counts)


def _some(case: int8.Int8Model, count: int | None) -> int8.Int8Model:
    """Return the model with so many of its test samples, evenly spaced; all for None."""
    test = case.model.test
    total = len(next(iter(test.values()))) if isinstance(test, Mapping) else len(test)
    kept = np.arange(total) if count is None else np.arange(count) * total // count
    some = (
        {name: values[kept] for name, values in test.items()} if isinstance(test, Mapping) else [test[k] for k in kept]
    )
    return replace(case, model=replace(case.model, test=some))


def _model_of(case: int8.Int8Model, text: str) -> tuple[Path | onnx.ModelProto, Row]:
    """Return the model to run, and how many of its nodes are converted and left."""
    if text == FLOAT32:
        return case.float32, {}
    if text in ONNXRUNTIME.values():
        return case.model.model_path, {}
    converted, report = lba_onnx.convert(case.model.model_path, text)
    left = {entry.node: entry.reason for entry in report.left}
    return converted, {"converted": len(report.converted), "left": len(left), "left_reasons": left}


def _figures(model: zoo.ZooModel, result: zoo.Run, reference: zoo.Run) -> Row:
    likeness = model.likeness.numbers(result, reference)
    assert model.metric is not None, "every int8 model has labels"
    right = model.metric.numbers(result)
    return {
        "samples": len(right),
        "right": share(right),
        "right_interval": interval(right),
        "exact_right": share(model.metric.numbers(reference)),
        "likeness_name": model.likeness.name,
        "likeness": float(likeness.mean()),
        "likeness_interval": interval(likeness),
        "same_bits": _same_bits(result, reference),
        "largest_difference": max(map(_largest_difference, result.outputs, reference.outputs)),
    }


def _same_bits(result: zoo.Run, reference: zoo.Run) -> int:
    return sum(map(_same_bits_of_batch, result.outputs, reference.outputs, result.labels))


def _same_bits_of_batch(outputs: zoo.Arrays, others: zoo.Arrays, labels: NDArray[np.int64] | None) -> int:
    """Return how many samples of a batch have the same bits in all outputs; the first axis may not be the batch's."""
    assert labels is not None, "every int8 model has labels"
    samples = len(labels)
    pairs = [(outputs[name].view(np.uint8), others[name].view(np.uint8)) for name in outputs]
    if samples == 1:
        return int(all(np.array_equal(a, b) for a, b in pairs))
    same = [np.all((a == b).reshape(samples, -1), axis=1) for a, b in pairs]
    return int(np.logical_and.reduce(same).sum())


def _largest_difference(outputs: zoo.Arrays, others: zoo.Arrays) -> float:
    return max(float(np.max(np.abs(outputs[name] - others[name]))) for name in outputs)


def _order(row: Row) -> tuple[int | str, ...]:
    known = (int8.NAMES, int8.forms_of(row["model"]), (FLOAT32, *ONNXRUNTIME.values(), *ACCUMULATORS))
    places = (
        names.index(row[key]) if row[key] in names else len(names) for key, names in zip(_KEYS, known, strict=True)
    )
    return (*places, row["accumulator"])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=int8.NAMES, default=["demo", *int8.DYNAMIC])
    parser.add_argument("--forms", nargs="+", help="such as qdq-u8s8-channel; default: all that a model is had in")
    parser.add_argument("--accumulators", nargs="*", default=list(ACCUMULATORS))
    parser.add_argument("--photographs", type=Path, help="a folder of photographs for MobileNetV2, named <class>.jpg")
    parser.add_argument("--samples", type=int, help="how many of the test samples, evenly spaced; default: all")
    parser.add_argument("--json_path", type=Path, help="where to add the results")
    parser.add_argument("--render", action="store_true", help="print the tables of --json_path as Markdown")
    arguments = parser.parse_args()
    if arguments.render and arguments.json_path is None:
        parser.error("--render takes --json_path")
    return arguments


if __name__ == "__main__":
    main()
