"""What sums of products cost in hardware: gates, energy and area, of an accumulator and of a model.

Accumulators tell the parts of their datapath; a table of costs, plain JSON, prices them.
"""

from lba_onnx.cost.cost_table import CostTable, load_table
from lba_onnx.cost.published import Point, published_points
from lba_onnx.cost.unit_cost import UnitCost, UnpricedError, unit_cost

__all__ = [
    "CostTable",
    "Point",
    "UnitCost",
    "UnpricedError",
    "load_table",
    "published_points",
    "unit_cost",
]
