"""What onnxruntime's own integer operators give on a processor with AVX2 and without VNNI, beside x86-u8s8.

    python tools/emulated_onnxruntime.py                   a table: which operators saturate, which are exact
    python tools/emulated_onnxruntime.py --record          the same, and golden vectors of what was found
    python tools/emulated_onnxruntime.py --processor max   another model of qemu's

It needs `qemu-x86_64` (Debian: apt-get install qemu-user), whose model Haswell has AVX2 and no VNNI. The same Python
runs in it, with the same onnxruntime. Each form of operator gets random codes with pairs that saturate; its outputs are
compared bit for bit with those of `lba_onnx.reference` in x86-u8s8 and in int32-wrap.
"""

import argparse
import itertools
import pickle
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "onnxruntime"
SHIFT = 8  # outputs of codes are sums times 2^-SHIFT
Y_ZERO_POINT = 3
MATMULS = ("MatMulInteger", "MatMulIntegerToFloat", "QLinearMatMul", "QGemm", "QDQ MatMul", "Q-DQ MatMul")
CONVS = ("ConvInteger", "QLinearConv", "QDQ Conv", "Q-DQ Conv")
SHAPES = ((1, 1, 9), (1, 64, 17), (4, 2, 3), (4, 5, 8), (3, 31, 17), (5, 131, 5))  # rows, depth, columns
CONV_SHAPES = ((3, 8, 1, 3), (4, 16, 1, 3), (5, 3, 1, 2), (6, 4, 2, 3), (16, 16, 1, 1), (9, 4, 1, 1), (8, 8, 8, 3))


@dataclass(frozen=True)
class Case:
    """One node with codes: x, constant w, and their zero points; convolutions have pads and groups."""

    form: str
    x: np.ndarray
    w: np.ndarray
    zero_points: tuple[int, int]
    pads: tuple[int, ...] = ()
    group: int = 1

    @property
    def types(self) -> str:
        """The types of x and w in short, such as "u8s8"."""
        return "".join("us"[array.dtype == np.int8] + "8" for array in (self.x, self.w))

    @property
    def is_depthwise(self) -> bool:
        """Whether each group has one input channel and, of these cases, one filter."""
        return self.w.ndim == 4 and self.w.shape[1] == 1 and self.group > 1

    @property
    def gives_codes(self) -> bool:
        """Whether outputs are quantized."""
        return self.form not in ("MatMulInteger", "MatMulIntegerToFloat", "ConvInteger")

    @property
    def is_float(self) -> bool:
        """Whether the model quantizes its input itself, and dequantizes its output."""
        return self.form.startswith("Q-DQ")

    def expected(self, spec: str) -> np.ndarray:
        """Return what the node gives in an accumulator, by the reference."""
        from lba_onnx import reference

        of_x, of_w = self.zero_points
        if self.w.ndim == 2:
            sums = reference.matmul(self.x, self.w, spec, a_zero_point=of_x, b_zero_point=of_w)
        else:
            pads, group = self.pads, self.group
            sums = reference.conv(self.x, self.w, spec, pads=pads, group=group, x_zero_point=of_x, w_zero_point=of_w)
        if not self.gives_codes:
            return sums.astype(np.float32) if self.form == "MatMulIntegerToFloat" else sums
        limits = np.iinfo(self.x.dtype)
        codes = np.rint(sums.astype(np.float32) * np.float32(2.0**-SHIFT)) + Y_ZERO_POINT
        return np.asarray(np.clip(codes, limits.min, limits.max), self.x.dtype)

    def feed(self) -> np.ndarray:
        """Return the model's input: codes, or where the model quantizes itself the floats that become these."""
        return (self.x.astype(np.float32) - self.zero_points[0]) if self.is_float else self.x


def cases() -> Iterator[Case]:
    """Yield every form with every pair of types."""
    rng = np.random.default_rng(7)

    def codes(dtype: type, *shape: int) -> np.ndarray:
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)

    for x_type, w_type in itertools.product((np.uint8, np.int8), repeat=2):
        zero_points = [(int(codes(x_type)), zero) for zero in (128 if w_type is np.uint8 else 0, int(codes(w_type)))]
        for form, (rows, depth, columns), zeros in itertools.product(MATMULS, SHAPES, zero_points):
            yield Case(form, codes(x_type, rows, depth), codes(w_type, depth, columns), zeros)
        for form, (channels, filters, group, size), zeros in itertools.product(CONVS, CONV_SHAPES, zero_points):
            pads = (0,) * 4 if size == 1 else (1, 0, 0, 1)
            x, w = codes(x_type, 1, channels, 5, 4), codes(w_type, filters, channels // group, size, size)
            yield Case(form, x, w, zeros, pads, group)


def model(case: Case) -> bytes:
    """Return a model of one node; scales are 1, and 2^SHIFT for outputs."""
    from onnx import TensorProto, helper, numpy_helper

    moves = {"pads": case.pads, "group": case.group} if case.pads else {}
    own = helper.make_node
    forms = {
        "MatMulInteger": [own("MatMulInteger", ["x", "w", "zx", "zw"], ["y"])],
        "MatMulIntegerToFloat": [own("MatMulIntegerToFloat", ["x", "w", "s", "s", "zx", "zw"], ["y"])],
        "QLinearMatMul": [own("QLinearMatMul", ["x", "s", "zx", "w", "s", "zw", "sy", "zy"], ["y"])],
        "QGemm": [own("QGemm", ["x", "s", "zx", "w", "s", "zw", "", "sy", "zy"], ["y"])],
        "ConvInteger": [own("ConvInteger", ["x", "w", "zx", "zw"], ["y"], **moves)],
        "QLinearConv": [own("QLinearConv", ["x", "s", "zx", "w", "s", "zw", "sy", "zy"], ["y"], **moves)],
    }
    x, y = ("xq", "yq") if case.is_float else ("x", "y")
    around = [
        own("DequantizeLinear", [x, "s", "zx"], ["xf"]),
        own("DequantizeLinear", ["w", "s", "zw"], ["wf"]),
        own(case.form.split()[-1], ["xf", "wf"], ["yf"], **moves),
        own("QuantizeLinear", ["yf", "sy", "zy"], [y]),
    ]
    if case.is_float:
        around = [own("QuantizeLinear", ["x", "s", "zx"], ["xq"]), *around]
        around.append(own("DequantizeLinear", ["yq", "s", "zy"], ["y"]))
    nodes = forms.get(case.form, around)
    for node in nodes:
        node.domain = "com.microsoft" if node.op_type in ("QGemm", "MatMulIntegerToFloat") else ""
    constants: dict[str, Any] = {
        "w": case.w,
        "zx": case.x.dtype.type(case.zero_points[0]),
        "zw": case.w.dtype.type(case.zero_points[1]),
        "zy": case.x.dtype.type(Y_ZERO_POINT),
        "s": np.float32(1),
        "sy": np.float32(2.0**SHIFT),
    }
    used = {name for node in nodes for name in node.input}
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used]
    codes = TensorProto.UINT8 if case.x.dtype == np.uint8 else TensorProto.INT8
    y_type = codes if case.gives_codes else TensorProto.INT32
    if case.is_float or case.form == "MatMulIntegerToFloat":
        y_type = TensorProto.FLOAT
    x_type = TensorProto.FLOAT if case.is_float else codes
    x_info = helper.make_tensor_value_info("x", x_type, case.x.shape)
    graph = helper.make_graph(nodes, "graph", [x_info], [helper.make_tensor_value_info("y", y_type, None)], held)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def run_models(source: str, target: str) -> None:
    """Run pickled models, in the emulator; an operator that onnxruntime has not for the types gives None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    outputs = []
    for data, x in pickle.loads(Path(source).read_bytes()):
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            outputs.append(session.run(None, {"x": x})[0])
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            outputs.append(None)
    Path(target).write_bytes(pickle.dumps(outputs))


def emulated(found: list[Case], processor: str) -> list[np.ndarray | None]:
    """Return the outputs of all cases on a processor of qemu's."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "models"), Path(folder, "outputs")
        source.write_bytes(pickle.dumps([(model(case), case.feed()) for case in found]))
        command = ["qemu-x86_64", "-cpu", processor, sys.executable, __file__, "--run", str(source), str(target)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        outputs: list[np.ndarray | None] = pickle.loads(target.read_bytes())
        return outputs


def as_codes(case: Case, output: np.ndarray) -> np.ndarray:
    """Return an output as `Case.expected` gives it; a model that dequantizes gives codes less their zero point."""
    return (output + Y_ZERO_POINT).astype(case.x.dtype) if case.is_float else output


def vector(case: Case, y: np.ndarray) -> str:
    """Return a line of the golden vectors; tests/vectors/README.md describes them."""
    head: list[Any] = ["x86-u8s8", case.x.dtype, case.w.dtype]
    zeros = [case.zero_points[0], 1, case.zero_points[1]]
    if case.w.ndim == 2:
        head += [case.x.shape[0], *case.w.shape, *zeros]
    else:
        head += [2, *case.x.shape, *case.w.shape, 1, 1, *case.pads, 1, 1, case.group, *y.shape, *zeros]
    if case.gives_codes:
        head = [SHIFT, Y_ZERO_POINT, case.x.dtype, *head]
    return " ".join(map(str, [*head, *case.x.ravel(), *case.w.ravel(), *y.ravel()]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="onnxruntime's integer operators on an emulated processor.")
    parser.add_argument("--processor", default="Haswell", help="a model of qemu's")
    parser.add_argument("--record", action="store_true", help=f"write golden vectors into {VECTORS}")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_models(*options.run)
        return
    found = list(cases())
    rows: dict[tuple[str, str], Counter[str]] = {}
    recorded: dict[str, list[str]] = {"MatMulInteger": [], "QLinearConv": []}
    for case, output in zip(found, emulated(found, options.processor), strict=True):
        count = rows.setdefault((case.form + (" depthwise" if case.is_depthwise else ""), case.types), Counter())
        count["cases"] += 1
        if output is None:
            count["not in onnxruntime"] += 1
            continue
        y = as_codes(case, output)
        for spec in ("x86-u8s8", "int32-wrap"):
            count[spec] += np.array_equal(y, case.expected(spec))
        if case.form in recorded and case.types in ("u8s8", "u8u8") and case.zero_points[1] in (0, 128):
            recorded[case.form].append(vector(case, y))
    print(f"{'node':<24}{'types':<8}{'cases':>6}{'x86-u8s8':>10}{'int32-wrap':>12}")
    for (form, types), count in sorted(rows.items()):
        told = f"{count['x86-u8s8']:>10}{count['int32-wrap']:>12}"
        told = "  not in onnxruntime" if count["not in onnxruntime"] else told
        print(f"{form:<24}{types:<8}{count['cases']:>6}{told}")
    if options.record:
        VECTORS.mkdir(exist_ok=True)
        for form, lines in recorded.items():
            text = "\n".join((f"# {form} of onnxruntime on an emulated {options.processor}", *lines))
            (VECTORS / f"{form}.txt").write_text(text + "\n", "ascii")


if __name__ == "__main__":
    main()
