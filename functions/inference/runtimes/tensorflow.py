"""TensorFlow: SavedModels, `.keras` and HDF5 files, with every op exactly as trained.

A larger call costs TensorFlow less per row, so rows are run together.

Every call starts from the state in the file: variables that a signature assigns to (a stateful RNN, a counter, a
`tf.random.Generator`) are restored before the call. A model with state that cannot be restored is refused when it is
loaded. Other random ops draw new numbers in every call, which do not depend on any input.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from inference import model_files, runtimes
from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, TensorSpec

# TensorFlow reads both on import; the registry's `env` may set other values. Without the first, it logs a dozen lines
# about its build in every new environment.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(runtimes.threads()))

import tensorflow as tf

from inference import keras_files

#: The most bytes of inputs and outputs of a shared call: a larger call gains nothing, and a convolution's activations,
#: about twenty times as large, still fit into the memory.
BYTES_PER_CALL = 8 * 2**20

#: What is raised for values that fit the signature but that an op refuses (DataLossError comes from parsers). Any other
#: error of an op (out of memory, an internal error) would be raised for other values too.
_REFUSED = (
    *(tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, tf.errors.DataLossError),
    *(ValueError, TypeError),
)

#: How an InvalidArgumentError says that TensorFlow cannot run an op here, whatever the values: it has no kernel, is for
#: another device, or is Python code (`tf.py_function`), which no file contains.
_LACKING = re.compile(r"No OpKernel was registered|Cannot assign a device|Could not find callback")

#: How TensorFlow names an op of another library.
_UNREGISTERED = re.compile(r"Op type not registered '(.+?)'")

#: Ops that change a variable.
_ASSIGNS = re.compile(
    r".*Assign|Resource(Apply|CountUpTo|Scatter|SparseApply)|Rng(ReadAnd)?Skip"
    r"|Stateful(RandomBinomial|StandardNormal|TruncatedNormal|Uniform)"
)

#: Ops that change what cannot be restored: a table, or a variable of TensorFlow 1, which the function does not list.
_REMEMBERS = re.compile(
    r"LookupTable(Import|Insert|Remove)(V2)?|Assign(Add|Sub)?|(Sparse)?Apply[A-Z]\w*|CountUpTo|StridedSliceAssign"
    r"|Scatter(Nd)?(Add|Div|Max|Min|Mul|Sub|Update)"
)

#: The signature that initializes a graph.
_INITIALIZES = "__saved_model_init_op"


class TensorFlowModel:
    """One function of a model, traced once.

    Args:
        function: takes and returns tensors by name.
        inputs: the specs of its inputs.
        outputs: the specs of its outputs.
        start: restores the state from which every call starts.
    """

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        start: Callable[[], Any] | None = None,
    ) -> None:
        self._function = function
        self._start = start
        # Rows of several inputs in one call would share the model's state.
        self.bytes_per_call = 0 if start else BYTES_PER_CALL
        self.inputs = inputs
        self.outputs = outputs

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the signature once."""
        try:
            if self._start:
                self._start()
            arguments = {spec.name: tf.constant(tensors[spec.name], tf.as_dtype(spec.dtype)) for spec in self.inputs}
            outputs = self._function(**arguments)
            return {name: np.asarray(tensor) for name, tensor in outputs.items()}
        except Exception as error:
            if isinstance(error, _REFUSED) and not _LACKING.search(str(error)):
                raise PredictionError(f"the model failed on these values: {error}") from error
            raise ModelError(f"TensorFlow cannot run the model: {type(error).__name__}: {error}") from error


def load(file: Path, signature: str) -> TensorFlowModel:
    """Load a Keras file, which has one signature, or the SavedModel that a `saved_model.pb` is part of.

    Raises:
        ModelError: there is no such signature, or TensorFlow cannot load it.
    """
    return _load_saved_model(file.parent, signature) if file.suffix == ".pb" else _load_keras(file)


def _load_saved_model(artifact: Path, signature: str) -> TensorFlowModel:
    try:
        loaded = _read_saved_model(str(artifact))
    except Exception as error:
        if lacking := _UNREGISTERED.search(str(error)):
            raise ModelError(model_files.lacking([lacking[1]], "tensorflow")) from error
        raise ModelError(f"TensorFlow cannot load the SavedModel in {artifact}: {error}") from error
    function = loaded.signatures.get(signature)
    if function is None:
        # In a graph of TensorFlow 1, the initializer is one of them.
        names = ", ".join(sorted(name for name in loaded.signatures if name != _INITIALIZES))
        way_out = "none: save it with model.export (Keras) or tf.saved_model.save(model, folder, signatures=function)"
        raise ModelError(f"the SavedModel has no signature {signature!r}; it has: {names or way_out}")
    _, inputs = function.structured_input_signature

    def call(**tensors: Any) -> Mapping[str, Any]:
        # The function has only weak references to its variables: this reference to the loaded object keeps them.
        _ = loaded
        outputs: Mapping[str, Any] = function(**tensors)
        return outputs

    return TensorFlowModel(call, _specs(inputs), _specs(function.structured_outputs), _start(function))


def _read_saved_model(artifact: str) -> Any:
    """The content of a SavedModel; of several graphs, the one that TensorFlow Serving would serve."""
    try:
        return tf.saved_model.load(artifact)
    except ValueError as error:
        if "more than one MetaGraph" not in str(error):
            raise
    return tf.saved_model.load(artifact, tags=[tf.saved_model.SERVING])


def _load_keras(path: Path) -> TensorFlowModel:
    model = keras_files.read(path)
    signature = model.signature
    try:
        function = tf.function(model, autograph=False).get_concrete_function(**signature)
    except Exception as error:
        raise ModelError(f"Keras cannot run {path.name}: {error}") from error
    return TensorFlowModel(function, _specs(signature), _specs(function.structured_outputs), _start(function))


def _start(function: Any) -> Callable[[], Any] | None:
    """A function that restores the variables that this one may assign to; None if it assigns to none.

    Raises:
        ModelError: it changes something that cannot be restored.
    """
    ops = {op.type for op in function.graph.get_operations()}
    if any(tensor.dtype == tf.resource for tensor in function.captured_inputs):
        # Only a model with state pays for this copy of the graph, which includes the functions that it calls.
        ops |= {node.op for called in function.graph.as_graph_def().library.function for node in called.node_def}
    for op in sorted(ops):
        if _REMEMBERS.fullmatch(op):
            raise ModelError(
                f"the model keeps state between calls that cannot be reset (op {op}), so its predictions would depend "
                "on other inputs: export it without that op"
            )
    if not any(map(_ASSIGNS.match, ops)):
        return None
    # These share memory with the variables: an op that changes a variable copies it first.
    states = [(variable, variable.read_value()) for variable in function.variables]

    def restore() -> None:
        for variable, value in states:
            variable.assign(value)

    return cast(Callable[[], Any], tf.function(restore, autograph=False).get_concrete_function())


def _specs(signature: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    for name, spec in signature.items():
        # Signatures of TensorFlow 1 have symbolic tensors instead of specs.
        dense = isinstance(spec, (tf.TensorSpec, tf.Tensor))
        if not dense or spec.dtype in (tf.resource, tf.variant):
            kind = spec.dtype.name if dense else type(spec).__name__
            raise ModelError(f"{name!r} is {kind}; only dense tensors can be served: convert it in the signature")
    return tuple(
        TensorSpec(
            name,
            None if spec.shape.rank is None else tuple(spec.shape.as_list()),
            np.dtype(spec.dtype.as_numpy_dtype),
        )
        for name, spec in signature.items()
    )
