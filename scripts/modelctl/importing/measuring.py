"""Measures a model's rows in a separate process, and writes the findings into its entry."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelctl import console, lambda_variables, model_variables
from modelctl.errors import UserError
from modelctl.importing import children
from modelctl.packaging import packages
from modelctl.registry import registry_file, registry_text, validation

#: The fields of `measurement.Measured`.
Measured = Mapping[str, Any]


def run(name: str, samples: Sequence[Path], file: Path) -> dict[str, Any]:
    """Measure a model that has an entry, write `batch.rows` and `limits.records` into it, and return what was done.

    Raises:
        UserError: why not; then the registry has not changed.
    """
    check_samples(samples)
    models = validation.load(file)
    if name not in models:
        raise UserError(f"{file} has no model {name}; it has {', '.join(models) or 'none'}")
    model = models[name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "artifact"
        _stage(model["files"], folder)
        measured = ask(f"models.{name}", environment(name, model, folder), samples=samples)
    kept = model["document"]["batch"].get("rows")
    found = fields(measured, kept)
    if found:

        def change(text: str) -> str:
            return registry_text.change(text, name, found)

        explain = "the entry would then have problems:\n{}".format
        registry_file.write(file, change, explain, registry_file.holding(file, name))
    return {
        "model": name,
        "registry": str(file),
        "runtime": model["document"]["runtime"],
        "measured": measured,
        "written": found,
        "says": list(says(measured, kept)),
    }


def ask(
    what: str, variables: Mapping[str, str], *, inputs: Path | None = None, samples: Sequence[Path] = ()
) -> dict[str, Any]:
    """Measure a model.

    Args:
        what: the model, for the message if its process ends.
        variables: the function's environment.
        inputs: a file of inputs that `inputs.save` wrote.
        samples: without such a file, files with inputs; without either, inputs are made up.

    Raises:
        UserError: the model cannot be loaded, a sample is not an input of the model, or the process ended.
    """
    with console.step("measuring whether its rows are independent"):
        return children.ask(
            f"measuring {what}",
            "measure",
            environment=dict(variables),
            inputs=str(inputs) if inputs else None,
            samples=[str(sample) for sample in samples],
        )


def failed(why: str) -> dict[str, Any]:
    """The outcome of a measurement that ended early."""
    return {"independent": None, "why": why, "rows": None, "records": None, "memory": None}


def environment(name: str, model: Mapping[str, Any], folder: Path, **changes: str) -> dict[str, str]:
    """The function's environment, as Terraform's module `model` and Lambda would set it.

    Args:
        name: of the model.
        model: its entry in normal form.
        folder: of the artifact's files.
        changes: fields of the model's document to replace.
    """
    return {
        **lambda_variables.settings(name, model["memory_mb"]),
        **model_variables.of(model, folder, **changes),
    }


def check_samples(samples: Sequence[Path]) -> None:
    """Refuse samples that do not exist.

    Raises:
        UserError: one does not exist.
    """
    for sample in samples:
        if not sample.is_file():
            raise UserError(f"the sample {sample} is not a file: --samples takes files that are inputs of the model")


def fields(measured: Measured, kept: int | None) -> dict[str, dict[str, int]]:
    """What an entry should say, by section; nothing if `batch.rows`, now `kept`, could not be measured."""
    if measured["rows"] is None and kept is not None:
        return {}
    found = {"batch": {"rows": measured["rows"]}, "limits": {"records": measured["records"]}}
    return {section: inner for section, inner in found.items() if None not in inner.values()}


def says(measured: Measured, kept: int | None, *, writes: bool = True) -> Iterator[str]:
    """What was found and what follows from it, as lines.

    Args:
        measured: what was found.
        kept: the previous `batch.rows` of the entry, or of the defaults.
        writes: whether what was found is written into the entry.
    """
    rows, records, memory = measured["rows"], measured["records"], measured["memory"]
    found = {True: "independent", False: "not independent", None: "not measured"}[measured["independent"]]
    if rows is None:
        follows = "; batch.rows is left out, so inputs do not share calls of the model"
        if kept is not None:
            follows = f"; batch.rows stays {kept}"
    else:
        whole = "" if rows else ", so an input is one call of the model and gets one prediction, the whole output"
        follows = f" → batch.rows: {rows}{whole}"
    yield f"rows: {found}: {measured['why']}{follows if writes else ''}"
    if memory:
        row, fitting = memory["row_bytes"], memory["fitting_rows"]
        size = packages.for_people(row) if row >= 2**10 else "less than 1 KB"
        follows = f" → limits.records: {records}" if records and kept is None and writes else ""
        yield (
            f"memory: {size} per row, and {packages.for_people(memory['base_bytes'])} without rows; memory_mb: "
            f"{memory['memory_mb']} has room for {fitting:,} row{'' if fitting == 1 else 's'} in one call{follows}"
            + ("; raise memory_mb" if fitting == 0 else "")
        )


def contradictions(name: str, document: Mapping[str, Any], measured: Measured) -> Iterator[str]:
    """What an entry that is kept says that contradicts the measurement of its model.

    Args:
        name: of the model.
        document: of its entry.
        measured: what was found.
    """
    kept, rows, records = document["batch"].get("rows"), measured["rows"], measured["records"]
    way_out = f"`modelctl import --measure {name}` writes {rows}"
    if kept is None and records:
        yield f"models.{name}.limits.records: set it to {records}, since more rows per call may not fit into memory"
    elif kept is None and rows is not None:
        yield f"models.{name}.batch.rows is not set: {way_out}"
    elif kept and rows == 0:
        yield f"models.{name}.batch.rows is {kept}, but this model's rows are not independent: {way_out}"
    elif kept == 0 and rows:
        yield f"models.{name}.batch.rows is 0, but this model's rows are independent: {way_out}"
    elif kept and rows and measured["memory"] and measured["memory"]["fitting_rows"] < kept:
        yield f"models.{name}.batch.rows is {kept}, but that many rows do not fit into the memory: {way_out}"


def _stage(files: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Put the files of a model, including its hooks, where its function would see them."""
    for name, file in files.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(os.path.realpath(file["source"]), copy)
        except OSError:  # another file system
            shutil.copyfile(file["source"], copy)
