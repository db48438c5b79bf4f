"""The check of a new version, which proves that it can serve before the alias `live` moves to it.

Terraform calls every new version once (terraform/modules/model/proof.tf). The event has exactly one field:

    {"modelyard_check": {"samples": [
        {"file": "samples/3.png", "body": "<base64>", "predictions": [{"label": "3"}], "tolerance": 0.001}]}}

The samples are the registry entry's `smoke`. Each is decoded and answered like an upload with the name of its file;
without `predictions` (null), any answer is accepted. The call fails with a `ModelError` that gives the reason, or
returns what is served, with null for an open length:

    {"model": "digits", "version": "1", "digest": "<64 hex>", "samples": 1, "signature": {"name": "serving_default",
     "inputs": [{"name": "scan", "shape": [null, 8, 8, 1], "dtype": "float32"}],
     "outputs": [{"name": "scores", "shape": [null, 10], "dtype": "float32"}]}}

A check is not an input: it has no result, and no metric counts it.
"""

import base64
import binascii
import contextlib
import json
import logging
import math
from dataclasses import dataclass
from typing import Any

from inference import CHECK, decoders
from inference.config import Config
from inference.errors import InputError, ModelError
from inference.fetch import check_size
from inference.predictor import Predictor
from inference.runtimes import Specs

logger = logging.getLogger(__name__)

#: The most samples of one check.
MOST_SAMPLES = 20

#: The most characters of a sample's path.
LONGEST_FILE = 1024

#: The most characters of a JSON value in a message.
_LONGEST = 300

#: An image of one pixel.
_PNG = base64.b64decode(b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


@dataclass(frozen=True)
class Sample:
    """An input with its expected answer."""

    #: Its path relative to the registry, which messages name; its suffix selects the decoder.
    file: str
    body: bytes
    #: The expected part of the result's `predictions`; None: any.
    predictions: list[Any] | None
    #: How far numbers may differ: relative to the larger one, or absolute if both are less than 1.
    tolerance: float


def serve(call: Any, config: Config, predictor: Predictor) -> dict[str, Any]:
    """Prove that the model can serve.

    Raises:
        ModelError: it cannot be loaded, does not fit its registry entry or does not answer a sample as expected, or the
            event does not have the form above.
    """
    samples = _samples(call)
    model = predictor.load()
    try_decoder(config, predictor)
    predictor.try_zeros()
    problems = [problem for sample in samples if (problem := _problem(sample, config, predictor))]
    if problems:
        raise ModelError(
            f"the model {config.name} does not answer {len(problems)} of {len(samples)} smoke samples as expected: "
            + "; ".join(problems)
        )
    logger.info("checked", extra={"model": config.name, "digest": config.digest, "samples": len(samples)})
    return {
        "model": config.name,
        "version": config.version,
        "digest": config.digest,
        "samples": len(samples),
        "signature": {
            "name": config.signature,
            "inputs": _described(model.inputs),
            "outputs": _described(model.outputs),
        },
    }


def _samples(call: Any) -> list[Sample]:
    match call:
        case {"samples": list(samples)} if len(call) == 1 and len(samples) <= MOST_SAMPLES:
            return [_sample(sample) for sample in samples]
    raise ModelError(f'expected {{"{CHECK}": {{"samples": [...]}}}} with at most {MOST_SAMPLES} samples')


def _sample(sample: Any) -> Sample:
    match sample:
        case {
            "file": str(file),
            "body": str(body),
            "predictions": list() | None as predictions,
            "tolerance": int() | float() as tolerance,
        } if len(sample) == 4 and len(file) <= LONGEST_FILE and tolerance >= 0:
            with contextlib.suppress(binascii.Error, ValueError):
                return Sample(file, base64.b64decode(body, validate=True), predictions, tolerance)
    raise ModelError(
        f"a sample of a {CHECK} has a file (a path), a body (base64), predictions (a list or null) and a tolerance (a "
        "number from 0), and nothing else"
    )


def try_decoder(config: Config, predictor: Predictor) -> None:
    """Decode a minimal input of the model's format: it shows without a sample whether entry and signature fit.

    Raises:
        ModelError: it does not fit, or the package lacks what the decoder needs.
    """
    if predictor.preprocess is not None:
        return
    body = _PNG if config.input.format == "image" else b"0"
    try:
        with contextlib.suppress(InputError):
            decoders.decode("", body, config.input, predictor.inputs)
    except ImportError as error:
        raise ModelError(f"the decoder for input.format {config.input.format} cannot be imported: {error}") from error


def _problem(sample: Sample, config: Config, predictor: Predictor) -> str | None:
    """What is wrong with the answer to a sample.

    Raises:
        ModelError: the failure is not the sample's fault.
    """
    # The key that `modelctl predict` would upload it under.
    key = config.route.prefixes[0] + sample.file.rpartition("/")[2]
    expected = "any predictions" if sample.predictions is None else _text(sample.predictions)
    try:
        check_size(len(sample.body), config.input.limits.bytes)
        instances = decoders.decode(key, sample.body, config.input, predictor.inputs, predictor.preprocess)
        got = json.loads(predictor.predict(instances).json)
    except InputError as error:
        return f"{sample.file}: expected {expected}, got {type(error).__name__}: {error}"
    except ModelError as error:
        raise ModelError(f"the model {config.name} fails on the smoke sample {sample.file}: {error}") from error
    if sample.predictions is None or _agrees(got, sample.predictions, sample.tolerance):
        return None
    return f"{sample.file}: expected {expected}, got {_text(got)}"


def _agrees(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether a value of a result is as expected; members that the expected object leaves out do not count."""
    match expected, got:
        case dict(), dict():
            return all(name in got and _agrees(got[name], value, tolerance) for name, value in expected.items())
        case list(), list():
            return len(got) == len(expected) and all(
                _agrees(one, other, tolerance) for one, other in zip(got, expected, strict=True)
            )
        case (bool(), _) | (_, bool()):
            return expected is got
        case (int() | float(), int() | float()):
            # An integer may be beyond a float's range.
            with contextlib.suppress(OverflowError):
                return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
            return False
    return bool(expected == got)


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _described(specs: Specs) -> list[dict[str, Any]]:
    """Names, shapes and types of tensors for JSON."""
    return [
        {
            "name": spec.name,
            "shape": None if spec.shape is None else list(spec.shape),
            "dtype": "string" if spec.dtype.kind == "O" else spec.dtype.name,
        }
        for spec in specs
    ]
