"""An MLServer runtime as in MLServer's documentation: the Open Inference Protocol with its numpy codec."""

import models
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Digits(MLModel):
    """Scans to scores."""

    async def load(self):
        """Load the model."""
        self._predict = models.load()
        return True

    async def predict(self, payload):
        """The scores of each scan."""
        scores = self._predict(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])
