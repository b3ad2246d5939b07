"""Layers of real networks, read from the text files in shapes/, which the tests share."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "shapes"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))


@dataclass(frozen=True)
class MatMulLayer:
    """A matrix product [batch, rows, depth] x [depth, columns]; with batch > 1 both operands have the batch."""

    repeats: int
    batch: int
    rows: int
    depth: int
    columns: int

    def __str__(self) -> str:
        batch = f"{self.batch}x" if self.batch > 1 else ""
        return f"{batch}{self.rows}x{self.depth}x{self.columns}"

    @property
    def multiplies(self) -> int:
        """Multiply-accumulates of one run, without repeats."""
        return self.batch * self.rows * self.depth * self.columns


@dataclass(frozen=True)
class ConvLayer:
    """A square convolution of one image."""

    repeats: int
    channels: int
    height: int
    width: int
    out_channels: int
    kernel: int
    stride: int
    pad: int
    group: int

    def __str__(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        group = f" group {self.group}" if self.group > 1 else ""
        size = f"{self.channels}x{self.height}x{self.width}"
        return f"{size} -> {self.out_channels}, {self.kernel}x{self.kernel}{stride}{group}"

    @property
    def kind(self) -> str:
        """Depthwise, pointwise, grouped or dense."""
        if self.group == self.channels == self.out_channels:
            return "depthwise"
        if self.group > 1:
            return "grouped"
        return "pointwise" if self.kernel == 1 else "dense"

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (1, self.channels, self.height, self.width)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.channels // self.group, self.kernel, self.kernel)

    @property
    def attributes(self) -> dict[str, int | list[int]]:
        """Attributes of the ONNX node."""
        return {"strides": [self.stride] * 2, "pads": [self.pad] * 4, "dilations": [1, 1], "group": self.group}

    @property
    def gemm(self) -> MatMulLayer:
        """The matrix product of one group: rows are positions, columns are filters."""
        height, width = ((size + 2 * self.pad - self.kernel) // self.stride + 1 for size in (self.height, self.width))
        depth = self.channels // self.group * self.kernel**2
        return MatMulLayer(self.repeats, 1, height * width, depth, self.out_channels // self.group)

    @property
    def multiplies(self) -> int:
        """Multiply-accumulates of one run, without repeats."""
        return self.group * self.gemm.multiplies


Layer = MatMulLayer | ConvLayer
_KINDS: dict[str, type[MatMulLayer] | type[ConvLayer]] = {"matmul": MatMulLayer, "conv": ConvLayer}


def read_layers(name: str) -> list[Layer]:
    """The layers in shapes/<name>.txt: one a line, `#` for comments."""
    path = FOLDER / f"{name}.txt"
    lines = (line.split("#", 1)[0].split() for line in path.read_text().splitlines())
    return [_KINDS[kind](*map(int, sizes)) for kind, *sizes in filter(None, lines)]
