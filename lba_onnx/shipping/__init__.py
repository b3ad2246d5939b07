"""Converted models on their way out: bundles that prove their bits.

bundle(model, folder)     model, libraries, provenance, licences, samples with golden outputs, and their hashes
verify(folder)            what differs on this machine
"""

from lba_onnx.shipping.bundling import Attachments, bundle
from lba_onnx.shipping.goldens import SampleInputs
from lba_onnx.shipping.manifest import Manifest
from lba_onnx.shipping.verification import verify

__all__ = ["Attachments", "Manifest", "SampleInputs", "bundle", "verify"]
