"""Both sides of a comparison, ready to start: our function as it is deployed, and the baselines.

Code and layer are the packages that `modelctl package` builds; the Python environments are those of the local stack. A
baseline is in the same folder, is compiled like our code, and sees the same variables: the two sides of a comparison
differ only in the name of the handler.
"""

import compileall
import json
import py_compile
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelctl import lambda_variables, model_variables, paths, programs, runtimes
from modelctl.errors import UserError
from modelctl.importing import children
from modelctl.local.stack import ensure_lambda_environment
from modelctl.packaging import packages
from modelctl.registry import validation
from modelctl.runtime_api import Run, run_handler

OURS = "inference.handler.handler"

_TRAIN = """\
import pathlib, sys, skl2onnx, sklearn.datasets, sklearn.neural_network
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
scans, digits = sklearn.datasets.load_digits(return_X_y=True)
model = sklearn.neural_network.MLPClassifier(48, random_state=20).fit(scans / 16, digits)
inputs = [("scan", skl2onnx.common.data_types.FloatTensorType([None, 64]))]
converted = skl2onnx.to_onnx(model, initial_types=inputs, options={"zipmap": False})
pathlib.Path(sys.argv[1]).write_bytes(select_model_inputs_outputs(converted, "probabilities").SerializeToString())
"""


@dataclass(frozen=True)
class Model:
    """A model, with the file or the folder that its library loads."""

    name: str
    runtime: str
    path: Path


@dataclass(frozen=True)
class Function:
    """A handler and everything that its process sees."""

    handler: str
    folder: Path
    python: Path
    variables: Mapping[str, str]

    def run(self, events: Sequence[Any], *options: str) -> Run:
        """Run it on events in a new process; `options` are Python's.

        Raises:
            UserError: it failed, or did not answer all of them.
        """
        # -s: AWS does not have a folder of user packages either.
        python: list[str | Path] = [self.python, "-s", *options]
        run = run_handler(self.handler, events, self.variables, python=python, folder=self.folder)
        for answer in run.answers:
            if isinstance(answer, dict) and "errorType" in answer:
                raise UserError(f"{self.handler} failed: {answer['errorType']}: {answer['errorMessage']}")
        return run


class Workshop:
    """Creates functions in its own folder.

    Args:
        folder: an empty one.
        runtimes: the runtimes of the models to be served.
        access: the variables with which a function accesses S3.
        results: the name of the results bucket.
    """

    def __init__(self, folder: Path, runtimes: Sequence[str], access: Mapping[str, str], results: str) -> None:
        self._folder = folder
        self._access = access
        self._results = results
        self._code = folder / "code"
        self._normals: dict[Model, Any] = {}
        manifest = packages.make(runtimes)
        # For the local stack the layers of all architectures are the same.
        self._layers = {
            runtime: _extracted(layer["x86_64"], folder / "layers" / runtime)
            for runtime, layer in manifest["layers"].items()
            if runtime in runtimes
        }
        _extracted(manifest["code"]["inference"], self._code)
        for baseline in Path(__file__).with_name("baselines").glob("*.py"):
            shutil.copy(baseline, self._code)
        compileall.compile_dir(
            self._code, maxlevels=0, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )

    def function(self, handler: str, model: Model, *, tensorflow: bool = False, **variables: str) -> Function:
        """A function that serves `model`, in Lambda's bare environment or in the environment with TensorFlow."""
        environment = paths.ENVIRONMENTS / "tensorflow" if tensorflow else ensure_lambda_environment()
        weights = model.path if model.path.is_dir() else model.path.parent
        normal = self._normal(model)
        return Function(
            handler,
            self._code,
            environment / "bin" / "python",
            {
                **lambda_variables.settings(model.name, normal["memory_mb"]),
                **lambda_variables.places(
                    self._code, self._layers.get(model.runtime, Path("/opt")), environment / "bin"
                ),
                **self._access,
                **model_variables.of(normal, weights, results=self._results),
                # Our code sets it by itself: numpy then creates no threads for linear algebra, which slow down a cold
                # start.
                "OPENBLAS_NUM_THREADS": "1",
                # What the baselines read.
                "MODEL": str(model.path),
                "RESULTS": f"{self._results}/{model.name}",
                **variables,
            },
        )

    def converted(self, model: Model) -> Model:
        """The same model for LiteRT, from a SavedModel, as `modelctl import` converts it.

        Raises:
            UserError: it could not be converted.
        """
        path = self._new_file(model.name, "model.tflite")
        children.ask(
            f"converting {model.path}",
            "convert",
            source=str(model.path),
            signature=self._normal(model)["document"]["signature"],
            quantize="none",
            representative="",
            target=str(path),
        )
        return Model(model.name, "litert", path)

    def trained(self) -> Model:
        """A model of scikit-learn for ONNX Runtime: `scan`, 64 numbers, to the probabilities of ten digits.

        Raises:
            UserError: it could not be trained and exported.
        """
        path = self._new_file("digits-onnx", "model.onnx")
        programs.run("the ONNX model could not be made", sys.executable, "-I", "-c", _TRAIN, path)
        return Model("digits-onnx", "onnx", path)

    def _normal(self, model: Model) -> Any:
        """The normal form of the shortest entry of the model, whose rows are independent."""
        if model not in self._normals:
            batch = {"rows": runtimes.TABLE[model.runtime].batch_rows}
            entry = {"artifact": str(model.path), "version": "1", "runtime": model.runtime, "batch": batch}
            file = self._folder / "registry.json"  # JSON is YAML
            file.write_text(json.dumps({"version": 1, "models": {model.name: entry}}, indent=1), encoding="utf-8")
            self._normals[model] = validation.load(file)[model.name]
        return self._normals[model]

    def _new_file(self, model: str, name: str) -> Path:
        path = self._folder / model / name
        path.parent.mkdir()
        return path


def _extracted(package: packages.Package, folder: Path) -> Path:
    with zipfile.ZipFile(paths.PACKAGES / package["file"]) as archive:
        archive.extractall(folder)
    return folder
