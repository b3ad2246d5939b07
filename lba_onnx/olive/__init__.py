"""Conversion as a pass of Olive, and models that Olive evaluates with the operators of this package.

olive run --config run.json --package-config olive_config.json

`python -m lba_onnx.olive > olive_config.json` writes Olive's own passes and this one, since Olive takes one such file.
Olive's sessions register no operators but those of onnxruntime-extensions, so that a converted model is a type of model
of its own, whose sessions register ours.
"""

from pathlib import Path
from typing import Any

import onnxruntime
from olive.hardware.accelerator import AcceleratorSpec
from olive.model import ONNXModelHandler
from olive.model.config.registry import model_handler_registry
from olive.model.utils import resolve_onnx_path
from olive.passes import Pass
from olive.passes.pass_config import BasePassConfig, PassConfigParam

from lba_onnx.rewrite import ModelFile, Selection, convert
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.session import make_session

__all__ = ["LbaConversion", "LbaOnnxModelHandler"]


@model_handler_registry("LbaOnnxModel")
class LbaOnnxModelHandler(ONNXModelHandler):
    """A converted model, whose sessions have the operators of this package."""

    def prepare_session(
        self,
        inference_settings: dict[str, Any] | None = None,
        device: Any = None,
        execution_providers: str | list[str] | None = None,
        rank: int | None = None,
    ) -> onnxruntime.InferenceSession:
        """Return a session of the model, as Olive's evaluators ask for one."""
        settings = self.merge_inference_settings(inference_settings, execution_providers)
        providers = settings["execution_provider"] or ["CPUExecutionProvider"]
        options = _session_options(settings.get("session_options") or {})
        return make_session(self.model_path, options, [p if isinstance(p, str) else tuple(p) for p in providers])


class LbaConversion(Pass):
    """Puts low-bit accumulators into an ONNX model."""

    @classmethod
    def _default_config(cls, accelerator_spec: AcceleratorSpec) -> dict[str, PassConfigParam]:
        return {
            "spec": PassConfigParam(
                type_=str,
                required=True,
                description='The accumulator of all products, such as "M7E4b10", or the path of a calibration.',
            ),
            "nodes_to_exclude": PassConfigParam(
                type_=list[str], default_value=[], description="Names or regular expressions of nodes to leave."
            ),
            "use_external_data_format": PassConfigParam(
                type_=bool, default_value=False, description="Write the weights to a file beside the model."
            ),
        }

    def _run_for_config(
        self, model: ONNXModelHandler, config: BasePassConfig, output_model_path: str
    ) -> LbaOnnxModelHandler:
        source = Path(model.model_path)
        target = Path(resolve_onnx_path(output_model_path, source.name))
        selection = Selection(nodes_to_exclude=config.nodes_to_exclude)
        output = ModelFile(target, use_external_data_format=config.use_external_data_format or None)
        convert(source, config.spec, selection=selection, model_output=output)
        # Without a file's name: Olive would take one that there is in the working directory, too, for that one.
        has_weights_beside = len(list(model_inputs(target))) > 1
        path = str(target.parent if has_weights_beside else target)
        return LbaOnnxModelHandler(path, inference_settings=model.inference_settings)


def _session_options(given: dict[str, Any]) -> onnxruntime.SessionOptions:
    """Return the session options that Olive's "session_options" stand for."""
    options = onnxruntime.SessionOptions()
    for name, value in given.items():
        if name == "extra_session_config":
            for key, text in (value or {}).items():
                options.add_session_config_entry(key, text)
        elif value is not None:
            setattr(options, name, type(getattr(options, name))(value))  # numbers of what are enumerations there
    return options
