"""The benchmark's network as a runtime of MLServer."""

import numpy as np
import onnx_session
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxRuntime(MLModel):
    """Runs the ONNX file that the model's settings name."""

    async def load(self) -> bool:
        self._run = onnx_session.load(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        output = NumpyCodec.encode_output("probabilities", self._run(images))
        return InferenceResponse(model_name=self.name, outputs=[output])
