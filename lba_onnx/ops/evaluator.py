"""onnx's reference evaluator with the twins of the operators."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from lba_onnx.operators import DOMAIN, OPERATORS
from lba_onnx.ops import attention, codes, floats

_CLASSES = {**vars(floats), **vars(codes), **vars(attention)}

TWINS: Sequence[type[OpRun]] = [_CLASSES[op_type] for op_type in OPERATORS]
"""All of them: what onnx's `ReferenceEvaluator` takes as `new_ops`."""


def reference_evaluator(model: str | Path | onnx.ModelProto, **keywords: Any) -> ReferenceEvaluator:
    """Return onnx's reference evaluator of a converted model, which gives the bits that onnxruntime gives.

    The evaluator knows new operators in no function of a model, so functions are inlined first; the float32 bodies of a
    portable model are left out.

    Args:
        model: A path or a model, converted or not.
        keywords: What `onnx.reference.ReferenceEvaluator` takes besides, such as `verbose=1`.
    """
    proto = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
    return ReferenceEvaluator(
        _inlined(proto) if proto.functions else proto, new_ops=[*TWINS, *keywords.pop("new_ops", ())], **keywords
    )


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    bare.functions.extend(function for function in model.functions if function.domain != DOMAIN)
    return onnx.inliner.inline_local_functions(bare)
