"""What `check_export` found: each layer on the same inputs, and both models from end to end."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator
from lba_onnx.text import TextTable, figures, names

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """How far apart two arrays of the same shape are.

    Attributes:
        absolute: The largest absolute difference; infinite where only one of two values is NaN or infinite.
        relative: The same divided by the largest finite magnitude of the first array.
    """

    absolute: float
    relative: float

    @classmethod
    def of(cls, expected: _Array, got: _Array) -> "Difference":
        """Compare two arrays; NaN equals NaN."""
        first, second = expected.astype(np.float64), got.astype(np.float64)
        is_equal = (first == second) | (np.isnan(first) & np.isnan(second))
        with np.errstate(invalid="ignore"):
            apart = np.where(is_equal, 0.0, np.abs(first - second))
        absolute = float(np.nan_to_num(apart, nan=math.inf, posinf=math.inf).max(initial=0.0))
        largest = float(np.abs(first[np.isfinite(first)]).max(initial=0.0))
        return cls(absolute, absolute / largest if largest else (math.inf if absolute else 0.0))

    def to_json(self) -> dict[str, float | None]:
        """Return a JSON object; what is infinite is null."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}

    def __str__(self) -> str:
        """Return both numbers, or "0"."""
        return f"{self.absolute:.3g} ({self.relative:.2g} of the largest)" if self.absolute else "0"


@dataclass(frozen=True)
class LayerCheck:
    """One layer.

    Attributes:
        node: The name of its node; that of its site, with "#2" and so on for further calls.
        op_type: The node's operator, such as "LbaGemm".
        spec: The node's spec.
        values: Values of its output.
        different_values: How many of them differ between PyTorch and onnxruntime on the inputs that PyTorch gave it; -0
            and +0, and any two NaN, count as the same.
        run_difference: How far its outputs are apart where each model feeds its own layers; None for a layer inside a
            subgraph.
    """

    node: str
    op_type: str
    spec: Accumulator
    values: int
    different_values: int
    run_difference: Difference | None

    @property
    def is_bit_equal(self) -> bool:
        """Whether PyTorch and onnxruntime agree in every value on the same inputs."""
        return self.different_values == 0

    def to_json(self) -> dict[str, Any]:
        """Return the layer as a JSON object."""
        run_difference = self.run_difference.to_json() if self.run_difference else None
        return {**vars(self), "spec": self.spec.to_json(), "run_difference": run_difference}


@dataclass(frozen=True)
class OutputCheck:
    """One output of the model.

    Attributes:
        name: Its name in the ONNX model.
        shape: Its shape.
        difference: How far onnxruntime's is from PyTorch's.
    """

    name: str
    shape: tuple[int, ...]
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """Return the output as a JSON object."""
        return {"name": self.name, "shape": list(self.shape), "difference": self.difference.to_json()}


@dataclass(frozen=True)
class ExportCheck:
    """A PyTorch model held against its ONNX model.

    Attributes:
        layers: The low-bit-accumulator layers, in the order in which PyTorch computes them.
        outputs: The outputs of the model.
        errors: What does not fit together, such as a site without a node; empty where all does.
        not_run: What these inputs do not reach, so that it was not compared: a node in a branch that was not taken, a
            site on which no output depends, a site that neither model computes.
        top1_rows: Rows of the first output of shape [rows, classes]; None where there is no such output.
        top1_equal: In how many of them the largest value is that of the same class; None likewise.
    """

    layers: tuple[LayerCheck, ...]
    outputs: tuple[OutputCheck, ...]
    errors: tuple[str, ...]
    not_run: tuple[str, ...]
    top1_rows: int | None
    top1_equal: int | None

    @property
    def is_bit_equal(self) -> bool:
        """Whether there are layers, none is missing in either model, and all agree in every value on the same inputs.

        What `not_run` names does not count.
        """
        return bool(self.layers) and not self.errors and all(layer.is_bit_equal for layer in self.layers)

    def summary(self) -> str:
        """Return what was found in a few lines: layers, outputs, predictions, errors."""
        equal = sum(layer.is_bit_equal for layer in self.layers)
        lines = [f"{equal} of {len(self.layers)} layers agree bit for bit on the same inputs"]
        lines += [f"output {output.name}: largest difference {output.difference}" for output in self.outputs]
        if self.top1_rows is not None:
            lines.append(f"same top-1 class in {self.top1_equal} of {self.top1_rows} rows")
        lines += [f"not run: {text}" for text in self.not_run]
        return "\n".join([*lines, *(f"error: {error}" for error in self.errors)])

    def table(self) -> TextTable:
        """Return the layers as a table for the terminal; its title is the summary."""
        columns = (*names("node", "operator"), *figures("spec", "same inputs", "along the runs"))
        rows = []
        for layer in self.layers:
            same = "equal" if layer.is_bit_equal else f"{layer.different_values} of {layer.values} values differ"
            along = "in a subgraph" if layer.run_difference is None else str(layer.run_difference)
            rows.append((layer.node, layer.op_type, str(layer.spec), same, along))
        return TextTable(columns, rows, self.summary())

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {
            "is_bit_equal": self.is_bit_equal,
            "layers": [layer.to_json() for layer in self.layers],
            "outputs": [output.to_json() for output in self.outputs],
            "errors": list(self.errors),
            "not_run": list(self.not_run),
            "top1_rows": self.top1_rows,
            "top1_equal": self.top1_equal,
        }
