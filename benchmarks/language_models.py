"""Perplexity of a language model as it is exported, converted with several accumulators, beside float32.

    python -m benchmarks.language_models --json_path docs/results_language_models.json

Each export (models/smollm2) runs in onnxruntime as it is, and converted. Perplexity is that of 8 windows of 256 tokens;
biases are calibrated, and weights corrected, on 16 windows of 128 other tokens. Where there is a KV cache, 64 tokens
are read in two parts and one by one, and the logits compared with those of one run (benchmarks/kv_cache.py). Results
are added to --json_path one by one, replacing older ones of the same settings; --render prints the table of
docs/results.md from that file and measures nothing.

Ranges are 95 % intervals over windows.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lba_onnx
from benchmarks.harness import Column, Row, add_result, print_table, progress
from benchmarks.kv_cache import compare_parts
from lba_onnx.evaluation import Perplexity, PerplexityChange
from models.smollm2.checkpoint import calibration_tokens, test_tokens
from models.smollm2.exports import NAMES, export

FLOAT32 = "float32"
WIDE = "M22E7b63"
FAMILY = "M7E4"
CORRECTED = f"{FAMILY} corrected"
ACCUMULATORS = (FLOAT32, WIDE, FAMILY, CORRECTED)
RECIPE = "scale"  # scales alone; refits have not been measured
_KEYS = ("export", "accumulator")
COLUMNS = (
    Column("export", "export"),
    Column("accumulator", "accumulator"),
    Column("converted", "converted", "d"),
    Column("left", "left", "d"),
    Column("perplexity", "perplexity", ".3f"),
    Column("change", "change %", "+.3f"),
    Column("seconds", "seconds", ".0f"),
)


def main() -> None:
    """Measure, or render, what the command line asks for."""
    arguments = _parse_arguments()
    if arguments.render:
        print(render(json.loads(arguments.json_path.read_text())["results"]))
        return
    rows: list[Row] = []
    for name in progress(arguments.exports):
        for row in measure_export(name, arguments.accumulators):
            rows.append(row)
            print_table("language models", [row], COLUMNS)
            if arguments.json_path is not None:
                add_result(arguments.json_path, "language_models", row, _KEYS, _order)
    print_table("language models", rows, COLUMNS)


def measure_export(name: str, accumulators: list[str]) -> Iterator[Row]:
    """Yield a row of the export as it is, and one of each accumulator."""
    source = export(name)
    specs: dict[str, Any] = {WIDE: WIDE}
    if not {FAMILY, CORRECTED}.isdisjoint(accumulators):
        specs[FAMILY] = specs[CORRECTED] = lba_onnx.calibrate(source, _calibration_samples(), FAMILY)
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "converted.onnx")
        for text in progress(accumulators, lambda text: f"{name} {text}"):
            start = time.perf_counter()
            row: Row = {"export": name, "accumulator": text}
            if text == FLOAT32:
                row |= _alone(source)
            else:
                row |= _convert(source, text, specs[text], converted) | _beside(source, converted)
            row["cache"] = compare_parts(source if text == FLOAT32 else converted, test_tokens()[0])
            yield row | {"seconds": time.perf_counter() - start}


def _calibration_samples() -> lba_onnx.Samples:
    return lba_onnx.Samples({"input_ids": calibration_tokens()}, batch_size=4)


def _test_samples() -> lba_onnx.Samples:
    return lba_onnx.Samples({"input_ids": test_tokens()}, batch_size=1)


def _convert(source: Path, text: str, specs: Any, output: Path) -> Row:
    """Write the converted model; return what was done to its nodes."""
    made = output.with_name("uncorrected.onnx") if text == CORRECTED else output
    _, report = lba_onnx.convert(source, specs, model_output=_file(made))
    left = {entry.node: entry.reason for entry in report.left}
    row: Row = {"converted": len(report.converted), "left": len(left), "left_reasons": left}
    if text == CORRECTED:
        options = {"recipes": [RECIPE], "model_output": _file(output)}
        row["recipe"] = lba_onnx.correct(made, _calibration_samples(), **options)[1].recipe
    return row


def _file(path: Path) -> lba_onnx.ModelFile:
    return lba_onnx.ModelFile(path, use_external_data_format=True)


def _alone(model: Path) -> Row:
    found = lba_onnx.evaluate(model, _test_samples(), metric="perplexity").metric
    assert isinstance(found, Perplexity), "there are tokens"
    return _figures(found)


def _beside(source: Path, converted: Path) -> Row:
    found = lba_onnx.compare(source, converted, _test_samples(), metric="perplexity")
    metric, change = found.candidate.metric, found.metric_difference
    assert isinstance(metric, Perplexity) and isinstance(change, PerplexityChange), "there are tokens"
    return _figures(metric) | {"change": change.percent, "change_interval": change.interval}


def _figures(found: Perplexity) -> Row:
    return {"perplexity": found.mean, "perplexity_interval": found.interval, "tokens": found.tokens}


def render(rows: list[Row]) -> str:
    """Return a Markdown table: a line for each export and accumulator."""
    titles = ("export", "accumulator", "converted", "perplexity", "95 % interval", "change of it", "through the cache")
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    return "\n".join([*lines, *map(_line, rows)])


def _line(row: Row) -> str:
    nodes, change = "", ""
    if row["accumulator"] != FLOAT32:
        low, high = row["change_interval"] or (row["change"], row["change"])
        nodes = f"{row['converted']} of {row['converted'] + row['left']}"
        change = f"{row['change']:+.3g} % ({low:+.3g} to {high:+.3g})"
    low, high = row["perplexity_interval"]
    perplexity, cached = (
        f"{row['perplexity']:.3f}",
        "; ".join(f"{name}: {_cached(found)}" for name, found in row["cache"].items()),
    )
    cells = (row["export"], row["accumulator"], nodes, perplexity, f"{low:.2f} to {high:.2f}", change, cached)
    return f"| {' | '.join(cells)} |"


def _cached(found: Row) -> str:
    if found["tokens"] == found["tokens_of_the_same_bits"]:
        return "same bits"
    return f"within {found['largest_difference']:.1g}"


def _order(row: Row) -> tuple[int, int]:
    return NAMES.index(row["export"]), ACCUMULATORS.index(row["accumulator"])


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--accumulators", nargs="+", choices=ACCUMULATORS, default=list(ACCUMULATORS))
    parser.add_argument("--json_path", type=Path, help="where to add the results")
    parser.add_argument("--render", action="store_true", help="print the table of --json_path as Markdown")
    arguments = parser.parse_args()
    if arguments.render and arguments.json_path is None:
        parser.error("--render takes --json_path")
    return arguments


if __name__ == "__main__":
    main()
