"""The processes of an import: each loads a model with the code that serves it, or converts it, and answers in JSON.

`python -m modelctl.importing.child` reads a request from standard input. A failure is the answer's `error`; what
libraries print goes to standard error.
"""

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from inference import check, decoders
from inference import config as configuration
from inference.errors import InputError, ModelError, PredictionError, ServiceError, TooLargeError
from inference.fetch import check_size
from inference.predictor import Predictor
from inference.rows import Rows, fixed_rows, rows_of
from inference.runtimes import Specs, TensorSpec
from inference.tensors import Instances
from modelctl import runtimes
from modelctl.errors import UserError
from modelctl.importing import inputs, measurement, proof

#: The most rows of samples that are compared.
_MOST_ROWS = 200
#: How many warm calls are timed, and for how many milliseconds at most.
_WARM_CALLS = 30
_WARM_MS = 2000
#: Of an error.
_MOST_CHARACTERS = 600

#: What to do about errors of libraries about a file.
_WAYS_OUT = {
    r"(?:Could not locate (?:class|function)|Unknown layer:) '(?:Custom>)?(\w+)'": "it needs the code of {0}, which is "
    "not in the file: import its SavedModel instead (model.export, where that code is)",
    r"No model config found": "it contains only weights: save the whole model (`model.save(file)`) and import that",
}

Request = dict[str, Any]


def main() -> int:
    """Answer one request."""
    answer_stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answer_stream:
        json.dump(answered(json.load(sys.stdin)), answer_stream)
    return 0


def answered(request: Request) -> dict[str, Any]:
    """The answer to a request, or what is wrong with the request."""
    try:
        return _DOES[request.pop("do")](request)
    except ModelError as problem:
        labels = request.get("labels") if str(problem).startswith("output.labels") else None
        return {"error": _on_one_line(f"{labels}: {problem}" if labels else _explain(str(problem)))}
    except (InputError, ServiceError, UserError) as problem:
        return {"error": _on_one_line(str(problem))}


def prepare(request: Request) -> dict[str, Any]:
    """Find inputs that the model answers differently, and keep them with its answers.

    Request: `environment` of the function; `samples`, files to take the inputs from, else they are made up;
    `choose_input`, whether the signature decides how inputs are decoded; `pixels`, what `input` then says of scale,
    mean and std; `labels`, the file of the labels, or null; `inputs` and `answers`, the files to write.
    Answer: `input` of the registry entry, or null; where `pixels` says nothing, whether `float_pixels` are its pixels
    as floats, and whether `stored_pixels` are scaled as the model is quantized; how many `inputs` there are; the
    `outputs`, in words, if a new entry's predictions have several; `too_many`, the samples with more rows than the
    `records` that an input may have, each with its number of rows; `low`, the limits that the model cannot keep, in
    words.
    """
    chosen = None
    environment = request["environment"]
    config = _config(environment)
    predictor = Predictor(config)
    specs = predictor.inputs
    samples = [Path(sample) for sample in request["samples"]]
    if request["choose_input"] and (chosen := inputs.fields(specs, samples, config.input, request["pixels"])):
        model = json.loads(environment["MODELYARD_MODEL"])
        model["input"] |= chosen
        environment = {**environment, "MODELYARD_MODEL": json.dumps(model)}
        config = _config(environment)
    entry = configuration.read(environment)
    check.try_decoder(entry, predictor)
    records, too_many = entry.input.limits.records, {}
    if samples:
        decoded = _decoded(samples, config, predictor)
        counts = {name: len(inputs.rows(found, specs)) for name, found in decoded.items()}
        too_many = {name: count for name, count in counts.items() if count > records}
        pairs, origins = _answer_samples(predictor, decoded)
    else:
        pairs = _answer_made_up(predictor, inputs.made_up(specs))
        origins = ["a made-up input"] * len(pairs)
    if rows_of(specs, None) is Rows.OPEN and not proof.any_differ([outputs for _, outputs in pairs]):
        together = _answer_together(predictor, pairs)
        pairs, origins = (together, ["rows together"] * len(together)) if together else (pairs, origins)
    answers = [outputs for _, outputs in pairs]
    proof.check_answers(answers, origins, has_inputs=bool(specs))
    _predict(predictor, pairs[0][0], origins[0])
    inputs.save(Path(request["inputs"]), [tensors for tensors, _ in pairs])
    inputs.save(Path(request["answers"]), answers)
    unsaid = chosen is not None and chosen.get("format") == "image" and not request["pixels"]
    stored = unsaid and specs[0].holds_bytes
    several = request["choose_input"] and config.output.name is None and len(answers[0]) > 1
    return {
        "input": chosen,
        "float_pixels": unsaid and specs[0].dtype.kind == "f" and not stored,
        "stored_pixels": stored and specs[0].quantization is not None,
        "inputs": len(pairs),
        "outputs": [_described(spec) for spec in predictor.load().outputs] if several else [],
        "records": records,
        "too_many": too_many,
        "low": list(_low_limits(entry.input, specs)),
    }


def answer(request: Request) -> dict[str, Any]:
    """Answer the inputs that `prepare` kept.

    Request: `environment`, `inputs`; `started`, the time at which the process was; `answers`, the file to write, or
    null.
    Answer: milliseconds from the process's start to the first prediction, and of a warm call.
    """
    predictor = Predictor(_config(request["environment"]))
    tensors = inputs.load(Path(request["inputs"]))
    missing = {spec.name for spec in predictor.inputs} - set(tensors[0])
    if missing:
        raise UserError(f"the converted model has inputs that the original lacks: {', '.join(sorted(missing))}")
    predictor.outputs(Instances(tensors[0], 1))
    cold_ms = (time.time() - request["started"]) * 1000
    if request["answers"]:
        inputs.save(Path(request["answers"]), [predictor.outputs(Instances(named, 1)) for named in tensors])
    warm: list[float] = []
    while len(warm) < _WARM_CALLS and sum(warm) < _WARM_MS:
        before = time.perf_counter()
        predictor.outputs(Instances(tensors[0], 1))
        warm.append((time.perf_counter() - before) * 1000)
    return {"cold_ms": cold_ms, "warm_ms": statistics.median(warm)}


def measure(request: Request) -> dict[str, Any]:
    """Measure whether the model's rows are independent of each other, and what memory they take.

    Request: `environment`; `inputs`, the file of the inputs that `prepare` kept, or null; then `samples` are the files
    to take the inputs from, if there are any.
    Answer: the fields of `measurement.Measured`.
    """
    config = _config(request["environment"])
    predictor = Predictor(config)
    if request["inputs"]:
        given = inputs.load(Path(request["inputs"]))
    else:
        samples = [Path(sample) for sample in request["samples"]]
        given = [found.tensors for found in _decoded(samples, config, predictor).values()]
    function = measurement.Function(
        batch_rows=runtimes.TABLE[config.runtime].batch_rows,
        memory_mb=int(request["environment"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        records=configuration.read(request["environment"]).input.limits.records,
    )
    return vars(measurement.measure(predictor.load(), given, function))


def convert(request: Request) -> dict[str, Any]:
    """Convert a model to LiteRT; the request holds the arguments of `convert.convert`."""
    from modelctl.importing.convert import convert as to_litert

    paths = {name: Path(request[name]) for name in ("source", "representative", "target")}
    to_litert(signature=request["signature"], quantize=request["quantize"], **paths)
    return {}


def compare(request: Request) -> dict[str, Any]:
    """Compare the answers in two files; the request holds the other arguments of `proof.compare`."""
    original, converted = (inputs.load(Path(request.pop(name))) for name in ("original", "converted"))
    return {"proofs": [vars(found) for found in proof.compare(original, converted, **request)]}


def _config(environment: Mapping[str, str]) -> configuration.Config:
    """The function's configuration without the entry's settings for rows, which are to be found out.

    Rows are not limited either: more of them than an input may have can be a sequence.
    """
    config = configuration.read(environment)
    limits = replace(config.input.limits, records=sys.maxsize)
    return replace(config, input=replace(config.input, batch=configuration.BatchConfig(), limits=limits))


def _on_one_line(problem: str) -> str:
    """A library's message of many lines, on one line."""
    text = " ".join(problem.split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"


def _explain(problem: str) -> str:
    """What a library says or, if it is known, what to do about it."""
    for sign, way_out in _WAYS_OUT.items():
        if found := re.search(sign, problem):
            return f"{problem.split(':')[0]}: {way_out.format(*found.groups())}"
    return problem


def _low_limits(entry: configuration.InputConfig, specs: Specs) -> Iterator[str]:
    """The limits of an entry that are too low for its model, each with a sufficient value."""
    limits, fixed = entry.limits, fixed_rows(specs)
    if entry.batch.rows is None and rows_of(specs, None) is Rows.FIXED and fixed and fixed > limits.records:
        yield (
            f"limits.records is {limits.records}, but a call of the model takes {fixed} rows, so every list of "
            f"instances is refused: set it to {fixed} or more"
        )
    row = sum(spec.instance_size or 0 for spec in specs if spec.dtype.kind != "O")
    if entry.format == "raw" and row > limits.bytes:
        yield (
            f"limits.bytes is {limits.bytes}, but a row of the model takes {row} bytes as raw, so every such upload is "
            "refused: raise it"
        )


def _described(spec: TensorSpec) -> str:
    """A tensor in words."""
    kind = "strings" if spec.dtype.kind == "O" else spec.dtype.name
    shape = spec.shape and f" [{', '.join('any' if length is None else str(length) for length in spec.shape)}]"
    return f"{spec.name} ({kind}{shape or ''})"


def _decoded(samples: Sequence[Path], config: configuration.Config, predictor: Predictor) -> dict[str, Instances]:
    """The sample files, by name, as the function would decode them."""
    settings = config.input
    if rows_of(predictor.inputs, None) is Rows.OPEN:
        # It may be a sequence instead of a batch; the bytes of a file then fill it.
        settings = replace(settings, batch=configuration.BatchConfig(rows=0))
    decoded = {}
    preprocess = predictor.preprocess
    for sample in samples:
        try:
            body = sample.read_bytes()
            check_size(len(body), config.input.limits.bytes)
            if preprocess:
                found = preprocess(decoders.content(sample.name, body, config.input.limits), sample.name)
            else:
                found = decoders.decode(sample.name, body, settings, predictor.inputs)
        except OSError as problem:
            raise UserError(f"the sample {sample} cannot be read: {problem.strerror}") from problem
        except InputError as problem:
            raise UserError(f"the sample {sample} is not an input of this model: {problem}") from problem
        decoded[str(sample)] = found
    return decoded


def _answer_samples(
    predictor: Predictor, samples: Mapping[str, Instances]
) -> tuple[list[tuple[inputs.Tensors, inputs.Tensors]], list[str]]:
    """The answers to the rows of samples, with the origin of each; to a whole sample if the model refuses its rows."""
    pairs: list[tuple[inputs.Tensors, inputs.Tensors]] = []
    origins: list[str] = []
    for sample, whole in samples.items():
        rows = inputs.rows(whole, predictor.inputs)[: _MOST_ROWS - len(pairs)]
        try:
            for number, row in enumerate(rows, 1):
                origin = f"{sample}, row {number}" if len(rows) > 1 else sample
                pairs.append((row.tensors, predictor.outputs(row)))
                origins.append(origin)
        except PredictionError as problem:
            refusal = UserError(f"the model refuses the sample {origin}: {problem}")
            if number > 1 or len(rows) == 1:
                raise refusal from problem
            try:
                pairs.append((whole.tensors, predictor.outputs(whole)))
                origins.append(sample)
            except PredictionError:
                raise refusal from problem
    return pairs, origins


def _answer_made_up(
    predictor: Predictor, instances: Sequence[Instances]
) -> list[tuple[inputs.Tensors, inputs.Tensors]]:
    """The made-up inputs that the model answers: it may refuse some, such as a number beyond its vocabulary."""
    pairs = []
    refusal: PredictionError | None = None
    for found in instances:
        try:
            outputs = predictor.outputs(found)
        except PredictionError as problem:
            refusal = problem
            continue
        if all(proof.is_finite(array) for array in outputs.values()):
            pairs.append((found.tensors, outputs))
    if not pairs:
        why = str(refusal) if refusal else "its answers were NaN or infinite"
        raise UserError(f"the model has no answer to made-up inputs; give real ones with --samples: {why}")
    return pairs


def _answer_together(
    predictor: Predictor, pairs: Sequence[tuple[inputs.Tensors, inputs.Tensors]]
) -> list[tuple[inputs.Tensors, inputs.Tensors]]:
    """The answers to half of the inputs in one call, and to the other half: a row alone may show nothing about a model.

    Empty if the model refuses such a call, or if these answers are the same as well.
    """
    middle = len(pairs) // 2
    together = []
    for half in (pairs[:middle], pairs[middle:]):
        try:
            tensors = {name: np.concatenate([given[name] for given, _ in half]) for name in pairs[0][0]}
            together.append((tensors, predictor.outputs(Instances(tensors, len(half)))))
        except (PredictionError, ValueError):  # it refuses them, or they differ in shape
            return []
    answers = [outputs for _, outputs in together]
    finite = all(proof.is_finite(array) for outputs in answers for array in outputs.values())
    return together if finite and proof.any_differ(answers) else []


def _predict(predictor: Predictor, tensors: inputs.Tensors, origin: str) -> None:
    """Check that an answer makes a prediction: what a signature leaves open about its outputs, only an answer shows."""
    try:
        predictor.predict(Instances(tensors, 1))
    except TooLargeError:
        pass  # in the memory of the entry, which may get more
    except InputError as problem:
        raise UserError(f"the model's answer to {origin} cannot be turned into a prediction: {problem}") from problem


_DOES: dict[str, Callable[[Request], dict[str, Any]]] = {
    "prepare": prepare,
    "answer": answer,
    "measure": measure,
    "convert": convert,
    "compare": compare,
}


if __name__ == "__main__":
    sys.exit(main())
