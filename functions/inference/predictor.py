"""The model as this function serves it: loaded once, called with instances, answering with predictions."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from inference import predictions, runtimes
from inference.config import Config
from inference.errors import PredictionError
from inference.runtimes import Array, Model, TensorSpec
from inference.tensors import Instances, Specs

#: The predictions of one input, or the error that stands in their place.
Answer = list[Any] | Exception


class Predictor:
    """Predictions of one model, which `load` loads and warms.

    Raises (all but the constructor):
        ModelError: the model cannot be loaded or does not fit its registry entry.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._model: Model | None = None
        self._labels: tuple[str, ...] | None = None

    def load(self) -> Model:
        """Load the model and its labels, if they are not, and call it once, since first calls are slow."""
        if self._model is None:
            config = self._config
            model = runtimes.load(config.runtime, config.artifact, config.signature)
            if config.output.labels:
                self._labels = predictions.read_labels(config.artifact / config.output.labels)
                predictions.check_labels(self._labels, model.outputs)
            _warm(model)
            self._model = model
        return self._model

    @property
    def inputs(self) -> Specs:
        """The signature's inputs."""
        return self.load().inputs

    @property
    def gains_from_batches(self) -> bool:
        """Whether several inputs in one call cost less than one by one."""
        return self.load().rows_per_call > 1

    def predict(self, instances: Instances) -> list[Any]:
        """The predictions for one input's instances, labelled if the model has labels.

        Raises:
            PredictionError: the model has no valid answer to these values.
        """
        return self._meaning(self.rows(instances))

    def predict_all(self, inputs: Sequence[Instances]) -> list[Answer]:
        """The predictions for several inputs, or for each what was raised instead.

        They share calls of the model where its runtime gains from that.
        """
        if self.gains_from_batches and len(inputs) > 1 and _same_shapes(inputs):
            # It can stumble over one input's values, or over the size of all together: then each is tried alone.
            with contextlib.suppress(Exception):
                return self._predict_together(inputs)
        return [self._predict_alone(instances) for instances in inputs]

    def rows(self, instances: Instances) -> list[dict[str, Array]]:
        """The raw outputs by name, for each instance.

        Raises:
            PredictionError: the model refused the values, or does not answer with a row per instance.
        """
        outputs = self.outputs(instances)
        if not runtimes.takes_batches(self.inputs):
            return [outputs]
        for name, array in outputs.items():
            if array.shape[:1] != (instances.count,):
                raise PredictionError(
                    f"the output {name} has the shape {list(array.shape)} for {instances.count} instances: "
                    "it has no row for each of them"
                )
        # With the ellipsis a row stays an array, also where it is a single value.
        return [{name: array[row, ...] for name, array in outputs.items()} for row in range(instances.count)]

    def outputs(self, instances: Instances) -> dict[str, Array]:
        """The raw output tensors by name; more rows than one call takes are run in parts."""
        model = self.load()
        step = model.rows_per_call
        if instances.count <= step:
            return model(instances.tensors)
        parts = [
            model({name: array[start : start + step] for name, array in instances.tensors.items()})
            for start in range(0, instances.count, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _predict_alone(self, instances: Instances) -> Answer:
        try:
            return self.predict(instances)
        except Exception as error:
            return error

    def _predict_together(self, inputs: Sequence[Instances]) -> list[Answer]:
        tensors = {
            name: np.concatenate([instances.tensors[name] for instances in inputs]) for name in inputs[0].tensors
        }
        rows = self.rows(Instances(tensors, sum(instances.count for instances in inputs)))
        answers: list[Answer] = []
        for instances in inputs:
            answers.append(self._meaning(rows[: instances.count]))
            rows = rows[instances.count :]
        return answers

    def _meaning(self, rows: list[dict[str, Array]]) -> list[Any]:
        if self._labels is None:
            return [predictions.raw(row) for row in rows]
        top_k = self._config.output.top_k
        return [predictions.labelled(next(iter(row.values())), self._labels, top_k) for row in rows]


def _same_shapes(inputs: Sequence[Instances]) -> bool:
    shapes = [{name: array.shape[1:] for name, array in instances.tensors.items()} for instances in inputs]
    return all(shape == shapes[0] for shape in shapes)


def _warm(model: Model) -> None:
    """Call the model with zeros, if the signature says of what shape.

    A model may refuse zeros and still serve real inputs, so a refusal is no failure.
    """
    shapes = {spec.name: _warm_shape(spec) for spec in model.inputs}
    zeros = {
        spec.name: np.full(shape, b"", dtype=object) if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)
        for spec in model.inputs
        if (shape := shapes[spec.name]) is not None
    }
    if len(zeros) == len(model.inputs):
        with contextlib.suppress(PredictionError):
            model(zeros)


def _warm_shape(spec: TensorSpec) -> tuple[int, ...] | None:
    """The shape of one instance in a batch of one; None if a dimension is open."""
    if spec.shape is None:
        return None
    shape = (1, *spec.shape[1:]) if spec.shape[:1] == (None,) else spec.shape
    return tuple(length for length in shape if length is not None) if None not in shape else None
