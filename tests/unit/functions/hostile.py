"""What may come of an object, whatever is in it; decoded in a process of its own, whose end and memory count as well.

Needs nothing but what the function has, so that the coverage-guided fuzzer of `make soak` runs it, too.
"""

import ctypes
import os
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from inference import decoders, errors, events, keys, tensors
from inference.config import InputConfig
from inference.limits import max_tensor_bytes
from inference.runtimes import Specs, TensorSpec
from inference.tensors import Instances

#: A result's error is read by people, whatever the input holds.
LONGEST_MESSAGE = 650

#: The memory size of the function that the objects are decoded for.
MEMORY_MB = 256

#: How much of it decoding may take, beside the object itself. A function with LiteRT has taken 76 MB of it by then.
DECODING_MB = 144

#: Decoding takes seconds where an object is as large as may be; it is ended where it takes longer than a function may.
TIMEOUT_S = 60

MODELS: dict[str, Specs] = {
    "row": (TensorSpec("x", (None, 3), np.dtype(np.float32)),),
    "integers": (TensorSpec("n", (None, 2), np.dtype(np.int32)),),
    "texts": (TensorSpec("text", (None,), np.dtype(object)),),
    "several": (TensorSpec("a", (None,), np.dtype(np.float32)), TensorSpec("b", (None, 1), np.dtype(np.int64))),
    "flags": (TensorSpec("flag", (None, 2), np.dtype(np.bool_)),),
    "scan": (TensorSpec("scan", (None, 8, 8, 1), np.dtype(np.uint8)),),
    "photo": (TensorSpec("photo", (None, None, None, 3), np.dtype(np.float32)),),
    "channels first": (TensorSpec("photo", (None, 3, None, None), np.dtype(np.float32)),),
    "vector": (TensorSpec("v", (3,), np.dtype(np.float16)),),
    "anything": (TensorSpec("x", None, np.dtype(np.float32)),),
}

#: Which of them can have the formats that ask something of the signature; the others' entries would be at fault.
_FITTING = {"image": ("scan", "photo", "channels first", "anything"), "text": ("texts",), "raw": ("texts", "scan")}


def models(input_format: str) -> list[str]:
    """The models whose registry entry may name this format."""
    return sorted(_FITTING.get(input_format, MODELS))


def decode(key: str, body: bytes, model: str, input_format: str = "json", **fields: Any) -> str:
    """Decode an object; "instances", or the name of the error that its result would have.

    Raises:
        AssertionError: what comes of it does not fit the signature, or its error is no text for a result.
        Exception: anything else, which would send the message back to the queue or end the environment.
    """
    specs = MODELS[model]
    try:
        instances = decoders.decode(key, body, InputConfig(input_format, **fields), specs)
    except errors.InputError as error:
        return _name(error)
    check(instances, specs, finite=key.removesuffix(".gz").endswith((".json", ".jsonl", ".csv")))
    return "instances"


def request(event: Any, model: str) -> str:
    """Read the body of a direct call; "instances", or the name of the error that it answers with.

    Raises:
        AssertionError, Exception: as for `decode`.
    """
    specs = MODELS[model]
    try:
        instances = tensors.from_request(event, specs, InputConfig("json"))
    except errors.InputError as error:
        return _name(error)
    check(instances, specs, finite=True)
    return "instances"


def check(instances: Instances, specs: Specs, *, finite: bool) -> None:
    """Compare instances with the signature that they were decoded for."""
    if instances.count == 0:
        return
    assert set(instances.tensors) == {spec.name for spec in specs}
    for spec in specs:
        array = instances.tensors[spec.name]
        assert array.dtype == spec.dtype, f"{array.dtype} for {spec.dtype}"
        if spec.shape is not None:
            assert array.ndim == len(spec.shape)
            assert all(length in (None, found) for length, found in zip(spec.shape, array.shape, strict=True))
        if instances.count is not None:
            assert len(array) == instances.count
        if array.dtype.kind == "O":
            assert all(type(element) is bytes for element in array.flat)
        elif array.dtype.kind == "f" and finite:
            assert np.isfinite(array).all()
        elif array.dtype.kind == "b":
            assert np.isin(array.view(np.uint8), (0, 1)).all()
    assert instances.size <= max_tensor_bytes()


def announce(body: str) -> str:
    """Read the body of a message; how many objects it announces, or the name of the error.

    Raises:
        AssertionError, Exception: as for `decode`.
    """
    try:
        uploads = events.announcement(body).uploads
    except errors.MessageError as error:
        return _name(error)
    for uploaded in uploads:
        uploaded.is_folder_marker()
        keys.has_foreign_suffix(uploaded.key, ("digits/",), (".png",))
        f"{uploaded.bucket}{uploaded.key}{uploaded.version_id}{uploaded.etag}{uploaded.sequencer}".encode()
    return f"{len(uploads)} objects"


def _name(error: Exception) -> str:
    message = str(error)
    assert 0 < len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
    message.encode()
    assert type(error) is not errors.InputError, "a kind of error that says nothing"
    return type(error).__name__


class Process:
    """A process that decodes one object after the other; a new one takes the place of one that ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, key: str, body: bytes, model: str, input_format: str = "json", **fields: Any) -> tuple[str, float]:
        """As the function of that name, and the MB that it took beside the object.

        Raises:
            AssertionError: the process ended, or what was raised there.
        """
        if self._process is None:
            # Not by `-m` of the tests' own package, whose parts import pytest and TensorFlow.
            paths = os.pathsep.join(path for path in sys.path if path)
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PYTHONPATH": paths, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB)},
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            pickle.dump((key, body, model, input_format, fields), stdin)
            stdin.flush()
            outcome, taken_mb = pickle.load(stdout)  # noqa: S301 - this file wrote it
        except (EOFError, BrokenPipeError) as error:
            status = self._process.wait()
            self._process = None
            raise AssertionError(f"the process ended with status {status}") from error
        if isinstance(outcome, Exception):
            raise AssertionError(f"raised {outcome!r}") from outcome
        return outcome, taken_mb

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _serve() -> None:
    """Decode what comes in, until nothing does."""
    if sys.platform == "linux":
        # So that what goes wrong here does not fill the machine.
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints must not come between the answers.
    os.dup2(2, 1)
    while True:
        try:
            key, body, model, input_format, fields = pickle.load(requests)  # noqa: S301 - this file wrote it
        except EOFError:
            return
        signal.alarm(TIMEOUT_S)
        before_mb = _forget_peak_mb()
        outcome: Any
        try:
            outcome = decode(key, body, model, input_format, **fields)
        except Exception as error:
            outcome = AssertionError(f"{type(error).__name__}: {str(error)[:500]}")
        signal.alarm(0)
        pickle.dump((outcome, _memory_mb("VmHWM") - before_mb), answers)
        answers.flush()


def _forget_peak_mb() -> float:
    """Begin to measure the most memory anew; gives what is taken now."""
    if sys.platform == "linux":
        # What was freed goes back to the system, or taking it again would not be seen.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return _memory_mb("VmRSS")


def _memory_mb(field: str) -> float:
    """One of the process's own numbers; 0 if the system does not provide it."""
    if sys.platform != "linux":
        return 0
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


if __name__ == "__main__":
    _serve()
