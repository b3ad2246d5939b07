"""The codes that stand for zero in operands of integer products."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class ZeroPoints:
    """What stands for zero in the two operands.

    Attributes:
        first: Of the first operand.
        second: int32 of the second operand: one, or one for each column or output channel.
    """

    first: int
    second: npt.NDArray[np.int32]

    @property
    def second_stride(self) -> int:
        """How far apart those of neighbours are; 0 where one is for all."""
        return 0 if self.second.size == 1 else 1
