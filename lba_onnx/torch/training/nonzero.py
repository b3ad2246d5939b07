"""How many products of a site could carry a gradient: if all those are gated, the site cannot learn.

By "immediate_difference" a product with a zero factor is never gated. With a zero input it carries nothing to the
weight all the same (and little to what comes before: a ReLU that put the zero there stops it); with a zero weight it
does.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lba_onnx.torch.layers.modules import LbaConv1d, LbaConv2d, LbaConv3d, LbaLinear, LbaMatmul, LbaProjection
from lba_onnx.torch.layers.sites import LbaSite

_CONVOLUTIONS = {LbaConv1d: functional.conv1d, LbaConv2d: functional.conv2d, LbaConv3d: functional.conv3d}


def count_nonzero(site: LbaSite, operands: tuple[Tensor, ...]) -> int:
    """Return how many products of a call have a nonzero input; between two computed matrices, two nonzero factors.

    Args:
        site: The module called.
        operands: What it was called with.
    """
    with torch.no_grad():
        nonzero = site.quantize_input(operands[0]) != 0
        if isinstance(site, LbaMatmul):
            return _of_matmul(nonzero, site.quantize_input(operands[1]) != 0)
        if isinstance(site, (LbaLinear, LbaProjection)):
            weight = site.weight if isinstance(site, LbaLinear) else operands[1]
            return int(nonzero.sum()) * int(weight.shape[0])
        return _of_conv(site, nonzero)


def count_products(site: LbaSite, operands: tuple[Tensor, ...], result: Tensor) -> int:
    """Return the number of all products of a call, padding included."""
    if isinstance(site, (LbaMatmul, LbaLinear, LbaProjection)):
        return int(result.numel() * operands[0].shape[-1])
    return int(result.numel() * math.prod(site.weight.shape[1:]))


def _of_matmul(a: Tensor, b: Tensor) -> int:
    rows = a.unsqueeze(0) if a.ndim == 1 else a
    columns = b.unsqueeze(1) if b.ndim == 1 else b
    return int((rows.sum(-2) * columns.sum(-1)).sum())


def _of_conv(site: LbaSite, nonzero: Tensor) -> int:
    values, padding = nonzero.to(torch.float64), site.padding
    if site.padding_mode != "zeros":
        values = functional.pad(values, site._reversed_padding_repeated_twice, mode=site.padding_mode)
        padding = 0
    ones = torch.ones((site.groups, *site.weight.shape[1:]), dtype=torch.float64)
    convolve = next(function for cls, function in _CONVOLUTIONS.items() if isinstance(site, cls))
    sums = convolve(values, ones, None, site.stride, padding, site.dilation, site.groups)
    return int(sums.sum()) * int(site.out_channels // site.groups)
