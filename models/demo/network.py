"""The demo network: a small residual CNN for 28 x 28 grey images, with one depthwise and one grouped convolution."""

import torch
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution without bias, then BatchNorm (folded into the convolution at export)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, group: int = 1):
        """Pads such that stride 1 keeps the height and width."""
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=group, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, height, width] -> [batch, out_channels, height / stride, width / stride]."""
        return self.norm(self.conv(x))


class Residual(nn.Module):
    """relu(x + second(relu(first(x))))."""

    def __init__(self, first: ConvNorm, second: ConvNorm):
        """Both convolutions keep the shape."""
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        """The shape stays as it is."""
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class FashionCnn(nn.Module):
    """Stem and three stages of 16, 32 and 64 channels at 28, 14 and 7 pixels; then the mean over pixels and a Gemm."""

    def __init__(self) -> None:
        """Initialises the weights from torch's global random generator."""
        super().__init__()
        self.stem = ConvNorm(1, 16)
        self.block1 = Residual(ConvNorm(16, 16, group=16), ConvNorm(16, 16, kernel_size=1))
        self.down2 = ConvNorm(16, 32, stride=2)
        self.block2 = Residual(ConvNorm(32, 32), ConvNorm(32, 32))
        self.down3 = ConvNorm(32, 64, stride=2)
        self.block3 = Residual(ConvNorm(64, 64, group=4), ConvNorm(64, 64))
        self.classifier = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """[batch, 1, 28, 28], pixels 0 to 1 -> logits [batch, 10]."""
        x = self.block1(torch.relu(self.stem(image)))
        x = self.block2(torch.relu(self.down2(x)))
        x = self.block3(torch.relu(self.down3(x)))
        return self.classifier(x.mean(dim=(2, 3)))
