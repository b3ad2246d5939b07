"""What a converted model says about itself: operator sets and metadata_props.

- lba_onnx.version: the version of this package
- lba_onnx.spec: JSON, the spec of all converted nodes as a string, or an object of node names to specs
- lba_onnx.options: JSON, the other arguments of convert
"""

import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

import onnx

from lba_onnx import ops
from lba_onnx.accumulator import AccumulatorSpec

VERSION_KEY = "lba_onnx.version"
SPEC_KEY = "lba_onnx.spec"
OPTIONS_KEY = "lba_onnx.options"


def import_operator_set(owner: "onnx.ModelProto | onnx.FunctionProto") -> None:
    """Add this package's operator set to a model's or a function's imports, unless it is there."""
    if all(imported.domain != ops.DOMAIN for imported in owner.opset_import):
        owner.opset_import.add(domain=ops.DOMAIN, version=ops.VERSION)


def write_metadata(model: onnx.ModelProto, specs: Mapping[str, AccumulatorSpec], options: Mapping[str, Any]) -> None:
    """Write version, specs (of nodes converted now and before) and options; other entries stay as they are."""
    texts = {name: str(spec) for name, spec in specs.items()}
    single = next(iter(texts.values())) if len(set(texts.values())) == 1 else None
    _set_metadata(model, VERSION_KEY, package_version())
    _set_metadata(model, SPEC_KEY, json.dumps(single or texts))
    _set_metadata(model, OPTIONS_KEY, json.dumps(dict(options)))


def package_version() -> str:
    """Return this package's version, or "unknown" where it is not installed."""
    try:
        return importlib.metadata.version("lba-onnx")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    entry = next((entry for entry in model.metadata_props if entry.key == key), None) or model.metadata_props.add()
    entry.key, entry.value = key, value
