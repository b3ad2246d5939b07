"""What the products are compared with: float32 of PyTorch or CuPy (cuBLAS, cuDNN; TF32 off), and their loops over k."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import numpy_loop
from lba_onnx.arithmetic import AccumulatorSpec

Floats = NDArray[np.float32]
Function = Callable[[], Any]


class TorchBaseline:
    """PyTorch on one device.

    Raises:
        ImportError: There is no PyTorch.
        RuntimeError: It has no such device.
    """

    name = "PyTorch"

    def __init__(self, device: str = "cuda") -> None:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True  # the quickest algorithm of cuDNN for each shape
        torch.empty(1, device=device)
        self.torch, self.device = torch, device
        self.version = f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"

    def matmul(self, a: Floats, b: Floats) -> Function:
        """A function that queues a @ b; it has run once."""
        a_there, b_there = self._upload(a), self._upload(b)
        y = self.torch.matmul(a_there, b_there)
        return lambda: self.torch.matmul(a_there, b_there, out=y)

    def conv(self, x: Floats, w: Floats, attributes: Mapping[str, Any]) -> Function:
        """A function that queues a convolution in two dimensions, padded alike on all sides; it has run once."""
        x_there, w_there = self._upload(x), self._upload(w)
        stride, pad, group = attributes["strides"], attributes["pads"][0], attributes["group"]
        convolve = self.torch.nn.functional.conv2d

        def run() -> Any:
            with self.torch.inference_mode():
                return convolve(x_there, w_there, stride=stride, padding=pad, groups=group)

        run()
        return run

    def loop(self, a: Floats, b: Floats, spec: AccumulatorSpec) -> Function:
        """A function that queues the loop over k in float32; some of its values are off by a unit in the last place."""
        from benchmarks import torch_loop

        a_there, b_there = self._upload(a), self._upload(b)

        def run() -> Any:
            with self.torch.no_grad():
                return torch_loop.matmul(a_there, b_there, spec)

        return run

    def to_host(self, values: Any) -> NDArray[Any]:
        """A tensor as an array."""
        return np.asarray(values.cpu().numpy())

    def _upload(self, values: Floats) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


class CupyBaseline:
    """CuPy on the current device.

    Raises:
        ImportError: There is no CuPy.
        RuntimeError: It finds no device.
    """

    name = "CuPy"

    def __init__(self) -> None:
        import cupy

        try:
            cupy.empty(1)
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise RuntimeError(str(error)) from error
        self.cupy, self.version = cupy, f"{cupy.__version__}"

    def matmul(self, a: Floats, b: Floats) -> Function:
        """A function that queues a @ b; CuPy's cuBLAS uses TF32 only where CUPY_TF32 asks for it."""
        a_there, b_there = self.cupy.asarray(a), self.cupy.asarray(b)
        y = self.cupy.matmul(a_there, b_there)
        return lambda: self.cupy.matmul(a_there, b_there, out=y)

    def loop(self, a: Floats, b: Floats, spec: AccumulatorSpec) -> Function:
        """A function that queues the loop over k in float64, whose bits are exact for the specs that are timed."""
        a_there, b_there = self.cupy.asarray(a), self.cupy.asarray(b)
        return lambda: numpy_loop.matmul(a_there, b_there, spec, numpy_loop.EXACT)

    def to_host(self, values: Any) -> NDArray[Any]:
        """A CuPy array as one of NumPy."""
        return np.asarray(self.cupy.asnumpy(values))


Baseline = TorchBaseline | CupyBaseline


def find_baselines() -> tuple[list[Baseline], dict[str, str]]:
    """What this machine has, PyTorch first, and for each its version or why it is missing."""
    found: list[Baseline] = []
    told = {}
    for kind in (TorchBaseline, CupyBaseline):
        try:
            found.append(kind())
            told[kind.name] = found[-1].version
        except (ImportError, RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
            told[kind.name] = f"missing: {type(error).__name__}: {error}"
    return found, told
