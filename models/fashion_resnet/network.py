"""A residual network of the kind that He et al. (2016) have for small images, with 16 layers for 28 x 28 grey ones."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.demo.network import ConvNorm, Residual

WIDTHS = (16, 32, 64)
BLOCKS = (1, 2, 3)


class FashionResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels at 14, 7 and 4 pixels; then the mean over pixels and a Gemm.

    A convolution of stride 2 leads to each stage, and one, two and three residual blocks there keep the shape.
    """

    def __init__(self) -> None:
        """Initialises the weights from torch's global random generator."""
        super().__init__()
        self.down = nn.ModuleList(ConvNorm(*widths, stride=2) for widths in pairwise((1, *WIDTHS)))
        self.stage = nn.ModuleList(
            nn.Sequential(*(Residual(ConvNorm(width, width), ConvNorm(width, width)) for _ in range(blocks)))
            for width, blocks in zip(WIDTHS, BLOCKS, strict=True)
        )
        self.classifier = nn.Linear(WIDTHS[-1], 10)

    def forward(self, image: Tensor) -> Tensor:
        """[batch, 1, 28, 28], pixels 0 to 1 -> logits [batch, 10]."""
        x = image
        for down, stage in zip(self.down, self.stage, strict=True):
            x = stage(torch.relu(down(x)))
        return self.classifier(x.mean(dim=(2, 3)))
