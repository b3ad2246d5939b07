"""A PyTorch model and its ONNX model, run side by side.

    PyTorch, on the inputs        each call of an operator  --operands-->  the node of its name, alone, in onnxruntime
    onnxruntime, on the inputs    the whole model  --outputs of the layers and of the model-->  against PyTorch's

The first line must agree bit for bit. The second shows what the rest of the model does: float32 operators round
differently in both, and a layer behind them may turn a last bit into a step of its accumulator.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lba_onnx.data.execution import run_session
from lba_onnx.errors import DataError, ModelError
from lba_onnx.rewrite.model_files import OpenModel, open_model
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.session import make_session
from lba_onnx.torch.exporting.calls import LbaCall, named_sites, observe_calls, site_of
from lba_onnx.torch.exporting.data_flow import needed_calls
from lba_onnx.torch.exporting.report import Difference, ExportCheck, LayerCheck, OutputCheck
from lba_onnx.torch.exporting.single_layer import Layer, find_layers
from lba_onnx.torch.exporting.tracing import as_args, check_is_evaluated
from lba_onnx.torch.layers.sites import LbaSite
from lba_onnx.torch.operators.operands import read_spec

if TYPE_CHECKING:
    import onnxruntime

_Array = NDArray[Any]


def check_export(
    model: nn.Module,
    path: str | os.PathLike[str],
    inputs: Tensor | Sequence[Any],
    *,
    kwargs: Mapping[str, Any] | None = None,
) -> ExportCheck:
    """Hold a PyTorch model against its export, layer by layer and as a whole.

    Args:
        model: The model, in evaluation mode.
        path: What `export` wrote, or `convert` made of what `export_float32` wrote.
        inputs: What to run both on: positional arguments, or a single tensor.
        kwargs: Keyword arguments.

    Returns:
        For each layer whether both agree bit for bit on the inputs that PyTorch gives it, and by how much layers and
        outputs differ where each model runs by itself. `errors` names sites without nodes and nodes without sites,
        `not_run` those that these inputs do not reach: nodes in a branch that is not taken, sites that no output needs.

    Raises:
        DataError: The ONNX model does not take these inputs.
        FileNotFoundError: There is no such file.
        ModelError: The file is no converted model, or the PyTorch model has no site or is in training mode.
    """
    check_is_evaluated(model)
    opened = open_model(path)
    args, kwargs = as_args(inputs), kwargs or {}
    layers = find_layers(opened)
    if not layers:
        raise ModelError(f"{path}: expected a converted model, got one without low-bit-accumulator nodes")
    comparison = _Comparison(layers)
    outputs = observe_calls(model, args, kwargs, comparison.take)
    expected = [leaf.detach().numpy() for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    comparison.look_for_missing(model, args, kwargs)
    seen, tapped = _run(opened, args, kwargs, comparison.taps)
    return ExportCheck(
        layers=tuple(comparison.checks(tapped)),
        outputs=tuple(_compare_outputs(expected, seen)),
        errors=(*comparison.errors, *_output_errors(expected, seen)),
        not_run=tuple(comparison.not_run),
        **_compare_top1(expected, list(seen.values())),
    )


class _Comparison:
    """Gathers what the calls of the PyTorch model show.

    Attributes:
        errors: What does not fit, each beginning with a node's name.
        not_run: What could not be compared and need not be, likewise.
        taps: The values that stand for the layers in the main graph, by node.
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.errors: list[str] = []
        self.not_run: list[str] = []
        self.taps: dict[str, str] = {}
        self._layers = layers
        self._called: dict[str, None] = {}  # in order
        self._differing: dict[str, int] = {}
        self._outputs: dict[str, _Array] = {}

    def take(self, call: LbaCall) -> None:
        """Compare a call with the node of its name."""
        self._called[call.node] = None
        layer = self._layers.get(call.node)
        if layer is None:
            return
        spec, found = read_spec(call.arguments["spec"]), layer.candidate.present_spec
        if spec != found:
            self.errors.append(f"{call.node!r}: expected the spec {spec}, which PyTorch has, got {found}")
        try:
            self._compare(call, layer)
        except ModelError as error:
            self.errors.append(f"{call.node!r}: {error}")

    def _compare(self, call: LbaCall, layer: Layer) -> None:
        lacks_bias = call.operator == "linear" and layer.op_type == "LbaMatMul" and len(layer.nodes_of(call)) == 1
        output = layer.laid_out(call, (call.compute(bias=None) if lacks_bias else call.output).detach().numpy())
        got = layer.compute(call)
        if got.shape != output.shape:
            raise ModelError(f"expected an output of shape {output.shape}, got {got.shape}")
        self._differing[call.node] = int(((got != output) & ~(np.isnan(got) & np.isnan(output))).sum())
        self._outputs[call.node] = output
        if layer.candidate.site.location == "main":
            self.taps[call.node] = layer.output_of(call)

    def look_for_missing(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Find the calls without a node, the nodes without a call, and the sites without either."""
        missing = [node for node in self._called if node not in self._layers]
        needed = needed_calls(model, args, kwargs) if missing else set()
        for node in missing:
            if node in needed:
                self.errors.append(f"{node!r}: PyTorch computes it, and the ONNX model has no node of that name")
            else:
                self.not_run.append(
                    f"{node!r}: no output of PyTorch depends on it, and the ONNX model has no such node"
                )
        sites = named_sites(model)
        for name, layer in self._layers.items():
            if name not in self._called:
                self._look_at_uncalled(name, layer, sites.get(site_of(name, sites)))
        present = {site_of(node, sites) for node in (*self._called, *self._layers)}
        for name in sites:
            if name not in present:
                self.not_run.append(f"{name!r}: neither PyTorch on these inputs nor the ONNX model computes it")

    def _look_at_uncalled(self, name: str, layer: Layer, site: LbaSite | None) -> None:
        present = layer.candidate.present_spec
        if site is None:
            self.errors.append(f"{name!r}: the ONNX model has the node, and the PyTorch model has no such site")
        elif layer.candidate.site.location == "main":
            self.errors.append(
                f"{name!r}: the ONNX model has the node, and PyTorch does not compute it on these inputs"
            )
        elif site.spec != present:
            self.errors.append(f"{name!r}: expected the spec {site.spec}, which PyTorch has, got {present}")
        else:
            self.not_run.append(f"{name!r}: in a branch that PyTorch does not take on these inputs")

    def checks(self, tapped: Mapping[str, _Array]) -> Iterator[LayerCheck]:
        """Yield what was found for each layer, given the layers' outputs in a run of the whole ONNX model."""
        for node, output in self._outputs.items():
            layer, along = self._layers[node], tapped.get(node)
            spec = layer.candidate.present_spec
            assert spec is not None
            difference = None if along is None or along.shape != output.shape else Difference.of(output, along)
            yield LayerCheck(node, layer.op_type, spec, output.size, self._differing[node], difference)


def _run(
    opened: OpenModel, args: tuple[Any, ...], kwargs: Mapping[str, Any], taps: Mapping[str, str]
) -> tuple[dict[str, _Array], dict[str, _Array]]:
    """Return the outputs of the ONNX model by name, and the tapped values by node."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(opened.proto)
    for name in dict.fromkeys(taps.values()):
        if all(output.name != name for output in tapped.graph.output):
            tapped.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    outputs = _run_model(opened, args, kwargs)
    values = _run_model(OpenModel(tapped, opened.path), args, kwargs)
    return outputs, {node: values[name] for node, name in taps.items()}


def _run_model(opened: OpenModel, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, _Array]:
    with runnable(opened) as source:
        session = make_session(source)
        feeds = _feeds(session, args, kwargs, opened)
        try:
            values = run_session(session, None, feeds)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise DataError(f"{opened.path} does not run on these inputs: {error}") from error
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def _feeds(
    session: "onnxruntime.InferenceSession", args: tuple[Any, ...], kwargs: Mapping[str, Any], opened: OpenModel
) -> dict[str, _Array]:
    """Return the model's inputs: keyword arguments of their names, and the other tensors in order."""
    names = [value.name for value in session.get_inputs()]
    named = {name: value for name, value in kwargs.items() if name in names and isinstance(value, Tensor)}
    others = [value for name, value in kwargs.items() if name not in named]
    tensors = [leaf for leaf in pytree.tree_leaves((args, others)) if isinstance(leaf, Tensor)]
    open_names = [name for name in names if name not in named]
    if len(tensors) != len(open_names):
        raise DataError(
            f"{opened.path}: expected {len(names)} inputs ({', '.join(names)}), got {len(tensors) + len(named)} tensors"
        )
    given = {**named, **dict(zip(open_names, tensors, strict=True))}
    return {name: tensor.detach().numpy() for name, tensor in given.items()}


def _output_errors(expected: Sequence[_Array], seen: Mapping[str, _Array]) -> Iterator[str]:
    if len(expected) != len(seen):
        yield f"expected the {len(expected)} outputs of PyTorch, got {len(seen)} ({', '.join(seen)})"
    for output, (name, value) in zip(expected, seen.items(), strict=False):
        if output.shape != value.shape:
            yield f"output {name!r}: expected the shape {output.shape} of PyTorch, got {value.shape}"


def _compare_outputs(expected: Sequence[_Array], seen: Mapping[str, _Array]) -> Iterator[OutputCheck]:
    for output, (name, value) in zip(expected, seen.items(), strict=False):
        if output.shape == value.shape:
            yield OutputCheck(name, value.shape, Difference.of(output, value))


def _compare_top1(expected: Sequence[_Array], seen: Sequence[_Array]) -> dict[str, int | None]:
    for output, value in zip(expected, seen, strict=False):
        if output.shape == value.shape and output.ndim == 2 and output.shape[1] > 1 and output.dtype.kind == "f":
            equal = int((output.argmax(1) == value.argmax(1)).sum())
            return {"top1_rows": len(output), "top1_equal": equal}
    return {"top1_rows": None, "top1_equal": None}
