"""One page that tells of a converted model: what it is worth, what it costs, which layers lose and why.

models, data, results of commands -> make_report -> Report (JSON) -> render -> HTML
"""

from lba_onnx.reporting.making import Subject, make_report
from lba_onnx.reporting.rendering import check_renderer, render
from lba_onnx.reporting.results import Results
from lba_onnx.reporting.sections import Report

__all__ = ["Report", "Results", "Subject", "check_renderer", "make_report", "render"]
