"""Perplexity of a language model as it is exported, converted with several accumulators, beside float32.

    python -m benchmarks.language_models --json_path docs/results_language_models.json

Each export (models/smollm2) runs in onnxruntime as it is, and converted. Perplexity is that of 8 windows of 256 tokens;
biases are calibrated, and weights corrected, on 16 windows of 128 other tokens. Where there is a KV cache, 64 tokens
are read in two parts and one by one, and the logits compared with those of one run (benchmarks/kv_cache.py). Results
are added to --json_path one by one, replacing older ones of the same settings; --render prints the table of
docs/results.md from that file and measures nothing.

An accumulator is a format with its options, or float32 for the export as it is. Words around it say what else is done:
"rotated weights M7E4,chunk=32 refitted" is of the export rotated first (docs/transformations.md), the products of two
computed operands left in float32, and corrected by one of the recipes that the default effort tries; "scaled" corrects
by scales alone, "corrected" by the default effort.

Ranges are 95 % intervals over windows.
"""

import argparse
import json
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lba_onnx
from benchmarks.harness import Column, Row, keep_results, progress
from benchmarks.kv_cache import compare_parts
from benchmarks.selections import products_with_weights
from lba_onnx.correction.recipes import DEFAULT_EFFORT, EFFORTS
from lba_onnx.evaluation import Perplexity, PerplexityChange
from models.smollm2.checkpoint import calibration_tokens, test_tokens
from models.smollm2.exports import NAMES, export

FLOAT32 = "float32"
WIDE = "M22E7b63"
ROTATED, ROTATION = "rotated", "rotation"
WEIGHTS = "weights"
RECIPES = {"scaled": ("scale",), "refitted": ("refit_rows",), "corrected": EFFORTS[DEFAULT_EFFORT]}
ACCUMULATORS = (
    FLOAT32,
    WIDE,
    "M7E4",
    "M7E4 scaled",
    "rotated M7E4,chunk=32",
    "rotated M7E4,chunk=32 refitted",
)
ROTATION_WINDOWS = 4  # that verify it
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
    rows = (row for name in progress(arguments.exports) for row in measure_export(name, arguments.accumulators))
    keep_results("language_models", rows, COLUMNS, arguments.json_path, _KEYS, _order)


def measure_export(name: str, accumulators: list[str]) -> Iterator[Row]:
    """Yield a row of the export as it is, and one of each accumulator."""
    source = export(name)
    with tempfile.TemporaryDirectory() as folder:
        conversions = Conversions(source, Path(folder))
        for text in progress(accumulators, lambda text: f"{name} {text}"):
            start = time.perf_counter()
            row: Row = {"export": name, "accumulator": text}
            if text == FLOAT32:
                row |= measure(source, source)
            else:
                converted, found = conversions.make(Way.parse(text))
                row |= found | measure(source, converted)
            yield row | {"seconds": time.perf_counter() - start}


@dataclass(frozen=True)
class Way:
    """What is done to an export.

    Attributes:
        is_rotated: Whether it is rotated first.
        only_weights: Whether products of two computed operands, those of attention, are left.
        format: The accumulator's format with its options; one with biases is taken as it is.
        recipes: Those that correct it, of which the best is taken; none for no correction.
    """

    is_rotated: bool
    only_weights: bool
    format: str
    recipes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Way":
        """Return what a text such as "rotated M7E4,chunk=32 refitted" says.

        Raises:
            ValueError: It says something else.
        """
        words = text.split()
        is_rotated = _take(words, ROTATED)
        only_weights = _take(words, WEIGHTS)
        if not words or words[1:] not in ([], *([name] for name in RECIPES)):
            raise ValueError(f"expected [{ROTATED}] [{WEIGHTS}] FORMAT [{' | '.join(RECIPES)}], got {text!r}")
        return cls(is_rotated, only_weights, words[0], RECIPES[words[1]] if words[1:] else ())


def _take(words: list[str], word: str) -> bool:
    """Take a word from the front, and return whether it stood there."""
    stands = words[:1] == [word]
    del words[:stands]
    return stands


class Conversions:
    """Models converted in several ways; what ways share is done once."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._rotated: Path | None = None
        self._specs: dict[Way, Any] = {}

    def make(self, way: Way) -> tuple[Path, Row]:
        """Return the converted model, which stays until the next one, and what was done to its nodes."""
        output, uncorrected = (self._folder / f"{name}.onnx" for name in ("converted", "uncorrected"))
        _, report = lba_onnx.convert(
            self._base(way),
            self._specs_of(way),
            selection=self._selection(way),
            model_output=_file(uncorrected if way.recipes else output),
        )
        left = {entry.node: entry.reason for entry in report.left}
        row: Row = {"converted": len(report.converted), "left": len(left), "left_reasons": left}
        if way.recipes:
            _, correction = lba_onnx.correct(
                uncorrected, _calibration_samples(), recipes=way.recipes, model_output=_file(output)
            )
            row["recipe"] = correction.recipe
        return output, row

    def _base(self, way: Way) -> Path:
        if not way.is_rotated:
            return self._source
        if self._rotated is None:
            self._rotated = self._folder / "rotated.onnx"
            samples = lba_onnx.Samples({"input_ids": calibration_tokens()[:ROTATION_WINDOWS]}, batch_size=1)
            _, report = lba_onnx.transform(self._source, samples, [ROTATION], model_output=_file(self._rotated))
            assert report.done == (ROTATION,), f"{self._source}: cannot be rotated: {report.summary()}"
        return self._rotated

    def _specs_of(self, way: Way) -> Any:
        if way.format == WIDE:
            return WIDE
        key = replace(way, recipes=())
        if key not in self._specs:
            self._specs[key] = lba_onnx.calibrate(
                self._base(way), _calibration_samples(), way.format, selection=self._selection(way)
            )
        return self._specs[key]

    def _selection(self, way: Way) -> lba_onnx.Selection:
        return products_with_weights(self._base(way)) if way.only_weights else lba_onnx.Selection()


def measure(source: Path, model: Path) -> Row:
    """Return a model's perplexity, beside that of its source where it is another, and what its cache does."""
    found = _alone(source) if model == source else _beside(source, model)
    return found | {"cache": compare_parts(model, test_tokens()[0])}


def _calibration_samples() -> lba_onnx.Samples:
    return lba_onnx.Samples({"input_ids": calibration_tokens()}, batch_size=4)


def _test_samples() -> lba_onnx.Samples:
    return lba_onnx.Samples({"input_ids": test_tokens()}, batch_size=1)


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


def _order(row: Row) -> tuple[Any, ...]:
    text = row["accumulator"]
    first = (FLOAT32, WIDE)
    place = first.index(text) if text in first else len(first)
    mantissa = re.search(r"M(\d+)", text)
    bits = int(mantissa.group(1)) if mantissa else 0
    return NAMES.index(row["export"]), place, WEIGHTS in text.split(), text.startswith(ROTATED), -bits, text


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exports", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--accumulators", nargs="+", default=list(ACCUMULATORS))
    parser.add_argument("--json_path", type=Path, help="where to add the results")
    parser.add_argument("--render", action="store_true", help="print the table of --json_path as Markdown")
    arguments = parser.parse_args()
    try:
        [Way.parse(text) for text in arguments.accumulators]
    except ValueError as error:
        parser.error(str(error))
    if arguments.render and arguments.json_path is None:
        parser.error("--render takes --json_path")
    return arguments


if __name__ == "__main__":
    main()
