"""Operations that arrange values anew, and those that tell of shapes."""

import numpy as np
import torch
from onnx.helper import tensor_dtype_to_np_dtype
from torch import Tensor
from torch.nn import functional

from lba_onnx.torch.tuning.operation import Call, operation


@operation("Shape")
def _shape(call: Call, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[call.attributes.get("start", 0) : call.attributes.get("end")])


@operation("Cast")
def _cast(call: Call, x: Tensor) -> Tensor:
    kind = np.dtype(tensor_dtype_to_np_dtype(call.attributes["to"]))
    return x.to(torch.from_numpy(np.zeros(0, kind)).dtype)


@operation("Reshape")
def _reshape(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    takes_zero = call.attributes.get("allowzero", 0)
    sizes = [x.shape[i] if size == 0 and not takes_zero else size for i, size in enumerate(shape.tolist())]
    return x.reshape(sizes)


@operation("Flatten")
def _flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.attributes.get("axis", 1)
    rows = x.shape[: axis if axis >= 0 else axis + x.ndim].numel()
    return x.reshape(rows, -1 if x.numel() else x.numel())


@operation("Transpose")
def _transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.attributes.get("perm", list(range(x.ndim))[::-1]))


@operation("Squeeze")
def _squeeze(call: Call, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = call.axes(given)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operation("Unsqueeze")
def _unsqueeze(call: Call, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = call.axes(given) or []
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operation("Concat")
def _concat(call: Call, *parts: Tensor) -> Tensor:
    return torch.cat(parts, call.attributes["axis"])


@operation("Split")
def _split(call: Call, x: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = call.attributes.get("axis", 0)
    sizes = call.attributes.get("split") if given is None else given.tolist()
    return tuple(x.split(-(-x.shape[axis] // call.outputs) if sizes is None else list(sizes), axis))


@operation("Slice")
def _slice(
    call: Call,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    given: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    begins = call.attributes["starts"] if starts is None else starts.tolist()
    stops = call.attributes["ends"] if ends is None else ends.tolist()
    axes = call.axes(given) or list(range(len(begins)))
    strides = [1] * len(begins) if steps is None else steps.tolist()
    for axis, begin, stop, stride in zip(axes, begins, stops, strides, strict=True):
        chosen = range(x.shape[axis])[slice(begin, stop if stop > -(2**62) else None, stride)]
        x = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64))
    return x


@operation("Gather")
def _gather(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = call.attributes.get("axis", 0) % x.ndim
    chosen = x.index_select(axis, indices.reshape(-1).long() % x.shape[axis])
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@operation("Expand")
def _expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist())))


@operation("Pad")
def _pad(
    call: Call, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, given: Tensor | None = None
) -> Tensor:
    mode = call.attributes.get("mode", b"constant").decode()
    amounts = call.attributes["pads"] if pads is None else pads.tolist()
    fill = call.attributes.get("value", 0.0) if value is None else value.item()
    axes = call.axes(given) or list(range(x.ndim))
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, begin, end in zip(axes, amounts[: len(axes)], amounts[len(axes) :], strict=True):
        before[axis], after[axis] = begin, end
    sides = [side for axis in range(x.ndim - 1, -1, -1) for side in (before[axis], after[axis])]
    if mode == "constant":
        return functional.pad(x, sides, value=fill)
    return functional.pad(x, sides[:-4], mode={"edge": "replicate"}.get(mode, mode))
