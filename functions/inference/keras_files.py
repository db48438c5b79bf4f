"""Keras files, `.keras` and HDF5: each is loaded by the version of Keras that wrote it, and no code in it is run.

Keras 3 refuses many files of Keras 2, and computes others differently: its `hard_sigmoid` is another function. The
package tf-keras is Keras 2.
"""

import inspect
import json
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from inference.errors import ModelError
from inference.runtimes import DEFAULT_SIGNATURE

#: The modules that a config may name: only those of Keras itself, since any module that is named is imported.
_OF_KERAS = re.compile(r"(tf_)?keras(\..*)?|builtins")

#: The layers that contain Python code.
_HOLD_CODE = ("Lambda", "__lambda__")

#: The functions of TensorFlow that layers of Keras 2 may call, by the name in their config: those that only compute.
#: Others open files or connections, load libraries or change TensorFlow itself, and Keras calls them while it loads the
#: model.
_CALLED = ("function", "cls_symbol")
_COMPUTES = re.compile(
    r"(compat\.v1\.)?("
    r"(?!load_|py_func|numpy_func|[Pp]rint|import_graph_def|\w+_files?$|\w*(Reader|Session)|rpc_|xla_|(en|dis)able_)\w+"
    r"|(__operators__|audio|bitwise|dtypes|image|linalg|math|nn|ragged|random|sets|signal|sparse)\..+"
    r"|quantization\.\w+"
    r"|strings\.\w+"
    r"|io\.(decode|encode|parse)_\w+"
    r"|keras\.(activations|backend|losses|metrics)\.\w+)"
)

#: Arguments that layers of Keras 2 have and those of Keras 3 lack, with the value that has no effect.
_ONLY_KERAS_2 = {"groups": 1, "time_major": False}

#: The parts of a config about training, which are not loaded.
_OF_TRAINING = "compile_config"


class KerasModel:
    """The one signature of a Keras file.

    Inputs and outputs have the names that `model.export` gives them, so a file and its SavedModel answer alike.

    Args:
        model: a model of Keras 3 or of tf-keras.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._names = [tensor.name for tensor in model.inputs]
        self._structure = model.inputs[0] if len(model.inputs) == 1 else model.input
        specs = (tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name) for tensor in model.inputs)
        self.signature = dict(zip(self._names, specs, strict=True))

    def __call__(self, **tensors: Any) -> Mapping[str, Any]:
        """Call the model in inference mode."""
        arguments = tf.nest.pack_sequence_as(self._structure, [tensors[name] for name in self._names])
        outputs = self._model(arguments, training=False)
        if isinstance(outputs, dict) and not any(map(tf.nest.is_nested, outputs.values())):
            return outputs
        return {f"output_{index}": tensor for index, tensor in enumerate(tf.nest.flatten(outputs))}

    def export(self, folder: Path, signature: Mapping[str, Any]) -> None:
        """Write a SavedModel that has the default signature with inputs of these specs, by name."""
        if isinstance(self._model, tf.keras.Model):
            specs = tf.nest.pack_sequence_as(self._structure, [signature[name] for name in self._names])
            self._model.export(str(folder), verbose=False, input_signature=[specs])
            return
        # The `export` of tf-keras takes no specs.
        module = tf.Module()
        module.model = self._model
        function = tf.function(self, autograph=False).get_concrete_function(**signature)
        tf.saved_model.save(module, str(folder), signatures={DEFAULT_SIGNATURE: function})


def read(path: Path) -> KerasModel:
    """Load a Keras file.

    Raises:
        ModelError: Keras cannot load it, it needs Python code, or it does not declare the shapes of its inputs.
    """
    model = _read(path)
    if not getattr(model, "inputs", None):
        raise ModelError(
            f"{path.name} does not declare the shapes of its inputs: publish its SavedModel (model.export)"
        )
    return KerasModel(model)


def _read(path: Path) -> Any:
    """The model in a Keras file: one of tf-keras if Keras 2 wrote the file, else one of Keras 3."""
    try:
        version, config = _contents(path)
        if config is not None and re.match(r"[12]\.", version):
            return _read_keras_2(path, version, config)
        tolerant = _layers_of_keras_2(config)
        return tf.keras.models.load_model(str(path), custom_objects=tolerant, compile=False, safe_mode=True)
    except ModelError:
        raise
    except Exception as error:
        if "Lambda" in str(error):
            raise _code_in(path) from error
        raise ModelError(f"Keras cannot load {path.name}: {error}") from error


def _contents(path: Path) -> tuple[str, Any]:
    """The version of Keras that wrote a file, and the config of its model; empty and None if the file has none.

    Early versions of Keras 2 wrote HDF5 into `.keras` files as well.
    """
    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            metadata, config = (json.loads(archive.read(name)) for name in ("metadata.json", "config.json"))
        return metadata["keras_version"], config
    if path.suffix == ".keras" and not h5py.is_hdf5(path):
        raise ModelError(f"Keras cannot load {path.name}: it is not a zip file, so it is cut off or has another format")
    with h5py.File(path) as file:
        version, config = (file.attrs.get(name, "") for name in ("keras_version", "model_config"))
    # Early versions wrote bytes.
    version, config = (text.decode() if isinstance(text, bytes) else text for text in (version, config))
    return version, json.loads(config) if config else None


def _layers_of_keras_2(config: Any) -> dict[str, type]:
    """Layers of Keras 3 that ignore arguments of Keras 2, by name, for the layers whose config has such arguments.

    An HDF5 file may name Keras 3 as its version and still have them, if a tool copied the config.
    """
    found: dict[str, type] = {}
    for node in _objects(config):
        fields, layer = node.get("config"), getattr(tf.keras.layers, str(node["class_name"]), None)
        if layer and isinstance(fields, Mapping):
            unknown = _ONLY_KERAS_2.keys() & fields.keys() - inspect.signature(layer).parameters.keys()
            if unknown and all(fields[name] == _ONLY_KERAS_2[name] for name in unknown):
                found[node["class_name"]] = _passing_over(layer, unknown)
    return found


def _passing_over(layer: Any, arguments: Collection[str]) -> type:
    class Tolerant(layer):  # type: ignore[misc]
        @classmethod
        def from_config(cls, config: Mapping[str, Any]) -> Any:
            return layer.from_config({name: value for name, value in config.items() if name not in arguments})

    return Tolerant


def _read_keras_2(path: Path, version: str, config: Any) -> Any:
    """The model in a file of Keras 2.

    Raises:
        ModelError: tf-keras cannot load it, or it needs Python code.
    """
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    _refuse_code(path, config)
    try:
        # For HDF5 files, tf-keras ignores `safe_mode`.
        with SafeModeScope(safe_mode=True):
            return tf_keras.models.load_model(str(path), compile=False)
    except Exception as error:
        raise ModelError(
            f"Keras {version} wrote {path.name}, and tf-keras cannot load it: {error}; publish its SavedModel instead "
            "(model.export, or model.save to a folder, where that Keras is installed)"
        ) from error


def _refuse_code(path: Path, config: Any) -> None:
    """Refuse a config that would make Keras 2 run anything but layers that compute.

    Raises:
        ModelError: it contains or names Python code, or calls a function of TensorFlow that does more than compute.
    """
    for node in _objects(config):
        name = node["class_name"]
        if name in _HOLD_CODE:
            raise _code_in(path)
        module = node.get("module")
        named = str(node["config"] if name == "function" else name)
        # A dot could lead from a module of Keras to a module that it imports.
        if module and (not _OF_KERAS.fullmatch(module) or "." in named):
            raise ModelError(
                f"{path.name} needs the code of {module}.{named}, which is not in the file: publish its SavedModel "
                "instead (model.export, where that code is)"
            )
        fields = node.get("config")
        for called in filter(None, map(fields.get, _CALLED) if isinstance(fields, Mapping) else ()):
            if isinstance(called, str) and not _COMPUTES.fullmatch(called):
                raise ModelError(
                    f"{path.name} calls tf.{called} while it is loaded, which is not allowed: publish its SavedModel "
                    "instead (model.export)"
                )


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """The layers, functions and other objects that a config describes."""
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for name, value in config.items():
            if name != _OF_TRAINING:
                yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)


def _code_in(path: Path) -> ModelError:
    return ModelError(
        f"{path.name} contains Python code (a Lambda layer), which is not run; publish its SavedModel instead "
        "(model.export)"
    )
