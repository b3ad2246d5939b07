"""How many bits the accumulators of int8 models need: accuracy against their width, wrapping and saturating.

Each model (models/int8/zoo.py) runs in onnxruntime, in float32 and as it is, and converted with every accumulator asked
for. A converted model is compared with onnxruntime's int8 outputs: how many samples have the same bits, and how like
the others are. Results are added to --json_path one by one, replacing older ones of the same settings; --render prints
the tables of docs/results.md from that file and measures nothing.

Ranges are 95 % intervals: Wilson's of shares, Student's of other means.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from benchmarks.harness import Column, Row, add_result, print_table, progress
from benchmarks.integers_tables import render
from benchmarks.results import interval, share
from models import zoo
from models.int8 import zoo as int8

FLOAT32, ONNXRUNTIME = "float32", "onnxruntime"
WIDTHS = (32, 24, 22, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10)
ACCUMULATORS = (
    *(f"int{bits}-{overflow}" for overflow in ("wrap", "saturate") for bits in WIDTHS),
    *("int16x64/int20-wrap", "int16x64-saturate/int20-saturate", "x86-u8s8"),
)
_KEYS = ("model", "form", "accumulator")
COLUMNS = (
    Column("model", "model"),
    Column("form", "form"),
    Column("accumulator", "accumulator"),
    Column("converted", "converted", "d"),
    Column("left", "left", "d"),
    Column("right", "right"),
    Column("likeness_name", "likeness to onnxruntime"),
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
    rows: list[Row] = []
    for name in arguments.models:
        for form in arguments.forms or int8.forms_of(name):
            case = _some(int8.load(name, form, arguments.photographs), arguments.samples)
            for row in measure_model(case, arguments.accumulators):
                rows.append(row)
                print_table("integers", [row], COLUMNS)
                if arguments.json_path is not None:
                    add_result(arguments.json_path, "integers", row, _KEYS, _order)
    print_table("integers", rows, COLUMNS)


def measure_model(case: int8.Int8Model, accumulators: Sequence[str]) -> Iterator[Row]:
    """Yield a row of the float32 model, one of onnxruntime's int8 model, and one of each accumulator."""
    reference = zoo.run(case.model.model_path, case.model.test)
    head: Row = {"model": case.model.name, "form": case.form}
    for text in progress((FLOAT32, ONNXRUNTIME, *accumulators), lambda text: f"{case.model.name} {case.form} {text}"):
        model, counts = _model_of(case, text)
        start = time.perf_counter()
        result = reference if text == ONNXRUNTIME else zoo.run(model, case.model.test)
        seconds = time.perf_counter() - start
        figures = _figures(case.model, result, reference)
        yield head | {"accumulator": text, **counts, **figures, "seconds": seconds}


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
    if text in (FLOAT32, ONNXRUNTIME):
        return case.float32 if text == FLOAT32 else case.model.model_path, {}
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
        "int8_right": share(model.metric.numbers(reference)),
        "likeness_name": model.likeness.name,
        "likeness": float(likeness.mean()),
        "likeness_interval": interval(likeness),
        "same_bits": sum(map(_same_bits, result.outputs, reference.outputs, result.labels)),
        "largest_difference": max(map(_largest_difference, result.outputs, reference.outputs)),
    }


def _same_bits(outputs: zoo.Arrays, others: zoo.Arrays, labels: NDArray[np.int64] | None) -> int:
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
    known = (int8.NAMES, int8.forms_of(row["model"]), (FLOAT32, ONNXRUNTIME, *ACCUMULATORS))
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
