"""Text for people: tables that fit a terminal, and nothing in them that a terminal or a plot would act upon."""

from lba_onnx.text.columns import Column, figures, names, remarks
from lba_onnx.text.table import TextTable
from lba_onnx.text.visible import plot_label, visible
from lba_onnx.text.width import wrap

__all__ = ["Column", "TextTable", "figures", "names", "plot_label", "remarks", "visible", "wrap"]
