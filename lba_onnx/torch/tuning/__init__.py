"""Converted ONNX models run in PyTorch, with gradients, and tuned to give what they give in float32."""
