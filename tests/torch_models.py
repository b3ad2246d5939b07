"""Small PyTorch models built the way well-known model libraries build theirs, and data for them."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two convolutions with BatchNorm, and a shortcut with a 1x1 convolution where the shape changes."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + shortcut)


class ResidualNet(nn.Module):
    """A residual network of two blocks; input [batch, 3, 8 or more, 8 or more], output [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(BasicBlock(8, 8))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, stride=2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(self.avgpool(y), 1))


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a depthwise convolution and a 1x1 projection."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        hidden = 2 * channels
        self.use_shortcut = stride == 1 and channels == out_channels
        self.conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_shortcut else self.conv(x)


class MobileNet(nn.Module):
    """Inverted residuals; input [batch, 3, 8 or more, 8 or more], output [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            InvertedResidual(8, 8, 1),
            InvertedResidual(8, 12, 2),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SelfAttention(nn.Module):
    """Attention of several heads, spelled out with matmul."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.0)

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores + mask
        context = torch.matmul(self.dropout(scores.softmax(-1)), value)
        return context.transpose(1, 2).reshape(x.shape)


class FusedSelfAttention(SelfAttention):
    """The same attention by scaled_dot_product_attention."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return context.transpose(1, 2).reshape(x.shape)


class BertLayer(nn.Module):
    """Attention, feed-forward, each with a residual connection and LayerNorm."""

    def __init__(self, attention: nn.Module, width: int = 16) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": attention, "output": nn.Linear(width, width)})
        self.norm1 = nn.LayerNorm(width)
        self.intermediate = nn.Linear(width, 2 * width)
        self.output = nn.Linear(2 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm1(x + self.attention["output"](self.attention["self"](x, mask)))
        return self.norm2(x + self.output(functional.gelu(self.intermediate(x))))


class Bert(nn.Module):
    """A text classifier; input int64 [batch, length] of ids below 50, output [batch, 3].

    The attention modules are called "layer.0.attention.self", "layer.1.attention.self".
    """

    def __init__(self, attention: Callable[[], nn.Module] = SelfAttention, width: int = 16) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(50, width)
        self.layer = nn.ModuleList(BertLayer(attention(), width) for _ in range(2))
        self.classifier = nn.Linear(width, 3)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        mask = None
        if attention_mask is not None:
            mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
        x = self.embeddings(ids)
        for layer in self.layer:
            x = layer(x, mask)
        return self.classifier(x[:, 0])


class FusedBert(Bert):
    """The same by scaled_dot_product_attention."""

    def __init__(self) -> None:
        super().__init__(FusedSelfAttention)


class Encoder(nn.Module):
    """PyTorch's own encoder layers; input [batch, length, 16], output [batch, 3].

    The attention modules are called "encoder.layers.0.self_attn", "encoder.layers.1.self_attn".
    """

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first)
        self.classifier = nn.Linear(16, 3)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        return self.classifier(self.encoder(x, src_key_padding_mask=padding).mean(1))


def make_mlp(*widths: int) -> nn.Sequential:
    """Return Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for width, next_width in itertools.pairwise(widths):
        layers += [nn.Linear(width, next_width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Return a model with parameters drawn by a seed."""
    torch.manual_seed(seed)
    return make()


def images(batch: int = 2, seed: int = 1, size: int = 8) -> Tensor:
    """Return float32 [batch, 3, size, size]."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def token_ids(batch: int = 2, length: int = 5, seed: int = 1) -> Tensor:
    """Return int64 [batch, length] of ids below 50."""
    return torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(seed))


def sequences(batch: int = 2, length: int = 5, width: int = 16, seed: int = 1) -> Tensor:
    """Return float32 [batch, length, width]."""
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(seed))
