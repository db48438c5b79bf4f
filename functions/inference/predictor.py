"""The model as this function serves it: loaded once, called with instances, answering with predictions."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inference import HOOKS_FILE, predictions, runtimes
from inference.config import Config
from inference.errors import ModelError, PredictionError, TooLargeError
from inference.limits import max_result_bytes, max_tensor_bytes
from inference.predictions import Predictions
from inference.runtimes import Array, Model, TensorSpec
from inference.tensors import Instances, Specs

if TYPE_CHECKING:
    from inference.hooks import Hooks


class Predictor:
    """Predictions of one model, which `load` loads and warms.

    Raises (all but the constructor):
        ModelError: the model cannot be loaded or does not fit its registry entry.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._model: Model | None = None
        self._labels: tuple[str, ...] | None = None
        self._hooks: Hooks | None = None

    def load(self) -> Model:
        """Load the model, its labels and hooks, if they are not, and call it once, since first calls are slow."""
        if self._model is None:
            config = self._config
            model = runtimes.load(config.runtime, config.artifact, config.signature)
            if config.output.labels:
                self._labels = predictions.read_labels(config.artifact / config.output.labels)
                batched = runtimes.takes_batches(model.inputs)
                predictions.check_labels(self._labels, model.outputs, config.output, batched=batched)
            _check_columns(config.input.columns, model.inputs)
            if (config.artifact / HOOKS_FILE).is_file():
                from inference import hooks

                self._hooks = hooks.load(config.artifact / HOOKS_FILE, config, model.inputs)
            _warm(model)
            self._model = model
        return self._model

    @property
    def inputs(self) -> Specs:
        """The signature's inputs."""
        return self.load().inputs

    @property
    def preprocess(self) -> Callable[[bytes, str], Instances] | None:
        """The model's own way from an object's bytes and key to instances, if it has one."""
        self.load()
        return None if self._hooks is None else self._hooks.preprocess

    @property
    def gains_from_batches(self) -> bool:
        """Whether several inputs in one call cost less than one by one."""
        return self.load().rows_per_call > 1

    def predict(self, instances: Instances) -> Predictions:
        """The predictions for one input's instances: by the model's own hook, labelled, or raw.

        Raises:
            PredictionError: the model has no valid answer to these values.
            TooLargeError: the predictions take more memory than a result may.
        """
        (answer,) = self._answers([instances])
        return answer

    def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
        """The predictions for each of several inputs, from calls of the model that they share.

        None if the runtime does not gain from that, the inputs cannot share calls, or one of them makes a call fail;
        predicting each alone then shows which one, and why.
        """
        if self.gains_from_batches and len(inputs) > 1 and _same_shapes(inputs):
            # It can stumble over one input's values, or over the size of all together.
            with contextlib.suppress(Exception):
                return list(self._answers(inputs))
        return None

    def rows(self, instances: Instances) -> list[dict[str, Array]]:
        """The raw outputs by name, for each instance.

        Raises:
            PredictionError: the model refused the values, or does not answer with a row per instance.
            TooLargeError: the outputs take more memory than they may.
        """
        return self._rows(self.outputs(instances), instances.count)

    def outputs(self, instances: Instances) -> dict[str, Array]:
        """The raw output tensors by name; more rows than one call takes are run in parts.

        Raises:
            PredictionError: the model refused the values.
            TooLargeError: the outputs take more memory than they may.
        """
        parts: list[dict[str, Array]] = []
        size = 0
        for outputs, _ in self._calls(instances.tensors, instances.count):
            size += sum(array.nbytes for array in outputs.values())
            if parts and size > max_tensor_bytes():
                raise TooLargeError(
                    f"the outputs of {instances.count} instances take more than {max_tensor_bytes()} bytes, a quarter "
                    "of the memory (memory_mb); send fewer of them at once"
                )
            parts.append(outputs)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _calls(self, tensors: dict[str, Array], count: int) -> Iterator[tuple[dict[str, Array], int]]:
        """The raw outputs of the model's calls for so many rows, and the number of rows of each call."""
        model = self.load()
        row = Instances(tensors, count).size // count
        step = min(model.rows_per_call, max(1, model.bytes_per_call // max(1, row)))
        if count <= step:
            yield model(tensors), count
            return
        for start in range(0, count, step):
            outputs = model({name: array[start : start + step] for name, array in tensors.items()})
            yield outputs, min(step, count - start)

    def _rows(self, outputs: dict[str, Array], count: int) -> list[dict[str, Array]]:
        if not runtimes.takes_batches(self.inputs):
            return [outputs]
        for name, array in outputs.items():
            if array.shape[:1] != (count,):
                raise PredictionError(
                    f"the output {name} has the shape {list(array.shape)} for {count} instances: "
                    "it has no row for each of them"
                )
        # With the ellipsis a row stays an array, also where it is a single value.
        return [{name: array[row, ...] for name, array in outputs.items()} for row in range(count)]

    def _answers(self, inputs: Sequence[Instances]) -> Iterator[Predictions]:
        """The predictions of inputs that share calls of the model; of the outputs, one call's are in memory."""
        tensors = inputs[0].tensors
        if len(inputs) > 1:
            tensors = {name: np.concatenate([instances.tensors[name] for instances in inputs]) for name in tensors}
        total = sum(instances.count for instances in inputs)
        rows = (row for outputs, count in self._calls(tensors, total) for row in self._rows(outputs, count))
        size = 0
        for instances in inputs:
            answer = Predictions()
            for row in itertools.islice(rows, instances.count):
                answer.add(self._meaning(row))
            size += answer.size
            if len(inputs) > 1 and size > max_result_bytes():
                raise TooLargeError("their results are too large to be in memory together")
            yield answer

    def _meaning(self, row: dict[str, Array]) -> Any:
        if self._hooks is not None and self._hooks.postprocess is not None:
            return self._hooks.postprocess(row)
        if self._labels is None:
            predictions.check_size(sum(array.size for array in row.values()))
            return predictions.raw(row)
        return predictions.labelled(next(iter(row.values())), self._labels, self._config.output)


def _same_shapes(inputs: Sequence[Instances]) -> bool:
    shapes = [{name: array.shape[1:] for name, array in instances.tensors.items()} for instances in inputs]
    return all(shape == shapes[0] for shape in shapes)


def _check_columns(columns: tuple[str, ...], inputs: Specs) -> None:
    """Refuse names of CSV columns that cannot belong to the inputs, as far as the signature tells."""
    if not columns:
        return
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        raise ModelError(f"input.columns fits a signature with one input; this one has {names}, which name the columns")
    size = inputs[0].instance_size
    if size is not None and size != len(columns):
        raise ModelError(f"input.columns names {len(columns)} columns, but the input {inputs[0].name} takes {size}")


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
