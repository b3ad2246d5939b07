"""A converted model in MLServer, and so in KServe and Seldon: `mlserver start examples/mlserver`."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

import lba_onnx


class LbaModel(MLModel):
    """Runs the model that `uri` in model-settings.json names."""

    async def load(self) -> bool:
        """Open the session; the operators come with it."""
        self.session = lba_onnx.make_session(await get_model_uri(self.settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        feeds = {value.name: NumpyCodec.decode_input(value) for value in payload.inputs}
        outputs = zip(self.session.get_outputs(), self.session.run(None, feeds), strict=True)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(value.name, y) for value, y in outputs]
        )
