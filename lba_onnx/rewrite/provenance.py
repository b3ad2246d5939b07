"""What a converted model says about itself: operator sets and metadata_props.

- lba_onnx.version: the version of this package
- lba_onnx.versions: JSON, the versions of onnx and onnx-graphsurgeon that took part
- lba_onnx.spec: JSON, the spec of all converted nodes as a string, or an object of node names to specs
- lba_onnx.options: JSON, the other arguments of convert
- lba_onnx.provenance: JSON, what the caller says of the specs: method and data hash of a calibration, a seed, ...
"""

import json
from collections.abc import Mapping
from typing import Any

import onnx

from lba_onnx import operators
from lba_onnx.arithmetic import Accumulator
from lba_onnx.packages import package_version

VERSION_KEY = "lba_onnx.version"
SPEC_KEY = "lba_onnx.spec"
OPTIONS_KEY = "lba_onnx.options"
VERSIONS_KEY = "lba_onnx.versions"
PROVENANCE_KEY = "lba_onnx.provenance"

_PACKAGES = ("onnx", "onnx-graphsurgeon")


def import_operator_set(
    owner: "onnx.ModelProto | onnx.FunctionProto", domain: str = operators.DOMAIN, version: int = operators.VERSION
) -> None:
    """Add an operator set, by default this package's, to a model's or a function's imports, unless it is there."""
    if domain and all(imported.domain != domain for imported in owner.opset_import):
        owner.opset_import.add(domain=domain, version=version)


def write_metadata(
    model: onnx.ModelProto,
    specs: Mapping[str, Accumulator],
    options: Mapping[str, Any],
    provenance: Mapping[str, Any] | None,
) -> None:
    """Write versions, specs (of nodes converted now and before), options and provenance; other entries stay."""
    texts = {name: str(spec) for name, spec in specs.items()}
    single = next(iter(texts.values())) if len(set(texts.values())) == 1 else None
    set_metadata(model, VERSION_KEY, package_version())
    set_metadata(model, SPEC_KEY, json.dumps(single or texts))
    set_metadata(model, OPTIONS_KEY, json.dumps(dict(options)))
    set_metadata(model, VERSIONS_KEY, json.dumps({name: package_version(name) for name in _PACKAGES}))
    if provenance is not None:
        set_metadata(model, PROVENANCE_KEY, json.dumps(dict(provenance)))


def read_metadata(model: onnx.ModelProto) -> dict[str | bytes, str | bytes]:
    """Return a model's metadata_props; texts that are not UTF-8 as bytes."""
    return {entry.key: entry.value for entry in model.metadata_props}


def own_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the entries of this package in a model's metadata_props; what is not UTF-8 in them is replaced."""
    own = {key: value for key, value in read_metadata(model).items() if isinstance(key, str)}
    texts = {key: value.decode(errors="replace") if isinstance(value, bytes) else value for key, value in own.items()}
    return {key: value for key, value in texts.items() if key.startswith("lba_onnx.")}


def read_json_entry(model: onnx.ModelProto, key: str) -> dict[str, Any]:
    """Return the JSON object in an entry of a model's metadata_props; empty where there is none, or something else."""
    try:
        value = json.loads(read_metadata(model).get(key, "{}"))
    except (ValueError, RecursionError):  # somebody else's entry
        return {}
    return value if isinstance(value, dict) else {}


def set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    """Give an entry of a model's metadata_props a value."""
    entry = next((entry for entry in model.metadata_props if entry.key == key), None) or model.metadata_props.add()
    entry.key, entry.value = key, value
