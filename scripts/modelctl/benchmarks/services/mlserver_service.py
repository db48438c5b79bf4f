"""A runtime of MLServer, as its own documentation writes one: the Open Inference Protocol with its codec of numpy."""

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
