"""Reads a file that torch.save wrote from a state dict; of the recipes, only this needs torch."""

from os import PathLike

import numpy as np
from numpy.typing import NDArray


def read_torch_state(path: str | PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """Returns the arrays of a state dict under torch's names. Nothing but tensors is unpickled."""
    import torch

    return {
        name: value.detach().numpy() for name, value in torch.load(path, map_location="cpu", weights_only=True).items()
    }
