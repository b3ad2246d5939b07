"""Finds the best accumulator for each product of a model: under a budget, or for a loss that is granted."""

from lba_onnx.searching.problem import BudgetError
from lba_onnx.searching.saved_point import SavedPoint, load_point
from lba_onnx.searching.search_result import Search, SearchPoint
from lba_onnx.searching.searching import search

__all__ = ["BudgetError", "SavedPoint", "Search", "SearchPoint", "load_point", "search"]
