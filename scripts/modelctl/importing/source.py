"""The model that was given: a file, or a folder with one model and what belongs to it; and what it can run on."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from inference import model_files
from modelctl import runtimes
from modelctl.errors import UserError
from modelctl.registry import artifact_files
from modelctl.runtimes import SAVED_MODEL

LABELS = "labels.txt"

#: What to use instead of each kind of quantization, if the conversion fails or the answers change.
LESS = {"int8": "`--quantize float16`", "float16": "`--quantize none`", "none": "`--runtime tensorflow`"}

#: Files and folders of a SavedModel besides the one that identifies it.
SAVED_MODEL_PARTS = ("fingerprint.pb", "keras_metadata.pb", "variables", "assets*")

#: The runtimes for each kind of model file: the one that it is for, then those that it can be converted for.
_RUNTIMES: dict[str, tuple[str, ...]] = {
    kind: (name, *(other for other, it in runtimes.TABLE.items() if name in it.converts))
    for name, runtime in runtimes.TABLE.items()
    for kind in runtime.files
}
_SUFFIXES = [kind for kind in _RUNTIMES if kind != SAVED_MODEL]
EXPECTED = f"a SavedModel (its folder), or a {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} file"

_PAGE = "docs/importing.md"
#: Files that are read by running their content: they are not even opened here.
_PICKLES = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".sav"),
        f"a pickle, which can run any code: export the model as ONNX where it was trained; {_PAGE} has the lines for "
        "scikit-learn (skl2onnx with zipmap=False)",
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".bin", ".ckpt"),
        "a pickle of PyTorch, which can run any code: export the model as ONNX where it was trained "
        f"(torch.onnx.export); see {_PAGE}",
    ),
}


@dataclass(frozen=True)
class Source:
    """A model as it was given.

    Args:
        path: the file, or the folder.
        kind: the suffix of the model's file, or `saved_model.pb`.
        labels: the file with its labels, if it has any.
        include: paths relative to the model's folder that belong to the model, too.
    """

    path: Path
    kind: str
    labels: Path | None
    include: Sequence[str] = field(default=())

    @property
    def name(self) -> str:
        """Its name: the path may be `.` or `..`."""
        return self.path.resolve().name

    @property
    def runtime(self) -> str:
        """The runtime that it is for."""
        return _RUNTIMES[self.kind][0]

    @property
    def folder(self) -> Path:
        """The folder that the model's file is in."""
        return self.path if self.path.is_dir() else self.path.parent

    def including(self, names: Iterable[str]) -> "Source":
        """The same model with more files, if they are in its folder."""
        parts = self.parts()
        others = (name for name in sorted(names) if not any(Path(name).is_relative_to(part) for part in parts))
        found = (name for name in others if Path(name).suffix not in _RUNTIMES and (self.folder / name).is_file())
        return replace(self, include=(*self.include, *found))

    def stage(self, folder: Path, labels: str) -> None:
        """Copy what belongs to the model into an empty folder; the labels there are the file `labels`.

        Raises:
            UserError: a file cannot be copied.
        """
        try:
            if not self.path.is_dir():
                shutil.copyfile(self.path, folder / f"model{self.kind}")
            for part in self.parts():
                place(self.folder / part, folder / part)
            if self.labels:
                place(self.labels, folder / labels)
        except OSError as problem:  # shutil.Error is one as well
            raise UserError(f"{self.path} cannot be copied: {problem}") from problem

    def left_behind(self) -> list[str]:
        """Everything else in the model's folder, if the folder was given; folders only by name."""
        if not self.path.is_dir():
            return []
        folder = self.path.absolute()
        taken = [folder / part for part in self.parts()] + ([self.labels.absolute()] if self.labels else [])
        items = (item for item in sorted(folder.iterdir()) if not item.name.startswith("."))
        left = (item for item in items if not any(item in (part, *part.parents) or part == folder for part in taken))
        return [f"{item.name}/" if item.is_dir() else item.name for item in left]

    def parts(self) -> list[str]:
        """What keeps its name, relative to the model's folder, when copied: a file that was given is renamed."""
        parts = list(self.include)
        if self.path.is_file():
            return parts
        if self.kind == SAVED_MODEL:
            return [SAVED_MODEL, *(part.name for name in SAVED_MODEL_PARTS for part in self.path.glob(name)), *parts]
        (model,) = (file for file in self.path.iterdir() if _is_model(file))
        return [model.name, *(_external_files(model) if self.kind == ".onnx" else ()), *parts]


def place(part: Path, copy: Path) -> None:
    """Copy a file, or a folder without hidden files, to a place whose folder may not exist yet."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    if part.is_dir():
        hidden = shutil.ignore_patterns(".*")  # Terraform also leaves them out
        shutil.copytree(part, copy, ignore=hidden, copy_function=shutil.copyfile, dirs_exist_ok=True)
    else:
        shutil.copyfile(part, copy)


def _external_files(model: Path) -> list[str]:
    """The other files that hold an ONNX file's weights, relative to its folder."""
    return [name for name in _data_of(model) if ".." not in Path(name).parts and (model.parent / name).is_file()]


def read(path: Path, labels: Path | None, labels_name: str, include: Sequence[str] = ()) -> Source:
    """The model at a path, with the given labels or those next to the model.

    Raises:
        UserError: there is nothing, several models, or none that any runtime accepts; or a path of `include` is
            missing.
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
    source = Source(path, kind, labels or (beside if beside.is_file() else None), include)
    for name in include:
        if Path(name).is_absolute() or ".." in Path(name).parts or not (source.folder / name).exists():
            raise UserError(
                f"--include {name}: expected a file or folder in the model's folder, {source.folder}, relative to that"
            )
    return source


def check_files(source: Source) -> None:
    """Refuse what `modelctl validate` would refuse in an artifact.

    Raises:
        UserError: a file is missing, or the model has ops that no runtime has.
    """
    path = source.path
    files = {path.name: path}
    if path.is_dir():
        parts, below = source.parts(), artifact_files.below(path)
        files = {name: file for name, file in below.items() if any(Path(name).is_relative_to(part) for part in parts)}
    model = next(name for name in files if name.endswith(source.kind) and "/" not in name)
    if source.labels:
        files.setdefault(source.labels.name, source.labels)
    for problem in model_files.problems(files, model):
        beside = [] if path.is_dir() or source.kind != ".onnx" else _data_of(path)
        if beside and all((path.parent / name).is_file() for name in beside):
            raise UserError(
                f"{path}: its weights are stored in another file, {model_files.listed(beside)}: give the folder "
                "that contains both"
            )
        raise UserError(f"{path}: {problem}")


def choose_runtime(source: Source, wanted: str | None, quantize: str) -> str:
    """The runtime that it will run on: the requested one, otherwise the one that it is for.

    Raises:
        UserError: it cannot run there, or cannot be quantized.
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
    """The files in which an ONNX file keeps its weights; none if it is not an ONNX file."""
    try:
        return model_files.external_data(file)
    except (OSError, ValueError):
        return []


def _kind_of_folder(folder: Path) -> str:
    if (folder / SAVED_MODEL).is_file():
        return SAVED_MODEL
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    models = [file for file in files if _is_model(file)]
    if len(models) == 1:
        return models[0].suffix
    if models:
        raise UserError(f"{folder} contains several models ({_names(models)}): give the file of the one that you mean")
    if nested := next((file for file in files if (file / SAVED_MODEL).is_file()), None):
        raise UserError(f"{folder} is not a SavedModel, but {nested} is one: give that folder")
    for file in files:
        _refuse_pickle(file)
    raise UserError(f"{folder} contains no model: expected {EXPECTED}; found {_names(files) or 'nothing'}")


def _is_model(file: Path) -> bool:
    return file.suffix in _RUNTIMES and not file.name.startswith(".") and file.is_file()


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


def _names(files: Sequence[Path]) -> str:
    return model_files.listed([file.name for file in files])
