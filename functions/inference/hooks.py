"""A model's own code: the file that its registry entry names as `hooks`, stored in its artifact as `.hooks.py`.

`preprocess(body, key)` replaces the decoder, and `postprocess(outputs)` replaces labels; they are called one at a time.
What they raise is the model's fault, as is an unusable return value; only an `InputError` is the input's fault.
"""

import sys
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inference import tensors
from inference.config import Config, InputConfig
from inference.errors import DecodeError, InputError, ModelError, ShapeError
from inference.result_json import as_json
from inference.runtimes import Array, Specs, TensorSpec
from inference.tensors import Instances

#: Inside this package, so that a logger with the module's name inherits our level.
_MODULE = "inference.hooks.file"


@dataclass(frozen=True)
class Hooks:
    """The functions of the file, whose return values are checked; None if the file does not define it."""

    #: From an object's bytes and key to instances.
    preprocess: Callable[[bytes, str], Instances] | None
    #: From one instance's raw outputs, by name, to its prediction.
    postprocess: Callable[[Mapping[str, Array]], Any] | None


def load(file: Path, config: Config, inputs: Specs) -> Hooks:
    """Run the file and take its functions.

    Raises:
        ModelError: it fails, defines neither, or the registry entry also sets what `postprocess` decides.
    """
    module = _run(file)
    preprocess, postprocess = (getattr(module, name, None) for name in ("preprocess", "postprocess"))
    if preprocess is None and postprocess is None:
        raise ModelError("hooks: the file defines neither preprocess nor postprocess: define one, or leave hooks out")
    replaced = ", ".join(f"output.{field}" for field, value in vars(config.output).items() if value is not None)
    if postprocess is not None and replaced:
        raise ModelError(f"hooks: postprocess replaces {replaced}: remove these fields or the function")
    return Hooks(
        preprocess and partial(_instances, partial(_call, "preprocess", preprocess), inputs, config.input),
        postprocess and partial(_prediction, partial(_call, "postprocess", postprocess)),
    )


def _run(file: Path) -> types.ModuleType:
    """The file as a module, without a `.pyc`: an additional file would change the artifact."""
    module = types.ModuleType(_MODULE)
    module.__file__ = str(file)
    # Dataclasses look up the names of their annotations there.
    sys.modules[_MODULE] = module
    try:
        code = compile(file.read_bytes(), file, "exec", dont_inherit=True)
        _call("the file", exec, code, module.__dict__)
    except (InputError, SyntaxError, ValueError) as error:
        raise ModelError(f"hooks: the file cannot be run: {type(error).__name__}: {error}") from error
    return module


def _call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the file's code; what it raises, even a `sys.exit`, is the model's fault unless it is an `InputError`."""
    try:
        return function(*arguments)
    except InputError:
        raise
    except BaseException as error:
        # The log shows the traceback of this ModelError, but not the traceback of its cause.
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_globals.get("__name__") == _MODULE]
        where = f" (line {lines[-1]})" if lines else ""
        says = f": {error}" if str(error) else ""
        raise ModelError(f"hooks: {name} raised {type(error).__name__}{says}{where}") from error


def _instances(
    preprocess: Callable[[bytes, str], Any], inputs: Specs, config: InputConfig, body: bytes, key: str
) -> Instances:
    """What `preprocess` returns for an object.

    Raises:
        InputError: the hook raised it, or it returned more rows than an input may have.
        ModelError: it failed, or did not return the signature's tensors.
    """
    given = preprocess(body, key)
    arrays = {inputs[0].name: given} if len(inputs) == 1 and isinstance(given, np.ndarray) else given
    found = {name: _kind(array) for name, array in arrays.items()} if isinstance(arrays, dict) else _kind(given)
    expected = {spec.name: "ndarray" for spec in inputs}
    if found != expected:
        raise ModelError(f"hooks: preprocess returned {found}; expected {expected}")
    try:
        return tensors.stack({spec.name: _strings(arrays[spec.name], spec) for spec in inputs}, inputs, config)
    except (DecodeError, ShapeError) as error:
        raise ModelError(f"hooks: preprocess returned tensors that do not fit: {error}") from error


def _kind(value: Any) -> str:
    return "ndarray" if isinstance(value, np.ndarray) else type(value).__name__


def _strings(array: Array, spec: TensorSpec) -> Array:
    """Strings in the signature's form, an array of bytes, from any of numpy's string types; other arrays unchanged."""
    if spec.dtype.kind != "O" or array.dtype.kind not in "OSU":
        return array
    strings = [element.encode() if isinstance(element, str) else element for element in array.flat]
    if not all(isinstance(element, bytes) for element in strings):
        raise DecodeError(f"{spec.name}: expected strings, as str or bytes")
    return np.array(strings, object).reshape(array.shape)


def _prediction(postprocess: Callable[[Mapping[str, Array]], Any], outputs: Mapping[str, Array]) -> Any:
    """What `postprocess` returns for one instance's outputs.

    Raises:
        InputError: the hook raised it.
        ModelError: it failed, or did not return a JSON value.
    """
    prediction = postprocess(outputs)
    try:
        as_json(prediction)
    except (TypeError, ValueError, RecursionError) as error:
        way_out = "convert numpy values with .tolist()"
        raise ModelError(f"hooks: postprocess returned a value that is not JSON: {error}; {way_out}") from error
    return prediction
