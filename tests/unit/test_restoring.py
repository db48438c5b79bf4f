"""A function that was idle refuses its calls while Lambda restores it: a direct call waits, `predict` waits longer."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inference.keys import result_key
from modelctl import console, paths
from modelctl.deployed import direct, predictions, restoring
from modelctl.errors import UserError
from unit.deployed import model
from unit.functions.boto_s3 import BotoClient, client_error
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3

DIGITS = model("digits/")
PENDING = "The operation cannot be performed at this time. The function is currently in the following state: Pending"
INITIALIZING = "Lambda is initializing your function. It will be ready to invoke shortly."
RESTORING = (
    client_error(409, "CodeArtifactUserPendingException", INITIALIZING),
    client_error(409, "ResourceConflictException", PENDING),
    client_error(502, "ResourceNotReadyException"),
    client_error(502, "ENINotReadyException"),
)


class FakeLambda:
    """A function that answers its calls with what is given, in turn; an exception is raised."""

    def __init__(self, answers: Iterable[Any], states: Iterable[Any] = ()) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self._states: Iterator[Any] = iter(states)
        self.calls: list[dict[str, Any]] = []

    def invoke(self, **call: Any) -> Any:
        """One call."""
        self.calls.append(call)
        return self._next(self._answers)

    def get_function_configuration(self, **_: Any) -> Any:
        """Its configuration; only the state matters."""
        return {"State": self._next(self._states)}

    @staticmethod
    def _next(answers: Iterator[Any]) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(document: Any, **more: str) -> dict[str, Any]:
    return {"Payload": BytesIO(json.dumps(document).encode()), **more}


def deployment(functions: FakeLambda, s3: Any = None) -> Any:
    return SimpleNamespace(inputs=INPUTS, results=RESULTS, s3=s3, functions=functions, function_settings=functions)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each wait, none of which actually pass."""
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append, monotonic=lambda: sum(waited))
    monkeypatch.setattr(direct, "time", clock)
    return waited


def test_a_direct_call_waits_until_the_function_is_restored(passed: list[float]) -> None:
    functions = FakeLambda([*RESTORING, answer({"predictions": [1]})])
    said: list[str] = []
    assert direct.call(deployment(functions), DIGITS, b"{}", said.append) == {"predictions": [1]}
    assert functions.calls == [{"FunctionName": "yard-digits", "Qualifier": "live", "Payload": b"{}"}] * 5
    assert said == ["yard-digits was idle; Lambda is restoring it, which takes a minute or two"] * 4
    assert sum(passed) == 4 * 3


@pytest.mark.parametrize(
    "error",
    [
        client_error(429, "TooManyRequestsException"),
        client_error(500, "ServiceException"),
        client_error(502, "CodeArtifactUserFailedException"),
        client_error(403, "AccessDeniedException"),
    ],
    ids=lambda error: error.response["Error"]["Code"],
)
def test_a_call_that_failed_otherwise_is_made_once(passed: list[float], error: ClientError) -> None:
    functions = FakeLambda([error])
    with pytest.raises(ClientError) as raised:
        direct.call(deployment(functions), DIGITS, b"{}", lambda _: None)
    assert raised.value is error
    assert len(functions.calls) == 1


def test_an_error_of_the_function_is_made_once(passed: list[float]) -> None:
    functions = FakeLambda([RESTORING[0], answer({"errorMessage": "no model"}, FunctionError="Unhandled")])
    with pytest.raises(UserError, match="the function of digits failed: no model"):
        direct.call(deployment(functions), DIGITS, b"{}", lambda _: None)
    assert len(functions.calls) == 2


def test_a_function_that_is_not_restored_is_given_up_with_what_to_do(passed: list[float]) -> None:
    functions = FakeLambda([RESTORING[1]] * 1000)
    with pytest.raises(
        UserError, match=r"was not called: .* within 300 s.*--function-name yard-digits --qualifier live"
    ):
        direct.call(deployment(functions), DIGITS, b"{}", lambda _: None)
    assert sum(passed) == 303


def test_the_registry_counts_on_the_same_time() -> None:
    merge = (paths.TERRAFORM / "modules" / "registry" / "merge.tf").read_text()
    assert re.findall(r"_restored_within_s = (\d+)", merge) == [str(restoring.SLOWEST_S)]


# --- predict ----------------------------------------------------------------------------------------------------------


def test_predict_waits_longer_than_an_input_that_was_not_received_takes_to_come_back() -> None:
    assert predictions.longest_wait_s(DIGITS) == 120 + 361 + 60


def test_predict_says_that_the_function_is_being_restored_for_as_long_as_results_wait_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a function that is restored after two looks, and a result that comes after the fourth."""
    monkeypatch.setattr(predictions, "_LOOK_EVERY_S", 0.01)
    (tmp_path / "7.png").write_bytes(b"scan")
    s3, said = FakeS3(), list[str]()

    def update(text: str) -> None:
        said.append(text)
        if len(said) == 4:
            document = {"input": {"version_id": s3.objects[INPUTS, "digits/7.png"][0].version_id}, "predictions": [7]}
            s3.upload(RESULTS, result_key("digits", "digits/7.png"), json.dumps(document).encode())

    monkeypatch.setattr(console, "step", lambda _: nullcontext(update))
    functions = FakeLambda([], ["Active", "Inactive", "Pending", *["Active"] * 1000])
    (result,) = predictions.predict(deployment(functions, BotoClient(s3)), DIGITS, [tmp_path / "7.png"])
    assert result["predictions"] == [7]
    waiting = (
        "0 of 1 results have arrived; yard-digits was idle and Lambda had to restore it; inputs that it refused "
        "meanwhile are tried again after 361 s"
    )
    assert said[:4] == ["0 of 1 results have arrived", *[waiting] * 3]


def test_who_may_not_read_the_functions_state_is_told_none() -> None:
    functions = FakeLambda([], [client_error(403, "AccessDeniedException")])
    assert restoring.state(deployment(functions), DIGITS) == ""
