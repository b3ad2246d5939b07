"""What transformations do to a language model: perplexity in float32 and at a family, and how large its values are.

Plain conversion: biases by `max`, nothing corrected, products of two computed operands in float32. The transformations
add up, in the order in which they are given.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

import lba_onnx
from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Row, parse_arguments, progress, report
from benchmarks.selections import products_with_weights
from lba_onnx import ModelFile, Samples
from lba_onnx.calibration import Calibration
from lba_onnx.session import make_session
from lba_onnx.transformation import TRANSFORMATIONS

AS_IT_IS = "none"
COLUMNS = (
    Column("transformations", "transformations"),
    Column("family", "family"),
    Column("float32_perplexity", "float32 perplexity", ".3f"),
    Column("perplexity", "perplexity", ".2f"),
    Column("median_product", "largest product, median", ".3g"),
    Column("most_product", "most", ".3g"),
    Column("median_sum", "largest sum, median", ".3g"),
    Column("most_sum", "most", ".3g"),
    Column("seconds", "seconds to transform", ".1f"),
)


@dataclass(frozen=True)
class Texts:
    """Windows of tokens, int64 [windows, tokens]: to calibrate on and verify with, and to report on."""

    calibration: NDArray[np.int64]
    report: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path, calibration: int, windows: int) -> "Texts":
        """The first windows of the arrays "calibration" and "report" of an .npz."""
        with np.load(path) as arrays:
            return cls(arrays["calibration"][:calibration], arrays["report"][:windows])


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    texts = Texts.read(arguments.tokens_path, arguments.calibration_windows, arguments.report_windows)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        names = [AS_IT_IS, *arguments.transformations]
        path, done = arguments.model_path, []
        for name in progress(names):
            seconds = 0.0
            if name != AS_IT_IS:
                path, seconds = transform(path, Path(folder) / f"{name}.onnx", name, texts)
                done.append(name)
            for family in arguments.families:
                row = run_model(path, family, texts, Path(folder) / "converted.onnx")
                rows.append({"transformations": ", ".join(done) or AS_IT_IS, "seconds": seconds, **row})
    report("transformations", arguments, rows, COLUMNS)


def transform(model: Path, output: Path, name: str, texts: Texts) -> tuple[Path, float]:
    """The transformed model's file, and the seconds that it took."""
    start = time.perf_counter()
    samples = Samples(feeds_of(model, texts.calibration), batch_size=1, max_samples=4)
    _, found = lba_onnx.transform(model, samples, [name], model_output=output)
    if not found.done:
        raise CheckFailed(found.summary())
    return output, time.perf_counter() - start


def run_model(model: Path, family: str, texts: Texts, output: Path) -> Row:
    """Convert a model, and measure both."""
    selection = products_with_weights(model)
    samples = Samples(feeds_of(model, texts.calibration), batch_size=1)
    biases = lba_onnx.calibrate(model, samples, family, selection=selection)
    target = ModelFile(output, use_external_data_format=True)
    lba_onnx.convert(model, biases, selection=selection, model_output=target)
    perplexities = {"float32_perplexity": perplexity(model, texts), "perplexity": perplexity(output, texts)}
    return {"family": family, **perplexities, **_largest(biases)}


def feeds_of(model: Path, windows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Windows as the model's one input."""
    (tokens,) = make_session(model).get_inputs()
    return {tokens.name: windows}


def perplexity(model: Path, texts: Texts) -> float:
    """The exponential of the mean negative log likelihood of each token but the first of its window."""
    session = make_session(model)
    (tokens,) = session.get_inputs()
    losses = [_losses(session.run(None, {tokens.name: window[None]})[0][0], window) for window in texts.report]
    return float(np.exp(np.mean(losses)))


def _losses(logits: NDArray[np.float32], window: NDArray[np.int64]) -> NDArray[np.float64]:
    scores = logits[:-1].astype(np.float64)
    scores -= scores.max(1, keepdims=True)
    normalizers: NDArray[np.float64] = np.log(np.exp(scores).sum(1))
    return normalizers - scores[np.arange(len(scores)), window[1:]]


def _largest(biases: Calibration) -> Row:
    ranges = [node.range for node in biases.nodes.values() if node.range is not None]
    products, sums = [seen.max_abs_product for seen in ranges], [seen.max_abs_sum for seen in ranges]
    middle = {"median_product": median(products), "median_sum": median(sums)}
    return {**middle, "most_product": max(products), "most_sum": max(sums)}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_path", type=Path, required=True, help="int64 [batch, tokens] -> logits")
    parser.add_argument("--tokens_path", type=Path, required=True, help=".npz with arrays calibration and report")
    parser.add_argument("--transformations", nargs="*", choices=[*TRANSFORMATIONS], default=[*TRANSFORMATIONS])
    parser.add_argument("--families", nargs="+", default=["M7E4"])
    parser.add_argument("--calibration_windows", type=int, default=16)
    parser.add_argument("--report_windows", type=int, default=8)


if __name__ == "__main__":
    main()
