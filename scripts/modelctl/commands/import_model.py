"""`modelctl import`: checks a model file, copies or converts it, and writes its entry in the registry.

With `--measure` it measures a model that has an entry.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inference import model_files
from modelctl import console, runtimes
from modelctl.commands.arguments import Commands, add_registry, command, print_json
from modelctl.errors import UserError
from modelctl.importing import importer, measuring, source
from modelctl.packaging import packages
from modelctl.registry import registry_file
from modelctl.registry.registry_text import Layout, render

_EXAMPLE = """\
modelctl import faces.keras --name faces --runtime litert --labels faces.txt
  modelctl import --measure faces --samples faces/*.jpg"""

#: Arguments that are fields of `input`.
_PIXELS = ("scale", "mean", "std")


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "check a model file, convert it if asked, and add it to the registry"
    parser = command(commands, "import", run, does, _EXAMPLE)
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        metavar="PATH",
        help=f"{source.EXPECTED}; or a folder with one of these and what belongs to it",
    )
    parser.add_argument("--name", metavar="N", help="the model's name in the registry")
    parser.add_argument(
        "--runtime",
        choices=tuple(runtimes.TABLE),
        help="the model's runtime; default: the one for its file type; litert converts a Keras model or SavedModel",
    )
    parser.add_argument(
        "--quantize",
        choices=("none", "float16", "int8"),
        default="none",
        help="make a converted model smaller: float16 by half, int8 by three quarters; default: none",
    )
    parser.add_argument(
        "--samples",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="inputs to check the model with; default: made-up ones",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a file with one label per line; default: labels.txt next to the model",
    )
    parser.add_argument("--signature", metavar="NAME", help="which of the model's signatures to serve")
    parser.add_argument(
        "--output",
        metavar="NAME",
        help="the output that predictions are made from, if the model has several; default: all of them",
    )
    parser.add_argument(
        "--scale",
        type=float,
        metavar="NUMBER",
        help="for images: factor for pixel values of 0 to 255, such as 0.00392157",
    )
    parser.add_argument(
        "--mean",
        nargs="+",
        type=float,
        metavar="NUMBER",
        help="for images: what is subtracted after scaling, per channel",
    )
    parser.add_argument(
        "--std",
        nargs="+",
        type=float,
        metavar="NUMBER",
        help="for images: what the difference is divided by, per channel",
    )
    parser.add_argument(
        "--include",
        nargs="+",
        default=[],
        metavar="FILE",
        help="further files or folders in the model's folder to copy, such as a vocabulary that its hooks read",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="import a converted model even if its answers differ from the original's; its entry records by how much",
    )
    parser.add_argument(
        "--no-timing",
        action="store_true",
        help="do not measure how much faster a converted model is, which takes a while",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace the artifact of the model of that name; its entry stays as it is",
    )
    parser.add_argument(
        "--measure",
        metavar="NAME",
        help="import nothing; instead, measure whether the rows of this model of the registry are independent of each "
        "other and how much memory they need, and write batch.rows and limits.records into its entry",
    )
    add_registry(parser)
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FILE",
        help="the file in the registry's folder to add the entry to, such as model_registry.d/vision.yaml; "
        "created if it does not exist; default: the registry's main file",
    )


def run(called: argparse.Namespace) -> int:
    """Show what was proved and written."""
    _check(called)
    if called.measure is not None:
        return _measure(called)
    wanted = importer.Wanted(
        path=called.path,
        name=called.name,
        runtime=called.runtime,
        quantize=called.quantize,
        signature=called.signature,
        labels=called.labels,
        samples=called.samples,
        registry=called.registry,
        replace=called.replace,
        output=called.output,
        pixels={name: getattr(called, name) for name in _PIXELS if getattr(called, name) is not None},
        include=called.include,
        accept=called.accept,
        timing=not called.no_timing,
        into=called.into,
    )
    if called.into:
        registry_file.check_place(called.registry, called.into)
    try:
        done = importer.run(wanted)
    except OSError as problem:
        raise UserError(f"{problem}: fix that, then run the command again") from problem
    if called.json:
        print_json(done)
        return 0
    for line in _says(done):
        console.out(line)
    for line in done["next"]:
        console.note(line)
    return 0


def _check(called: argparse.Namespace) -> None:
    """Refuse arguments that do not go together, as argparse does."""
    importing = {
        "PATH": called.path,
        "--name": called.name,
        "--runtime": called.runtime,
        "--quantize": called.quantize != "none",
        "--labels": called.labels,
        "--signature": called.signature,
        "--replace": called.replace,
        "--output": called.output,
        **{f"--{name}": getattr(called, name) is not None for name in _PIXELS},
        "--include": called.include,
        "--accept": called.accept,
        "--no-timing": called.no_timing,
        "--into": called.into,
    }
    if called.measure is None:
        if missing := [argument for argument in ("PATH", "--name") if importing[argument] is None]:
            called.parser.error(
                f"an import needs {' and '.join(missing)}; to measure a model of the registry, use --measure NAME"
            )
    elif given := [argument for argument, value in importing.items() if value]:
        called.parser.error(f"--measure uses the model as its entry describes it: leave out {', '.join(given)}")


def _measure(called: argparse.Namespace) -> int:
    """Show what was measured and written."""
    done = measuring.run(called.measure, called.samples, called.registry)
    if called.json:
        print_json(done)
        return 0
    for line in done["says"]:
        console.out(line)
    fields = [f"{section}.{field}" for section, inner in done["written"].items() for field in inner]
    changed = f"now has {' and '.join(fields)}" if fields else "stays as it is"
    console.out(f"entry: models.{done['model']} of {done['registry']} {changed}")
    return 0


def _says(done: Mapping[str, Any]) -> Iterator[str]:
    """What was done, as lines."""
    inputs = f"{done['inputs']['count']} inputs ({done['inputs']['from']})"
    if done["parity"] is None:
        yield f"check: {done['runtime']} answers {inputs}"
    for proof in done["parity"] or ():
        same = "" if proof["agreement"] is None else f"; the same class for {proof['agreement']:.0%}"
        yield (
            f"parity: over {inputs}, {proof['output']} differs by at most {proof['largest_error']:.2g}, which is "
            f"{proof['relative_error']:.2g} of its largest number; {proof['allowed']:.2g} is allowed{same}"
            + ("; accepted" if proof["accepted"] else "")
        )
    for measure, name in {"cold_ms": "cold start", "warm_ms": "warm call"}.items() if done["speedup"] else ():
        times = done["speedup"][measure]
        yield (
            f"{name}: {_number(times['original'])} ms before, {_number(times['converted'])} ms converted: "
            f"{_number(times['ratio'])} times as fast"
        )
    yield from done["says"]
    if done["left_behind"]:
        left = model_files.listed(done["left_behind"])
        yield f"not copied: {left}; --include copies files that belong to the model, such as those that its hooks read"
    size = packages.for_people(done["bytes"])
    yield f"artifact: {done['artifact']} ({', '.join(done['files'])}; {size}), digest {done['digest']}"
    if done["replaced"]:
        says = f"; it says: {done['accepted']}" if done["accepted"] else ""
        yield f"entry: models.{done['model']} stays as it is, its version too; the artifact's digest is a new one{says}"
    else:
        yield f"entry, added to {done['registry']}:"
        yield render(done["model"], done["entry"], Layout(), done["accepted"]).rstrip()


def _number(number: float) -> str:
    """A number with its significant digits."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
