"""A PyTorch model with low-bit accumulators as an ONNX model, or as a float32 model with the specs beside it.

    LbaLinear "fc1" (spec M7E4b12/M7E4b10)   ->  LbaGemm "fc1" (accumulator="M7E4b12/M7E4b10")     export
                                             ->  Gemm "fc1"  and  {"fc1": M7E4b12/M7E4b10}         export_float32

Both come from the same trace, so that `lba_onnx.convert` of the second pair gives the first. Nothing is folded into or
fused with these layers: a BatchNormalization stays behind its convolution, as PyTorch computes it, since a spec belongs
to the weights that it was chosen and trained with.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from torch import Tensor, nn

from lba_onnx import operators
from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.errors import ModelError
from lba_onnx.files.leftovers import clear_leftovers
from lba_onnx.files.outputs import check_outputs
from lba_onnx.files.temporary import temporary_folder
from lba_onnx.packages import package_version
from lba_onnx.rewrite import model_files
from lba_onnx.rewrite.attributes import drop_attributes, set_attributes
from lba_onnx.rewrite.conversion import converted_nodes
from lba_onnx.rewrite.model_file import ModelFile
from lba_onnx.rewrite.model_files import OpenModel, open_model
from lba_onnx.rewrite.model_writer import save_model
from lba_onnx.rewrite.provenance import VERSIONS_KEY, set_metadata, write_metadata
from lba_onnx.rewrite.specs import read_specs
from lba_onnx.rewrite.twins import arithmetic_attributes, rename_to_replaced, schema_of
from lba_onnx.torch.exporting.calls import named_sites, site_of
from lba_onnx.torch.exporting.constant_operands import fold_operands
from lba_onnx.torch.exporting.ir_version import lower_ir_version
from lba_onnx.torch.exporting.specs_file import write_specs
from lba_onnx.torch.exporting.tracing import as_args, check_is_evaluated, trace

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger(__name__)
_PACKAGES = ("onnx", "onnxscript", "torch")
_SPARE_BYTES = 1 << 26  # what a model needs beside its weights


def export(
    model: nn.Module,
    args: Tensor | Sequence[Any],
    path: str | os.PathLike[str],
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Accumulator]:
    """Write a model as ONNX with low-bit-accumulator operators, which `make_session` and the rest of this package take.

    Each site of the model becomes a node of its name (see `lba_sites`): LbaConv, LbaGemm or LbaMatMul, with the site's
    spec. A site that is called several times becomes the nodes "name", "name#2", ... Weights that are computed from
    parameters, as by a weight quantizer, become initializers. All else is what torch.onnx.export makes of it, but for
    the IR version, which is the lowest that the opset allows, and the exporter's notes on nodes and values.

    Args:
        model: The model, in evaluation mode, on the CPU.
        args: What to trace it with: positional arguments, or a single tensor.
        path: The file to write, all of it or nothing. A `ModelFile` says where the weights go; those of a plain path go
            into a file beside it where the model would exceed 2 GB.
        kwargs: Keyword arguments to trace it with.
        dynamic_shapes: Axes without a fixed size, as torch.onnx.export takes them: {"x": {0: "batch"}}.
        input_names: Names of the inputs; those of the arguments by default.
        output_names: Names of the outputs.
        opset_version: Version of the standard operators; PyTorch's choice by default.
        provenance: Where the specs come from, as JSON values, such as `Calibration.provenance`; kept in metadata_props.

    Returns:
        The specs of the nodes, by name.

    Raises:
        FileNotFoundError: The folder of `path` does not exist.
        ModelError: The model has no site, is in training mode, has an input quantizer without a range, or cannot be
            exported; the message says why.
        LbaError: onnxscript is not installed.
    """
    target = _check_target(path)
    settings = {
        "opset_version": opset_version,
        "input_names": input_names,
        "output_names": output_names,
        "dynamic_shapes": dynamic_shapes,
    }
    with _exported(model, as_args(args), kwargs or {}, target, settings) as opened:
        specs = read_specs(opened.proto)
        _describe(opened.proto, specs, provenance)
        _save(opened, path)
    return specs


def export_float32(
    model: nn.Module,
    args: Tensor | Sequence[Any],
    path: str | os.PathLike[str],
    specs_path: str | os.PathLike[str],
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
) -> dict[str, Accumulator]:
    """Write a model as ONNX with standard operators, for any runtime, and the specs of its sites as JSON.

    The file of specs is a `Calibration`: `lba_onnx.convert(path, Calibration.load(specs_path).specs)`, or
    `lba-onnx convert --calibration_path`, makes of both the model that `export` writes; with `bias_start` where the
    model's sums start from biases, which the files do not say.

    Args:
        model: As for `export`, like all that follow.
        args: What to trace it with.
        path: The model to write.
        specs_path: The JSON file to write.
        kwargs: Keyword arguments to trace it with.
        dynamic_shapes: Axes without a fixed size.
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        opset_version: Version of the standard operators.

    Returns:
        The specs of the nodes, by name.

    Raises:
        FileNotFoundError: A folder does not exist.
        ModelError: As for `export`.
        LbaError: onnxscript is not installed.
        OSError: A file cannot be written.
        OutputError: Both paths lead to the same file.
    """
    check_outputs({"exported model": path, "specs": specs_path})
    target, _ = _check_target(path), _check_target(specs_path)
    settings = {
        "opset_version": opset_version,
        "input_names": input_names,
        "output_names": output_names,
        "dynamic_shapes": dynamic_shapes,
    }
    with _exported(model, as_args(args), kwargs or {}, target, settings) as opened:
        specs = read_specs(opened.proto)
        _restore_standard_operators(opened.proto)
        _save(opened, path)
    write_specs(specs_path, specs)
    return specs


def _check_target(path: str | os.PathLike[str]) -> Path:
    """Refuse, before any work is done, a path that cannot be written."""
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: expected the folder {target.parent} to exist")
    if target.exists() and not target.is_file():
        raise ModelError(f"cannot write {target}: expected a file name, got a folder or a device")
    return target


@contextmanager
def _exported(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], target: Path, settings: Mapping[str, Any]
) -> Iterator[OpenModel]:
    """Yield the exported model; its external data lies in a folder beside the target, which goes with the block."""
    check_is_evaluated(model)
    program = trace(model, args, kwargs, **settings)
    _check_names(program, settings)
    fold_operands(program.model, model, args, kwargs)
    clear_leftovers(target.parent)
    with temporary_folder(target.parent) as folder:
        path = folder / "model.onnx"
        program.save(path, external_data=True)
        opened = open_model(path)
        _name_nodes(opened.proto)
        lower_ir_version(opened.proto)
        _report_unused(model, opened.proto)
        yield opened


def _check_names(program: "torch.onnx.ONNXProgram", settings: Mapping[str, Any]) -> None:
    graph = program.model.graph
    for argument, values in (("input_names", graph.inputs), ("output_names", graph.outputs)):
        names = settings[argument]
        if names and [value.name for value in values] != list(names):
            raise ModelError(f"{argument}: expected {len(values)} different names, got {list(names)}")


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give each low-bit-accumulator node the name that its attribute `statistics` holds, and order its attributes."""
    for _, node in converted_nodes(model):
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in attributes}
        node.name = values["statistics"].decode()
        arithmetic = arithmetic_attributes(node)
        starts = [attribute.name for attribute in schema_of(node).start_attributes if attribute.name in values]
        _keep_attributes(node, [attribute for attribute in attributes if attribute.name not in arithmetic])
        set_attributes(node, from_attributes(values).to_attributes() | {name: values[name] for name in starts})


def _keep_attributes(node: onnx.NodeProto, attributes: Sequence[onnx.AttributeProto]) -> None:
    del node.attribute[:]
    node.attribute.extend(attributes)


def _report_unused(model: nn.Module, proto: onnx.ModelProto) -> None:
    sites = named_sites(model)
    used = {site_of(name, sites) for name, _ in converted_nodes(proto)}
    for name in sites:
        if name not in used:
            _LOG.warning("%r of %s has no node in the exported model: no output needs it", name, type(model).__name__)


def _describe(model: onnx.ModelProto, specs: Mapping[str, Accumulator], provenance: Mapping[str, Any] | None) -> None:
    """Write the metadata that `lba_onnx.convert` writes."""
    write_metadata(model, specs, {"exporter": "lba_onnx.torch"}, provenance)
    set_metadata(model, VERSIONS_KEY, json.dumps({name: package_version(name) for name in _PACKAGES}))


def _restore_standard_operators(model: onnx.ModelProto) -> None:
    """Turn each low-bit-accumulator node into the operator that it stands for."""
    for _, node in converted_nodes(model):
        drop_attributes(node, arithmetic_attributes(node))
        rename_to_replaced(node)
    kept_imports = [imported for imported in model.opset_import if imported.domain != operators.DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept_imports)


def _save(opened: OpenModel, path: str | os.PathLike[str]) -> None:
    file = ModelFile.of(path)
    if file.use_external_data_format is None:
        is_large = model_files.external_bytes(opened) + _SPARE_BYTES > model_files.MAX_PROTOBUF_BYTES
        file = replace(file, use_external_data_format=is_large)
    save_model(opened.proto, file, source_path=opened.path)
