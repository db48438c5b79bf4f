"""A BentoML service as in BentoML's documentation: POST /predict with `{"instances": [scan]}`."""

import bentoml
import models
import numpy as np


@bentoml.service(workers=1)
class Digits:
    """Scans to scores."""

    def __init__(self):
        self._predict = models.load()

    @bentoml.api
    def predict(self, instances: np.ndarray) -> np.ndarray:
        """The scores of each scan."""
        return self._predict(instances.astype(np.float32))
