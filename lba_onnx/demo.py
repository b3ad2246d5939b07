"""The whole way on a small network: calibrate, convert at M7E4, run, compare with float32."""

import importlib.resources
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.data.execution import Execution
from lba_onnx.data.samples import Samples
from lba_onnx.errors import ModelError
from lba_onnx.evaluation import Comparison, Proportion, compare
from lba_onnx.files.json_file import write_json
from lba_onnx.files.outputs import Input, check_outputs

FAMILY = "M7E4"

_MODEL = "fashion_cnn.onnx"
_CALIBRATION_IMAGES = "fashion_calibration_256.npz"
_TEST_IMAGES = "fashion_test_1000.npz"


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and wrote.

    Attributes:
        calibration: The accumulator of every layer.
        comparison: The converted model beside the float32 model, on the test images.
        files: What was written: the converted model, the calibration, the ledger, and these figures.
        seconds: How long it took.
    """

    calibration: Calibration
    comparison: Comparison
    files: tuple[Path, ...]
    seconds: float

    @property
    def float32_top1(self) -> float:
        """Percent of the test images that the float32 model gets right."""
        return _percent(self.comparison.reference.top1)

    @property
    def lba_top1(self) -> float:
        """Percent of the test images that the converted model gets right."""
        return _percent(self.comparison.candidate.top1)

    @property
    def agreement(self) -> float:
        """Percent of the test images that both models put into the same class."""
        return _percent(self.comparison.agreement)

    def widest_layers(self, count: int) -> Calibration:
        """Return the calibration of only the layers with the largest sums."""
        ranked = sorted(
            self.calibration.nodes.items(), key=lambda item: item[1].range.max_abs_sum if item[1].range else 0.0
        )
        return replace(self.calibration, nodes=dict(ranked[: -count - 1 : -1]))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object; the first three are percentages, 0 to 100."""
        return {
            "float32_top1": self.float32_top1,
            "lba_top1": self.lba_top1,
            "agreement": self.agreement,
            "samples": self.comparison.samples,
            "comparison": self.comparison.to_json(),
            "family": self.calibration.family,
            "specs": {name: str(spec) for name, spec in self.calibration.specs.items()},
            "files": [str(path) for path in self.files],
            "seconds": round(self.seconds, 3),
        }


def _percent(proportion: Proportion | None) -> float:
    return 0.0 if proportion is None else proportion.percent


def demo_data_path() -> Path:
    """Return the folder with the demo's model and images.

    Raises:
        ModelError: It is not installed, or a file is missing.
    """
    folder = Path(str(importlib.resources.files("lba_onnx").joinpath("demo_data")))
    missing = [name for name in (_MODEL, _CALIBRATION_IMAGES, _TEST_IMAGES) if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder}: expected the demo's files, got no {', '.join(missing)}; install the package again")
    return folder


def run_demo(output_path: str | PathLike[str], progress: Callable[[int, int | None], None] | None = None) -> DemoResult:
    """Calibrate on 256 images, convert, and run 1000 test images through both models.

    Args:
        output_path: Folder to write to; made if it does not exist.
        progress: Called with the number of images done and in all, first for calibration, then for the test.

    Raises:
        ModelError: The demo's files are not installed.
        OSError: The folder cannot be written.
        OutputError: A file to be written is a link to one of the demo's own.
    """
    from lba_onnx.rewrite import convert
    from lba_onnx.rewrite.model_inputs import model_inputs

    start, execution = time.perf_counter(), Execution(progress=progress)
    source, target = demo_data_path(), Path(output_path)
    images = (source / _CALIBRATION_IMAGES, source / _TEST_IMAGES)
    target.mkdir(parents=True, exist_ok=True)
    model_path, calibration_path, report_path, result_path = files = tuple(
        target / name for name in (f"fashion_cnn_{FAMILY}.onnx", "calibration.json", "ledger.json", "result.json")
    )
    outputs = dict(zip(("converted model", "calibration", "report", "result"), files, strict=True))
    check_outputs(outputs, [*model_inputs(source / _MODEL), *(Input("data", path) for path in images)])
    calibration = calibrate(source / _MODEL, source / _CALIBRATION_IMAGES, FAMILY, execution=execution)
    calibration.save(calibration_path)
    _, report = convert(source / _MODEL, calibration.specs, model_output=model_path, provenance=calibration.provenance)
    write_json(report_path, report.to_json())
    test_images = Samples(source / _TEST_IMAGES, batch_size=50)
    comparison = compare(source / _MODEL, model_path, test_images, execution=execution)
    result = DemoResult(calibration, comparison, files, time.perf_counter() - start)
    write_json(result_path, result.to_json())
    return result
