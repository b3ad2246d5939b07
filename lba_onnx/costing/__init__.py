"""What sums of products cost in hardware: gates, energy and area, of an accumulator and of a model.

Accumulators tell the parts of their datapath; a table of costs, plain JSON, prices them.
"""

from lba_onnx.costing.cost_table import CostTable, load_table
from lba_onnx.costing.costing import cost
from lba_onnx.costing.model_cost import ModelCost, Totals
from lba_onnx.costing.node_cost import NodeCost
from lba_onnx.costing.published import NOT_COMPARED, Point, published_points
from lba_onnx.costing.unit_cost import UnitCost, UnpricedError, unit_cost

__all__ = [
    "NOT_COMPARED",
    "CostTable",
    "ModelCost",
    "NodeCost",
    "Point",
    "Totals",
    "UnitCost",
    "UnpricedError",
    "cost",
    "load_table",
    "published_points",
    "unit_cost",
]
