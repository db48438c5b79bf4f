"""The model as this function serves it: it is loaded once, called with instances, and returns predictions."""

import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inference import HOOKS_FILE, predictions, runtimes
from inference.config import Config, InputConfig
from inference.errors import InputError, ModelError, PredictionError, TooLargeError
from inference.limits import max_result_bytes, max_tensor_bytes
from inference.predictions import Predictions
from inference.rows import Rows, check_rows, fixed_rows, rows_of
from inference.runtimes import Array, Model, Quantization, Specs, TensorSpec
from inference.tensors import Instances

if TYPE_CHECKING:
    from inference.hooks import Hooks

logger = logging.getLogger(__name__)


class Predictor:
    """Computes the predictions of one model, which `load` loads and warms up.

    Raises (all but the constructor):
        ModelError: the model cannot be loaded or does not fit its registry entry.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._model: Model | None = None
        self._labels: tuple[str, ...] | None = None
        self._hooks: Hooks | None = None
        #: The most milliseconds that loading has taken, in this process or in another; 0: not known.
        self.loading_ms = 0.0

    @property
    def loaded(self) -> bool:
        """Whether the model is loaded in this process."""
        return self._model is not None

    def load(self) -> Model:
        """Load the model, its labels and hooks if they are not loaded, and call it, since first calls are slow."""
        if self._model is None:
            started = time.perf_counter()
            config = self._config
            model = runtimes.load(config.runtime, config.artifact, config.signature)
            check_rows(model.inputs, config.input.batch.rows)
            predictions.chosen(model.outputs, config.output)  # raises if no output has the name
            if config.output.labels:
                self._labels = predictions.read_labels(config.artifact / config.output.labels)
                predictions.check_labels(
                    self._labels, model.outputs, config.output, rows_of(model.inputs, config.input.batch.rows)
                )
            _check_table(config.input, model.inputs)
            if (config.artifact / HOOKS_FILE).is_file():
                from inference import hooks

                self._hooks = hooks.load(config.artifact / HOOKS_FILE, config, model.inputs)
            _warm(model)
            self._model = model
            self.loading_ms = max(self.loading_ms, (time.perf_counter() - started) * 1000)
        return self._model

    @functools.cached_property
    def _kind(self) -> Rows:
        return rows_of(self.load().inputs, self._config.input.batch.rows)

    @functools.cached_property
    def _batched_outputs(self) -> frozenset[str]:
        """The outputs whose first dimension is a batch of one: fixed at 1, or open if an input's is open as well."""
        model = self.load()
        is_open = any(spec.shape and spec.shape[0] is None for spec in model.inputs)
        lengths = (1, None) if is_open else (1,)
        return frozenset(spec.name for spec in model.outputs if spec.shape and spec.shape[0] in lengths)

    @functools.cached_property
    def _fixed_lengths(self) -> dict[str, int]:
        """For open inputs, the outputs whose length is the same for any number of rows: the input's shape, say.

        A length of 1 is no indication: exporters that open the batch of an example's inputs keep it in the outputs.
        """
        outputs = self.load().outputs if self._kind is Rows.OPEN else ()
        lengths = {spec.name: spec.shape[0] or 0 for spec in outputs if spec.shape}
        return {name: length for name, length in lengths.items() if length > 1}

    @functools.cached_property
    def _quantized(self) -> list[tuple[TensorSpec, Quantization]]:
        """The inputs that are quantized."""
        return [(spec, spec.quantization) for spec in self.load().inputs if spec.quantization]

    @property
    def inputs(self) -> Specs:
        """The signature's inputs."""
        return self.load().inputs

    @property
    def preprocess(self) -> Callable[[bytes, str], Instances] | None:
        """The model's own function from an object's bytes and key to instances, if it has one."""
        self.load()
        return None if self._hooks is None else self._hooks.preprocess

    @property
    def gains_from_batches(self) -> bool:
        """Whether several inputs cost less in one call than one by one."""
        model = self.load()
        if self._kind is not Rows.INDEPENDENT:
            return False
        return self._rows_per_call(sum(map(_row_bytes, model.inputs))) > 1

    def try_zeros(self) -> None:
        """Predict from zeros: this finds early what no signature shows, such as a wrong number of labels.

        If rows are independent, two of them share the call. A model may refuse zeros and still serve real inputs. So
        may its own `postprocess`, which is therefore not called.

        Raises:
            ModelError: the model does not fit its registry entry.
        """
        model = self.load()
        zeros = _zeros(model.inputs)
        if zeros is None or (self._hooks is not None and self._hooks.postprocess is not None):
            return
        count = None if self._kind in (Rows.NONE, Rows.FIXED) else len(next(iter(zeros.values())))
        if self._kind is Rows.INDEPENDENT and fixed_rows(model.inputs) is None:
            zeros, count = {name: np.repeat(array, 2, 0) for name, array in zeros.items()}, 2
        with contextlib.suppress(InputError):
            self.predict(Instances(zeros, count))

    def predict(self, instances: Instances) -> Predictions:
        """The predictions for one input's instances: made by the model's own hook, labelled, or raw.

        Raises:
            PredictionError: the model has no valid answer to these values.
            TooLargeError: the call, or the predictions, take more memory than they may.
            ModelError: rows are not what the registry entry says (`batch.rows`).
        """
        answer = Predictions()
        for row in self._rows(instances):
            answer.add(self._meaning(row, bare=instances.bare))
        return answer

    def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
        """The predictions for each of several inputs, which share calls of the model.

        None if the runtime does not gain from that, if the inputs cannot share calls, or if one of them makes a call
        fail. Predicting each alone then shows which one, and why.
        """
        if self.gains_from_batches and len(inputs) > 1 and _can_share(inputs):
            # The values of one input can make it fail, or the size of all together.
            with contextlib.suppress(Exception):
                return list(self._answers(inputs))
        return None

    def rows(self, instances: Instances) -> list[dict[str, Array]]:
        """The raw outputs, by name, for each prediction of a direct call with rows.

        Raises:
            PredictionError: the model refused the values, or not every output has a row for each instance: TensorFlow
                Serving refuses that, too.
            TooLargeError: the call, or the outputs, take more memory than they may.
            ModelError: rows are not what the registry entry says (`batch.rows`).
        """
        return _kept(self._rows(instances, in_rows=True), instances)

    def outputs(self, instances: Instances) -> dict[str, Array]:
        """The raw output tensors, by name; more independent rows than one call takes are split between calls.

        Raises:
            PredictionError: the model refused the values, or returned parts whose rows differ in shape.
            TooLargeError: the call, or the outputs, take more memory than they may.
            ModelError: rows are not what the registry entry says (`batch.rows`).
        """
        parts = _kept((outputs for outputs, _ in self._calls(instances)), instances)
        if len(parts) == 1:
            return parts[0]
        try:
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        except ValueError as error:
            raise PredictionError(
                'the rows of an output differ in shape, so they are not one tensor: send {"instances": [...]}'
            ) from error

    def _calls(self, instances: Instances) -> Iterator[tuple[dict[str, Array], int | None]]:
        """The raw outputs of each call of the model for an input, and the call's number of rows; None: not rows."""
        model = self.load()
        tensors, count = instances.tensors, instances.count
        for spec, quantization in self._quantized:
            _log_clipping(spec.name, tensors[spec.name], quantization)
        if not count or self._kind not in (Rows.SINGLE, Rows.INDEPENDENT):
            self._check_call(instances)
            yield model(tensors), count
            return
        if count == 1:
            yield self._call(tensors, 1), 1
            return
        step = 1 if self._kind is Rows.SINGLE else self._rows_per_call(instances.size // count)
        for start in range(0, count, step):
            part = {name: array[start : start + step] for name, array in tensors.items()}
            rows = min(step, count - start)
            yield self._call(part, rows), rows

    def _call(self, part: dict[str, Array], rows: int) -> dict[str, Array]:
        """The outputs for some rows; a batch of fixed length is filled up with copies of the last row."""
        if self._kind is Rows.SINGLE:
            return self.load()(part)
        fixed = fixed_rows(self.inputs)
        missing = 0 if fixed is None else fixed - rows
        if missing:
            part = {name: np.concatenate([array, np.repeat(array[-1:], missing, 0)]) for name, array in part.items()}
        outputs = self.load()(part)
        for name, array in outputs.items():
            if array.shape[:1] != (rows + missing,):
                raise ModelError(
                    f"batch.rows says that rows are independent, but the output {name} has the shape "
                    f"{list(array.shape)} for {rows + missing} rows: leave batch.rows out, or set it to 0"
                )
        return {name: array[:rows] for name, array in outputs.items()} if missing else outputs

    def _rows_per_call(self, size: int) -> int:
        """How many independent rows of this size share a call: up to `batch.rows`, if the runtime gains from it."""
        model, most = self.load(), self._config.input.batch.rows or 1
        if (fixed := fixed_rows(model.inputs)) is not None:
            return min(most, fixed)
        row = size + sum(map(_row_bytes, model.outputs))
        return min(most, max(1, model.bytes_per_call // max(1, row)))

    def _check_call(self, instances: Instances) -> None:
        """Refuse a call that cannot be split and whose outputs, according to the signature, are too large."""
        count, outputs = instances.count or 0, self.load().outputs
        size = count * sum(_row_bytes(spec) for spec in outputs if spec.shape and spec.shape[0] is None)
        if size > max_tensor_bytes():
            raise TooLargeError(
                f"the outputs of {count} instances take {size} bytes in one call, but may take at most "
                f"{max_tensor_bytes()}, a quarter of the memory (memory_mb): send fewer instances at once, or set "
                "batch.rows: to the number that may share a call if they are independent, or to 0 if they are not rows"
            )

    def _rows(self, instances: Instances, *, in_rows: bool = False) -> Iterator[dict[str, Array]]:
        """The raw outputs, by name, for each prediction; only one call's outputs are in memory at a time.

        `in_rows` means a direct call, whose predictions are raw and have all outputs: outputs without a row for each
        instance are refused, instead of becoming one prediction.
        """
        name = None if in_rows else self._config.output.name
        raw = in_rows or (self._labels is None and (self._hooks is None or self._hooks.postprocess is None))
        for outputs, count in self._calls(instances) if instances.count != 0 else ():
            if name is not None:
                outputs = {name: outputs[name]}
            if self._kind is Rows.SINGLE and count is not None:
                yield {name: self._without_batch(name, array) for name, array in outputs.items()}
            elif count is None or not all(self._has_rows(name, array, count) for name, array in outputs.items()):
                if in_rows and count is not None:
                    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
                    raise PredictionError(
                        f"not every output has a row for each of the {count} instances ({shapes}): send whole tensors "
                        'as {"inputs": ...}, or set batch.rows to 0'
                    )
                yield outputs
            else:
                if raw and count > 1:
                    outputs = predictions.in_shortest_digits(outputs)
                for row in range(count):
                    # With the ellipsis, a row stays an array even if it is a single value.
                    yield {name: array[row, ...] for name, array in outputs.items()}

    def _has_rows(self, name: str, array: Array, count: int) -> bool:
        """Whether an output has a row for each of this many instances, and not as many elements by coincidence."""
        return array.shape[:1] == (count,) and self._fixed_lengths.get(name) != count

    def _without_batch(self, name: str, array: Array) -> Array:
        """An output of a single row without its leading 1, if the signature says that it has one."""
        return array[0, ...] if name in self._batched_outputs and array.shape[:1] == (1,) else array

    def _answers(self, inputs: Sequence[Instances]) -> Iterator[Predictions]:
        """The predictions for inputs that share calls of the model."""
        names = inputs[0].tensors
        tensors = {name: np.concatenate([instances.tensors[name] for instances in inputs]) for name in names}
        rows = self._rows(Instances(tensors, sum(instances.count or 0 for instances in inputs)))
        size = 0
        for instances in inputs:
            answer = Predictions()
            for row in itertools.islice(rows, instances.count):
                answer.add(self._meaning(row, bare=instances.bare))
            size += answer.size
            if size > max_result_bytes():
                raise TooLargeError("their results do not fit into memory together")
            yield answer

    def _meaning(self, row: dict[str, Array], *, bare: bool) -> Any:
        if self._hooks is not None and self._hooks.postprocess is not None:
            return self._hooks.postprocess(row)
        if self._labels is None:
            predictions.check_size(sum(array.size for array in row.values()))
            return predictions.raw(row, bare=bare)
        return predictions.labelled(next(iter(row.values())), self._labels, self._config.output)


def _log_clipping(name: str, tensor: Array, quantization: Quantization) -> None:
    """Log if most numbers are beyond the range of their input: they were scaled for another model."""
    (low, high), half = quantization.range, quantization.scale / 2
    beyond = int(np.count_nonzero((tensor < low - half) | (tensor > high + half)))
    if 2 * beyond > tensor.size:
        logger.warning(
            "the input %s is quantized and can represent numbers from %.6g to %.6g, but %d of %d are outside that "
            "range, so they are clipped to it: check input.scale, mean and std, or the numbers that were sent",
            *(name, low, high, beyond, tensor.size),
        )


def _row_bytes(spec: TensorSpec) -> int:
    """Bytes of one row, as far as the signature shows."""
    return (spec.instance_size or 0) * spec.dtype.itemsize


def _can_share(inputs: Sequence[Instances]) -> bool:
    """Whether inputs fit into one call: all have rows, and these have the same shapes."""
    shapes = [{name: array.shape[1:] for name, array in instances.tensors.items()} for instances in inputs]
    return all(instances.count for instances in inputs) and all(shape == shapes[0] for shape in shapes)


def _kept(parts: Iterable[dict[str, Array]], instances: Instances) -> list[dict[str, Array]]:
    """Outputs of several calls that are kept in memory together.

    Raises:
        TooLargeError: they take more than they may.
    """
    kept: list[dict[str, Array]] = []
    size, most = 0, 0
    for part in parts:
        size += sum(array.nbytes for array in part.values())
        # The limit is read once, and only if there are several calls.
        if kept and size > (most := most or max_tensor_bytes()):
            raise TooLargeError(
                f"the outputs of {instances.count} instances take more than {most} bytes, a quarter of the memory "
                "(memory_mb); send fewer of them at once"
            )
        kept.append(part)
    return kept


def _check_table(config: InputConfig, inputs: Specs) -> None:
    """Refuse an entry whose columns and cells cannot fit the inputs, as far as the signature shows."""
    names = ", ".join(spec.name for spec in inputs) or "none"
    if config.missing and not any(spec.has_nan for spec in inputs):
        kinds = ", ".join(f"{spec.name} ({spec.stored.name})" for spec in inputs) or "none"
        raise ModelError(f"input.missing needs a signature with float inputs, which can be NaN; this one has {kinds}")
    if config.header is False and len(inputs) > 1:
        raise ModelError(
            f"input.header: false needs a signature with one input; this one has {names}, which a header must name"
        )
    if not config.columns:
        return
    if len(inputs) != 1:
        raise ModelError(
            f"input.columns needs a signature with one input; this one has {names}, which name the columns"
        )
    size = inputs[0].instance_size
    if size is not None and size != len(config.columns):
        raise ModelError(
            f"input.columns names {len(config.columns)} columns, but the input {inputs[0].name} takes {size}"
        )


def _warm(model: Model) -> None:
    """Call the model with zeros, if the signature gives their shape.

    A model may refuse zeros and still serve real inputs, so a refusal is not a failure.
    """
    zeros = _zeros(model.inputs)
    if zeros is not None:
        with contextlib.suppress(PredictionError):
            model(zeros)


def _zeros(inputs: Specs) -> dict[str, Array] | None:
    """Zeros, or empty strings, for every input of a signature; None if the signature does not give their shapes."""
    shapes = {spec.name: _warm_shape(spec) for spec in inputs}
    zeros = {
        spec.name: np.full(shape, b"", dtype=object) if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)
        for spec in inputs
        if (shape := shapes[spec.name]) is not None
    }
    return zeros if len(zeros) == len(inputs) else None


def _warm_shape(spec: TensorSpec) -> tuple[int, ...] | None:
    """The shape of one instance in a batch of one; None if a dimension is open."""
    if spec.shape is None:
        return None
    shape = (1, *spec.shape[1:]) if spec.shape[:1] == (None,) else spec.shape
    return tuple(length for length in shape if length is not None) if None not in shape else None
