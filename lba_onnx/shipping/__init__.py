"""Converted models on their way out: bundles that prove their bits, model repositories for Triton.

bundle(model, folder)          model, libraries, provenance, licences, samples with golden outputs, and their hashes
verify(folder)                 what differs on this machine
export_triton(model, folder)   a model in a model repository
"""

from lba_onnx.shipping.bundling import Attachments, bundle
from lba_onnx.shipping.goldens import SampleInputs
from lba_onnx.shipping.manifest import Manifest
from lba_onnx.shipping.triton import BACKENDS, TritonSettings, export_triton
from lba_onnx.shipping.verification import verify

__all__ = [
    "BACKENDS",
    "Attachments",
    "Manifest",
    "SampleInputs",
    "TritonSettings",
    "bundle",
    "export_triton",
    "verify",
]
