"""The model that was given: a file, or a folder with one model and what belongs to it; and what it can run on."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inference import model_files
from modelctl import artifact_files, runtimes
from modelctl.errors import UserError
from modelctl.runtimes import SAVED_MODEL

LABELS = "labels.txt"

#: The runtimes that take each kind of model file: the one it is for, then those for which it is converted.
_RUNTIMES: dict[str, tuple[str, ...]] = {
    kind: (name, *(other for other, it in runtimes.TABLE.items() if name in it.converts))
    for name, runtime in runtimes.TABLE.items()
    for kind in runtime.files
}
_SUFFIXES = [kind for kind in _RUNTIMES if kind != SAVED_MODEL]
EXPECTED = f"a SavedModel (its folder), or a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file"

_README = '"Import a model" in README.md'
#: Files that are read by running what is in them: not even opened here.
_PICKLES = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".sav"),
        f"a pickle, which can run any code: export the model as ONNX where it was trained; {_README} has the lines for "
        "scikit-learn (skl2onnx with zipmap=False)",
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".bin", ".ckpt"),
        "a pickle of PyTorch, which can run any code: export the model as ONNX where it was trained "
        f"(torch.onnx.export); see {_README}",
    ),
}


@dataclass(frozen=True)
class Source:
    """A model as it was given.

    Args:
        path: the file, or the folder.
        kind: the suffix of the model's file, or `saved_model.pb`.
        labels: the file with its labels, if it has some.
    """

    path: Path
    kind: str
    labels: Path | None

    @property
    def name(self) -> str:
        """What people call it: it may have been given as `.` or `..`."""
        return self.path.resolve().name

    @property
    def runtime(self) -> str:
        """The runtime that it is for."""
        return _RUNTIMES[self.kind][0]

    def stage(self, folder: Path, labels: str) -> None:
        """Copy what will be served into an empty folder; the labels there are the file `labels`.

        Raises:
            UserError: a file cannot be copied.
        """
        try:
            if self.path.is_dir():
                hidden = shutil.ignore_patterns(".*")  # Terraform leaves them out, too
                shutil.copytree(self.path, folder, ignore=hidden, copy_function=shutil.copyfile, dirs_exist_ok=True)
            else:
                shutil.copyfile(self.path, folder / f"model{self.kind}")
            if self.labels:
                place(self.labels, folder / labels)
        except OSError as problem:  # shutil.Error is one as well
            raise UserError(f"{self.path} cannot be copied: {problem}") from problem


def place(file: Path, copy: Path) -> None:
    """Copy a file to where there may be no folder yet."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)


def read(path: Path, labels: Path | None, labels_name: str) -> Source:
    """What lies at a path, with the given labels or those that lie beside the model.

    Raises:
        UserError: there is nothing, several models, or none that any runtime takes.
    """
    if labels and not labels.is_file():
        raise UserError(f"there is no file {labels}: --labels takes a file with one label per line")
    if path.is_dir():
        if problem := next(artifact_files.dangling(path), None):
            raise UserError(f"{path}: {problem}")
        kind = _kind_of_folder(path)
        beside = path / labels_name
    elif path.is_file():
        kind = _kind_of_file(path)
        beside = path.parent / labels_name
    else:
        raise UserError(f"{path} does not exist: expected {EXPECTED}")
    return Source(path, kind, labels or (beside if beside.is_file() else None))


def check_files(source: Source) -> None:
    """Refuse what `modelctl validate` would refuse in an artifact.

    Raises:
        UserError: a file is not there, or the model has ops that no runtime has.
    """
    path = source.path
    files = artifact_files.below(path) if path.is_dir() else {path.name: path}
    model = next(name for name in files if name.endswith(source.kind) and "/" not in name)
    if source.labels:
        files.setdefault(source.labels.name, source.labels)
    for problem in model_files.problems(files, model):
        beside = [] if path.is_dir() or source.kind != ".onnx" else _data_of(path)
        if beside and all((path.parent / name).is_file() for name in beside):
            raise UserError(
                f"{path}: its weights lie in another file, {model_files.listed(beside)}: give the folder of both"
            )
        raise UserError(f"{path}: {problem}")


def choose_runtime(source: Source, wanted: str | None, quantize: str) -> str:
    """The runtime that it will run on: the wanted one, else the one that it is for.

    Raises:
        UserError: it cannot run there, or be quantized.
    """
    runtime = wanted or source.runtime
    if runtime not in _RUNTIMES[source.kind]:
        raise UserError(f"{source.name} cannot run on {runtime}: {_way_out(source.kind, runtime)}")
    if quantize != "none" and runtime == source.runtime:
        converters = _RUNTIMES[source.kind][1:]
        way_out = f"add `--runtime {converters[0]}`" if converters else "quantize it where it was made, and import that"
        raise UserError(
            f"--quantize is part of the conversion to LiteRT, and {source.name} is not converted: {way_out}"
        )
    return runtime


def _way_out(kind: str, runtime: str) -> str:
    possible = _RUNTIMES[kind]
    if len(possible) == 1:
        return f"{kind} files run on {possible[0]} only; import the model that this one was made from"
    return f"modelctl does not convert to {runtime}; choose {' or '.join(possible)}, or export the model for {runtime}"


def _data_of(file: Path) -> list[str]:
    """The files that an ONNX file keeps its weights in; none if it is not an ONNX file."""
    try:
        return model_files.external_data(file)
    except (OSError, ValueError):
        return []


def _kind_of_folder(folder: Path) -> str:
    if (folder / SAVED_MODEL).is_file():
        return SAVED_MODEL
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    models = [file for file in files if file.suffix in _RUNTIMES and file.is_file()]
    if len(models) == 1:
        return models[0].suffix
    if models:
        raise UserError(f"{folder} holds several models ({_names(models)}): give the file of the one that is meant")
    if nested := next((file for file in files if (file / SAVED_MODEL).is_file()), None):
        raise UserError(f"{folder} is no SavedModel, but {nested} is one: give that folder")
    for file in files:
        _refuse_pickle(file)
    raise UserError(f"{folder} holds no model: expected {EXPECTED}; found {_names(files) or 'nothing'}")


def _kind_of_file(file: Path) -> str:
    _refuse_pickle(file)
    if file.name == SAVED_MODEL:
        raise UserError(f"{file} is a part of a SavedModel: give its folder, {file.parent}")
    if file.suffix not in _RUNTIMES:
        raise UserError(f"{file} is not a model that can be imported: expected {EXPECTED}")
    return file.suffix


def _refuse_pickle(file: Path) -> None:
    if says := _PICKLES.get(file.suffix.lower()):
        raise UserError(f"{file} is {says}")


def _names(files: list[Path]) -> str:
    return ", ".join(_shortened(file.name for file in files))


def _shortened(names: Iterator[str]) -> list[str]:
    first = [name for _, name in zip(range(6), names, strict=False)]
    return [*first[:5], "…"] if len(first) > 5 else first
