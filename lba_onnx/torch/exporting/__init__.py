"""Export to ONNX, and the check that PyTorch and onnxruntime agree."""
