"""Proves that a converted model gives the same answers as the original."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.runtimes import Array
from modelctl.errors import UserError
from modelctl.importing.source import LESS

Answers = Sequence[Mapping[str, Array]]

#: Numbers that differ by less than this share of the largest of them count as the same answer.
_SAME = 1e-3


@dataclass(frozen=True)
class Tolerance:
    """What a conversion may change.

    Args:
        error: the largest difference of a number, as a share of the output's largest number or, if that is below 1,
            of 1.
        spread: the same, as a share of how far the outputs for different inputs are apart: a small output would pass
            the first limit with any answer.
        agreement: the share of inputs for which the best class, or a whole number or text, must be the same.
    """

    error: float
    spread: float
    agreement: float


#: float16 keeps 11 bits of a weight; int8 keeps 8, and 8 of the values between the layers as well.
TOLERANCES = {
    "none": Tolerance(error=1e-4, spread=0.1, agreement=1.0),
    "float16": Tolerance(error=1e-2, spread=0.1, agreement=0.9),
    "int8": Tolerance(error=0.1, spread=0.25, agreement=0.9),
}


@dataclass(frozen=True)
class Proof:
    """How far an output of a converted model is from the original's.

    Args:
        inputs: how many were compared.
        output: its name.
        largest_error: the largest difference of a number.
        relative_error: the same as a share of the largest number of the original's output.
        allowed: how large the difference may be.
        agreement: the share of the inputs with the same best class, or the same whole number or text; None for numbers
            that are not scores of classes.
        accepted: what was accepted that would otherwise have been refused; None: nothing.
    """

    inputs: int
    output: str
    largest_error: float
    relative_error: float
    allowed: float
    agreement: float | None
    accepted: str | None = None


def check_answers(answers: Answers, origins: Sequence[str], *, has_inputs: bool = True) -> None:
    """Refuse answers that prove nothing about a model: numbers that are not finite, or the same for all inputs.

    Raises:
        UserError: what is wrong and how to do better.
    """
    for origin, answer in zip(origins, answers, strict=True):
        for name, array in answer.items():
            if not is_finite(array):
                raise UserError(
                    f"the model answers {origin} with NaN or infinity in {name}: such an input gets no prediction"
                )
    if has_inputs and not any_differ(answers):
        raise UserError(
            f"the model gives the same answer to all {len(answers)} inputs, which proves nothing about it: with "
            "--samples, give inputs that it answers differently. A model that has not been trained yet has none"
        )


def any_differ(answers: Answers) -> bool:
    """Whether an output differs between inputs."""
    return len(answers) > 1 and any(_differ([answer[name] for answer in answers]) for name in answers[0])


def is_finite(array: Array) -> bool:
    """Whether all numbers of an array are finite."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def compare(
    originals: Answers, converted: Answers, quantize: str, *, real: bool = False, accept: bool = False
) -> list[Proof]:
    """Prove that two models give the same answers, output by output.

    Args:
        originals: the original's answers to each input, after `check_answers`.
        converted: the converted model's answers to the same inputs.
        quantize: a key of `TOLERANCES`.
        real: whether the inputs are samples instead of made up.
        accept: whether numbers may differ by more than is allowed. Answers that are not numbers, or have another shape,
            are always refused.

    Raises:
        UserError: the answers differ.
    """
    proofs = []
    for name in originals[0]:
        if name not in converted[0]:
            raise UserError(f"the converted model lacks the output {name}; it has {', '.join(converted[0])}")
        pairs = [(before[name], after[name]) for before, after in zip(originals, converted, strict=True)]
        for before, after in pairs:
            if before.shape != after.shape:
                raise UserError(
                    f"{name} has the shape {list(after.shape)} once converted, but {list(before.shape)} before"
                )
        proof = _compare_output(name, pairs, quantize)
        if proof.accepted and not (accept and np.isfinite(proof.largest_error)):
            ways = _ways_out(quantize, real=real)
            raise UserError(f"the converted model's answers differ from the original's: {proof.accepted}; {ways}")
        proofs.append(proof)
    return proofs


def _ways_out(quantize: str, *, real: bool) -> str:
    if not real:
        other = f"quantize less than {quantize}" if quantize != "none" else "import it with `--runtime tensorflow`"
        return f"give real inputs with --samples, or {other}"
    learns = "give more samples to calibrate it with, " if quantize == "int8" else ""
    return (
        f"{learns}{'or ' if learns else ''}use {LESS[quantize]} instead; if the difference does not matter, --accept "
        "imports the model anyway, and its entry says so"
    )


def _compare_output(name: str, pairs: Sequence[tuple[Array, Array]], quantize: str) -> Proof:
    """How far an output is from the original's; `accepted` says what exceeds the tolerance."""
    tolerance = TOLERANCES[quantize]
    scores = pairs[0][0].dtype.kind == "f"
    error, largest, spread = _measures(pairs) if scores else (0.0, 0.0, 0.0)
    allowed = tolerance.error * max(1.0, largest)
    if spread:
        allowed = min(allowed, tolerance.spread * spread)
    agreement = _agreement(pairs)
    wrong = None
    if not error <= allowed:
        wrong = f"{name} differs by up to {error:.3g}, but only {allowed:.3g} is allowed"
    # The best of nearly equal scores may change even without quantization.
    elif agreement is not None and agreement < tolerance.agreement and not (scores and quantize == "none"):
        wrong = f"{name} is the same for {agreement:.0%} of the inputs, but {tolerance.agreement:.0%} is expected"
    return Proof(len(pairs), name, error, error / largest if largest else 0.0, allowed, agreement, wrong)


def _measures(pairs: Sequence[tuple[Array, Array]]) -> tuple[float, float, float]:
    """The largest difference, the largest number of the original, and how far its answers are apart."""
    error = max(float(np.abs(_wide(before) - _wide(after)).max(initial=0)) for before, after in pairs)
    if not all(is_finite(after) for _, after in pairs):
        error = float("inf")
    originals = [_wide(before) for before, _ in pairs]
    return error, max(float(np.abs(array).max(initial=0)) for array in originals), _spread(originals)


def _agreement(pairs: Sequence[tuple[Array, Array]]) -> float | None:
    first = pairs[0][0]
    if first.dtype.kind == "f":
        if first.ndim != 2 or first.shape[1] < 2:
            return None
        same = [np.array_equal(before.argmax(axis=1), after.argmax(axis=1)) for before, after in pairs]
    else:
        same = [np.array_equal(before, after) for before, after in pairs]
    return sum(same) / len(same)


def _differ(arrays: Sequence[Array]) -> bool:
    first = arrays[0]
    if any(array.shape != first.shape for array in arrays):
        return True
    if first.dtype.kind != "f":
        return any(not np.array_equal(array, first) for array in arrays)
    largest = max(float(np.abs(_wide(array)).max(initial=0)) for array in arrays)
    return _spread([_wide(array) for array in arrays]) > _SAME * largest


def _spread(arrays: Sequence[Array]) -> float:
    """The largest spread of any one number across several arrays; 0 if their shapes differ."""
    if any(array.shape != arrays[0].shape for array in arrays):
        return 0.0
    return float(np.ptp(np.stack(arrays), axis=0).max(initial=0))


def _wide(array: Array) -> Array:
    """In a type in which differences of float32 are exact enough."""
    return array.astype(np.float64)
