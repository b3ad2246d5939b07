"""Runs the model beside this file in onnxruntime, for Triton's Python backend."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance of the model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model, with the library of its operators."""
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(str(folder / "liblba_ops.so"))
        path, providers = str(folder / "model.onnx"), ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        self.is_sound = False

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            names = [value.name for value in self.session.get_inputs()]
            tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in names}
            outputs = self.session.run(None, {name: self._read(tensor) for name, tensor in tensors.items()})
        except Exception as error:  # becomes the answer, and the server goes on
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        values = zip(self.session.get_outputs(), outputs, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(value.name, output) for value, output in values])

    def _read(self, tensor: Any) -> Any:
        """Return an input. A backend built before numpy 2 fills arrays of numpy 2 with their first element."""
        array = tensor.as_numpy()
        if not self.is_sound and array.size and array.dtype.kind in "fiu":
            values = np.from_dlpack(tensor)
            if array.tobytes() != values.tobytes():
                raise RuntimeError("this Triton's Python backend needs numpy < 2: it reads arrays of numpy 2 wrongly")
            self.is_sound = bool((values != values.flat[0]).any())
        return array
