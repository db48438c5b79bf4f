"""Turns a model file into an artifact and an entry of the registry, or leaves everything unchanged."""

import re
import shlex
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference import HOOKS_FILE
from modelctl import console, paths, runtimes
from modelctl.errors import UserError
from modelctl.importing import children, measuring, source
from modelctl.importing.source import LABELS
from modelctl.registry import registry_file, registry_text, validation

#: The number of cold starts of each of the two models; the medians are compared.
RUNS = 3

#: The start of the comment in an entry whose model was accepted although its answers differ from the original's.
_ACCEPTED = "accepted at import"


@dataclass(frozen=True)
class Wanted:
    """What the user wants.

    Args:
        path: the model.
        name: the model's name in the registry.
        runtime: the runtime to use; None: that of its entry, otherwise the one it is for.
        quantize: none, float16 or int8.
        signature: which of the model's signatures is served; None: that of its entry, otherwise the default.
        labels: a file with labels; None: the labels next to the model.
        samples: inputs of the model; none: they are made up.
        registry: the registry's file.
        replace: whether the artifact of an existing model is replaced.
        output: the output that predictions are made from; None: that of its entry, otherwise all of them.
        pixels: those of `scale`, `mean` and `std` of `input` that are given.
        include: paths relative to the model's folder that belong to the model.
        accept: whether the answers of a converted model may differ from the original's.
        timing: whether the cold starts of both models are timed.
        into: the file of the registry that a new entry is added to; None: its main file.
    """

    path: Path
    name: str
    runtime: str | None
    quantize: str
    signature: str | None
    labels: Path | None
    samples: Sequence[Path]
    registry: Path
    replace: bool
    output: str | None = None
    pixels: Mapping[str, Any] = field(default_factory=dict)
    include: Sequence[str] = ()
    accept: bool = False
    timing: bool = True
    into: Path | None = None


def run(wanted: Wanted) -> dict[str, Any]:
    """Check the model, convert it if requested, write the artifact and the entry, and return what was done.

    Raises:
        UserError: why not; then neither the artifact nor the registry has changed.
    """
    measuring.check_samples(wanted.samples)
    artifact = wanted.registry.parent / "models" / wanted.name / "artifact"
    existing = _existing(wanted, artifact)
    named_labels = existing["document"]["output"].get("labels") if existing else None
    labels = named_labels or LABELS
    given = source.read(wanted.path, wanted.labels, labels, wanted.include)
    if existing:
        given = given.including(existing["files"].keys() - {labels, HOOKS_FILE})
    runtime = source.choose_runtime(
        given, wanted.runtime or (existing["runtime"] if existing else None), wanted.quantize
    )
    source.check_files(given)
    if existing:
        _check_entry(wanted, existing, runtime)
    with _scratch(wanted.registry.parent / "models") as scratch:
        original = scratch / "original"
        original.mkdir()
        given.stage(original, labels)
        if named_labels and not (original / labels).exists():
            # An entry that is kept names them.
            source.place(artifact / labels, original / labels)
        hooks = existing["files"].get(HOOKS_FILE) if existing else None
        if hooks:
            shutil.copyfile(hooks["source"], original / HOOKS_FILE)
        pixels = {"format": "image", **wanted.pixels} if wanted.pixels else None
        fields = _fields(wanted, original, runtime=given.runtime, input_fields=pixels)
        normal = existing or _served(wanted, {**fields, "artifact": str(original.absolute())})
        trial = _Trial(scratch, normal, given, runtime, wanted)
        found = trial.prepare(choose_input=existing is None, labels=given.labels)
        converts = runtime != given.runtime
        proofs = trial.convert() if converts else None
        speedup = trial.speedup() if converts and wanted.timing else None
        accepted = _accepted(proofs or [])
        measured = trial.measure("converted" if converts else "original")
        (original / HOOKS_FILE).unlink(missing_ok=True)
        kept = normal["document"]["batch"].get("rows")
        fields = _fields(wanted, original, runtime=runtime, input_fields=found["input"])
        fields |= measuring.fields(measured, kept)
        with _in_place(scratch / ("converted" if converts else "original"), artifact, scratch / "before"):
            final = _keep_entry(wanted, accepted) if existing else _write_entry(wanted, fields, accepted)
    files = [file for file in artifact.rglob("*") if file.is_file()]
    return {
        "model": wanted.name,
        "registry": str(wanted.registry),
        "artifact": str(artifact),
        "files": sorted(file.relative_to(artifact).as_posix() for file in files),
        "bytes": sum(file.stat().st_size for file in files),
        "left_behind": given.left_behind(),
        "digest": final["digest"],
        "runtime": runtime,
        "quantize": wanted.quantize,
        "inputs": {"count": found["inputs"], "from": "samples" if wanted.samples else "made up"},
        "parity": proofs,
        "accepted": accepted,
        "speedup": speedup,
        "measured": measured,
        "says": list(measuring.says(measured, kept, writes=existing is None)),
        "entry": None if existing else fields,
        "replaced": existing is not None,
        "next": _next(wanted, existing, found, final, measured),
    }


def _next(
    wanted: Wanted,
    existing: Mapping[str, Any] | None,
    found: Mapping[str, Any],
    final: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> list[str]:
    """What the user still has to do."""
    document = final["document"]
    steps = []
    if found["float_pixels"]:
        learned = (
            ", and import it again with --replace: int8 was calibrated with pixels of 0 to 255"
            if wanted.quantize == "int8"
            else ""
        )
        steps.append(
            f"models.{wanted.name}.input: pixels go in as 0 to 255, because no signature says what the model was "
            "trained on; for another range, add `scale` (or import with --scale), such as 0.00392157 for 0 to 1"
            f"{learned}"
        )
    if found["outputs"]:
        steps.append(
            f"models.{wanted.name}.output: the model has {' and '.join(found['outputs'])}, so a prediction is an "
            "object with all of them; to get only one, add `name` (or import with --output); labels require it"
        )
    for sample, count in found["too_many"].items() if document["batch"].get("rows") != 0 else ():
        steps.append(
            f"the sample {sample} has {count} rows, but models.{wanted.name}.limits.records allows {found['records']}: "
            "an upload of it would be refused; raise that, or send fewer rows at once"
        )
    if found["stored_pixels"]:
        steps.append(
            f"models.{wanted.name}.input: scale and mean are the file's own quantization, so the model gets pixels as "
            "they are, 0 to 255, as most quantized models expect; change them if its documentation says otherwise"
        )
    if not existing and (found["input"] or {}).get("format") == "image":
        steps.append(
            f"models.{wanted.name}.input: images are resized as Pillow and torchvision do it; if the model was "
            "trained with Keras's image_dataset_from_directory, a Resizing layer or tf.image.resize, add `resample: "
            "keras`; with load_img, `resample: nearest`; with a bicubic filter, `resample: bicubic`"
        )
    steps += [f"models.{wanted.name}.{limit}" for limit in found["low"]]
    if wanted.quantize == "int8" and not wanted.samples:
        steps.append("int8 was calibrated with made-up inputs: import it again with --replace --samples")
    if existing and LABELS in final["files"] and "labels" not in document["output"]:
        steps.append(f"models.{wanted.name}.output names no labels: add `output: {{labels: {LABELS}}}` to use them")
    if existing:
        steps += measuring.contradictions(wanted.name, document, measured)
    return [*steps, _serve(wanted.registry)]


def _serve(registry: Path) -> str:
    """How to serve what a registry has. The commands take any registry but the checkout's by name."""
    up, apply = "modelctl up", "modelctl apply --target aws"
    if registry.resolve() != paths.REGISTRY.resolve():
        up += f" --registry {shlex.quote(str(registry))}"
        apply = f"TF_VAR_registry_file={shlex.quote(str(registry.resolve()))} {apply}"
    return f"`{up}` serves it on the local stack, `{apply}` on AWS"


def _existing(wanted: Wanted, artifact: Path) -> dict[str, Any] | None:
    """The normal form of the model's entry, if the registry has one, whose artifact can be replaced.

    Raises:
        UserError: the registry is missing, or the artifact's path is taken by something else or must not be replaced.
    """
    # All files are read before anything else, so that one that is not YAML is found early.
    entries = [registry_file.models_in(registry_file.read(file)) for file in validation.files(wanted.registry)]
    models = {name: entry for found in reversed(entries) for name, entry in found.items()}
    if wanted.name in models:
        existing: dict[str, Any] = validation.load(wanted.registry)[wanted.name]
        named = wanted.registry.parent / models[wanted.name]["artifact"]
        if named.resolve() != artifact.resolve():
            raise UserError(
                f"the registry already has a model {wanted.name}, but its artifact is {named}, where imports do "
                f"not write: move that to {artifact} and name it in the entry, or import under another name"
            )
        if not wanted.replace:
            raise UserError(
                f"the registry already has a model {wanted.name}: run this again with --replace to replace "
                f"{artifact}, or import under another name"
            )
        return existing
    if artifact.exists():
        raise UserError(
            f"{artifact} exists, but no entry of {wanted.registry} names it: move it elsewhere and import it from there"
        )
    return None


def _check_entry(wanted: Wanted, existing: Mapping[str, Any], runtime: str) -> None:
    """Refuse arguments that contradict an entry that is kept."""
    document = existing["document"]
    said = {
        "runtime": document["runtime"],
        "signature": document["signature"],
        "output.name": document["output"].get("name"),
    }
    said |= {f"input.{name}": document["input"].get(name) for name in wanted.pixels}
    asked = {"runtime": runtime, "signature": wanted.signature, "output.name": wanted.output}
    asked |= {f"input.{name}": value for name, value in wanted.pixels.items()}
    for name, value in asked.items():
        if value not in (None, said[name]):
            has = f"the {name} {said[name]}" if said[name] is not None else f"no {name}"
            raise UserError(
                f"models.{wanted.name} has {has}, but the import asks for {value}: an existing entry is kept as it is, "
                "so change it first, or import under another name"
            )


def _fields(wanted: Wanted, original: Path, *, runtime: str, input_fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """A new entry, with what is certain about the model."""
    fields: dict[str, Any] = {"artifact": f"models/{wanted.name}/artifact", "version": "1", "runtime": runtime}
    if wanted.signature:
        fields["signature"] = wanted.signature
    if input_fields:
        fields["input"] = dict(input_fields)
    output = {"name": wanted.output} if wanted.output else {}
    if (original / LABELS).exists():
        output["labels"] = LABELS
    return {**fields, "output": output} if output else fields


def _accepted(proofs: Sequence[Mapping[str, Any]]) -> str | None:
    """The comment on what was accepted in a conversion, if anything was."""
    accepted = [proof["accepted"] for proof in proofs if proof["accepted"]]
    return f"{_ACCEPTED} (--accept): {'; '.join(accepted)}" if accepted else None


class _Trial:
    """The original and the converted model, as the function would load them, in separate processes.

    Args:
        scratch: a folder that contains the folder `original`; all others are created in it.
        served: the normal form of the model's entry.
        given: the original.
        runtime: what the model will run on.
        wanted: what the user asks for.
    """

    def __init__(
        self, scratch: Path, served: Mapping[str, Any], given: source.Source, runtime: str, wanted: Wanted
    ) -> None:
        self._scratch = scratch
        self._served = served
        self._given = given
        self._runtimes = {"original": given.runtime, "converted": runtime}
        self._wanted = wanted
        self._inputs = scratch / "inputs.npz"

    def prepare(self, *, choose_input: bool, labels: Path | None) -> dict[str, Any]:
        """Load the original, and find inputs that it answers differently."""
        runtime = self._runtimes["original"]
        with console.step(f"trying the model with {runtime}"):
            return children.ask(
                f"loading {self._wanted.path} with {runtime}",
                "prepare",
                environment=self._environment("original"),
                samples=[str(sample) for sample in self._wanted.samples],
                choose_input=choose_input,
                pixels=dict(self._wanted.pixels),
                labels=str(labels) if labels else None,
                inputs=str(self._inputs),
                answers=str(self._answers("original")),
            )

    def convert(self) -> list[dict[str, Any]]:
        """Convert the model to LiteRT, prove that it answers as before, and return the proof of each output."""
        original, converted = self._scratch / "original", self._scratch / "converted"
        converted.mkdir()
        # A SavedModel is its whole folder.
        file = (file for file in original.iterdir() if file.suffix == self._given.kind)
        with console.step("converting it to LiteRT"):
            children.ask(
                f"converting {self._wanted.path}",
                "convert",
                way_out=f"import it with {source.LESS[self._wanted.quantize]} instead",
                source=str(next(file, original)),
                signature=self._served["document"]["signature"],
                quantize=self._wanted.quantize,
                representative=str(self._inputs),
                target=str(converted / "model.tflite"),
            )
        # Everything else in its folder belongs to it: labels, or a vocabulary that hooks read.
        kinds = runtimes.TABLE[self._given.runtime].files
        besides = shutil.ignore_patterns(*(f"*{kind}" for kind in kinds), *source.SAVED_MODEL_PARTS, ".*")
        shutil.copytree(original, converted, ignore=besides, dirs_exist_ok=True)
        with console.step("comparing its answers with the original's"):
            self._answer("converted", answers=str(self._answers("converted")))
            found = children.ask(
                "comparing the answers",
                "compare",
                original=str(self._answers("original")),
                converted=str(self._answers("converted")),
                quantize=self._wanted.quantize,
                real=bool(self._wanted.samples),
                accept=self._wanted.accept,
            )
        proofs: list[dict[str, Any]] = found["proofs"]
        return proofs

    def speedup(self) -> dict[str, Any]:
        """How much faster the converted model is: medians in milliseconds, and their ratio."""
        runs: dict[str, list[dict[str, float]]] = {"original": [], "converted": []}
        with console.step("timing cold starts of both") as update:
            for run in range(RUNS):
                update(f"{run} of {RUNS} done")
                for name, answers in runs.items():
                    answers.append(self._answer(name, answers=None))
        speedup: dict[str, Any] = {}
        for measure in ("cold_ms", "warm_ms"):
            medians = {name: statistics.median(answer[measure] for answer in answers) for name, answers in runs.items()}
            speedup[measure] = {**medians, "ratio": medians["original"] / medians["converted"]}
        return speedup

    def measure(self, name: str) -> dict[str, Any]:
        """Measure how the rows of the model that will be served may be called."""
        try:
            return measuring.ask(str(self._wanted.path), self._environment(name), inputs=self._inputs)
        except UserError as problem:
            # Without the field, the model is called with one input at a time, as it was here.
            return measuring.failed(str(problem))

    def _answer(self, name: str, answers: str | None) -> dict[str, Any]:
        return children.ask(
            f"running the {name} model",
            "answer",
            environment=self._environment(name),
            inputs=str(self._inputs),
            answers=answers,
            started=time.time(),
        )

    def _answers(self, name: str) -> Path:
        return self._scratch / f"{name}.npz"

    def _environment(self, name: str) -> dict[str, str]:
        runtime = self._runtimes[name]
        return measuring.environment(self._wanted.name, self._served, self._scratch / name, runtime=runtime)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for work in progress: hidden, and next to the artifacts, so that a result can be moved in one step."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=folder))
    except OSError as problem:
        raise UserError(f"the folder for artifacts, {folder}, cannot be written: {problem.strerror}") from problem
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _in_place(new: Path, artifact: Path, before: Path) -> Iterator[None]:
    """Put a new artifact in place of the previous one, if any; if the next steps fail, everything is restored."""
    made = not artifact.parent.exists()
    replaced = artifact.exists()
    artifact.parent.mkdir(exist_ok=True)
    if replaced:
        artifact.rename(before)
    try:
        new.rename(artifact)
        yield
    except BaseException:
        if artifact.exists():
            artifact.rename(new)
        if replaced:
            before.rename(artifact)
        elif made:
            artifact.parent.rmdir()
        raise


def _served(wanted: Wanted, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The normal form of a new entry.

    Raises:
        UserError: the registry has problems with the entry.
    """
    begun = registry_file.read_or_begin(wanted.registry, wanted.into or wanted.registry)
    text = registry_text.insert(begun, wanted.name, fields)
    model: dict[str, Any] = registry_file.check(wanted.registry, text, _explain(wanted), wanted.into)[wanted.name]
    return model


def _keep_entry(wanted: Wanted, accepted: str | None) -> dict[str, Any]:
    """Make an entry's comment say only what was accepted in its new artifact, and return the entry's normal form."""

    def change(text: str) -> str:
        return registry_text.comment(text, wanted.name, _ACCEPTED, accepted)

    file = registry_file.holding(wanted.registry, wanted.name)
    text = registry_file.read(file)
    same = change(text) == text
    models = (
        validation.load(wanted.registry)
        if same
        else registry_file.write(wanted.registry, change, _explain(wanted), file)
    )
    model: dict[str, Any] = models[wanted.name]
    return model


def _write_entry(wanted: Wanted, fields: Mapping[str, Any], accepted: str | None) -> dict[str, Any]:
    """Add a new entry to the registry, if Terraform then accepts it, and return the entry's normal form."""

    def add(text: str) -> str:
        return registry_text.insert(text, wanted.name, fields, accepted)

    model: dict[str, Any] = registry_file.write(wanted.registry, add, _explain(wanted), wanted.into)[wanted.name]
    return model


def _explain(wanted: Wanted) -> Callable[[str], str]:
    """A function that formats the registry's problems with the new entry, which has no lines yet."""

    def explain(problems: str) -> str:
        says = re.sub(rf"(?m)^.*?(?=models\.{re.escape(wanted.name)}\b)|^", "  ", problems)
        return f"nothing was imported, since with the model the registry would have problems:\n{says}"

    return explain
