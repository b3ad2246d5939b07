"""Models of one node, float32 or low-bit, and sessions that run them without copying tensors in or out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.operators import DOMAIN, VERSION
from lba_onnx.session import make_session

Floats = NDArray[np.float32]
_OPSET = 17
_IR_VERSION = 8


def make_model(
    op_type: str,
    inputs: Mapping[str, Floats],
    constants: Mapping[str, Floats],
    spec: AccumulatorSpec | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """A model of one node with output "y".

    Args:
        op_type: Standard operator; with a spec, its low-bit twin takes its place.
        inputs: First inputs, by name: the model's inputs, of these arrays' shapes.
        constants: The inputs after them: initializers.
        spec: The arithmetic; None for float32.
        attributes: Of the standard operator.
    """
    values = {**(attributes or {}), **(spec.to_attributes() if spec else {})}
    domain = DOMAIN if spec else ""
    node = helper.make_node(
        f"Lba{op_type}" if spec else op_type, [*inputs, *constants], ["y"], op_type, domain=domain, **values
    )
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], op_type, infos, [y], initializers)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def open_session(
    model: onnx.ModelProto | str, threads: int, spins_between_runs: bool = True
) -> onnxruntime.InferenceSession:
    """A session with the options that every benchmark uses.

    Args:
        model: A model or its path.
        threads: Of this session.
        spins_between_runs: onnxruntime's default. Two sessions of several threads that take turns should not: the
            threads of the one that waits would go on for a while on the processors of the other.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", str(int(not spins_between_runs)))
    return make_session(model, options)


def make_runner(session: onnxruntime.InferenceSession, feeds: Mapping[str, NDArray[Any]]) -> Callable[[], Floats]:
    """A function that runs the session on the feeds, bound once, and returns the first output."""
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")

    def run() -> Floats:
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()

    return run


def run_node(
    op_type: str,
    inputs: Mapping[str, Floats],
    constants: Mapping[str, Floats],
    spec: AccumulatorSpec | None = None,
    attributes: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> Callable[[], Floats]:
    """A function that runs one node in onnxruntime; arguments as for `make_model`."""
    model = make_model(op_type, inputs, constants, spec, attributes)
    return make_runner(open_session(model, threads), inputs)
