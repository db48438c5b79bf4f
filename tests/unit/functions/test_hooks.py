"""A model's own code: what it may do, and whose fault it is when that goes wrong."""

import gzip
import io
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference import HOOKS_FILE, direct
from inference.config import Config
from inference.errors import ModelError
from inference.limits import MAX_BYTES
from inference.predictor import Predictor
from modelctl import paths
from modelctl.runtime_api import run_handler
from unit.functions.artifacts import Artifacts
from unit.functions.fake_s3 import RESULTS, FakeS3
from unit.functions.loopback import access, served_s3
from unit.functions.test_cold_start import loaded_modules

Announce = Callable[..., dict[str, Any]]
Serve = Callable[..., list[str]]
Result = Callable[[str], Any]
Hooked = Callable[[str, str], str]

#: Three numbers of one digit; what the model gives of them, in words.
PREPROCESS = """
import numpy as np

def preprocess(body, key):
    return np.array([[int(digit) for digit in body.decode()]])
"""
POSTPROCESS = """
def postprocess(outputs):
    ((name, scores),) = outputs.items()
    return {"of": name, "odd": bool(scores[0] >= 0.5)}
"""


# What they may do


@pytest.mark.parametrize("artifact", ["odds.tflite", "odds.saved_model"])
def test_preprocess_takes_the_place_of_the_decoder_and_postprocess_that_of_labels(
    artifact: str, hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    messages = [announce("digits/a.png", b"000"), announce("digits/b.csv", b"123")]
    assert serve(messages, hooked(artifact, PREPROCESS + POSTPROCESS)) == []
    assert result("digits/a.png")["predictions"] == [{"of": "output_0", "odd": True}]
    (prediction,) = result("digits/b.csv")["predictions"]
    assert prediction["of"] == "output_0"


def test_a_file_with_preprocess_only_leaves_labels_as_they_are(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    serve([announce("digits/a", b"000")], hooked("odds.tflite", PREPROCESS), labels=["even", "odd"], top_k=1)
    assert result("digits/a")["predictions"] == [{"label": "even", "score": 0.5, "top": [["even", 0.5]]}]


def test_a_file_with_postprocess_only_leaves_decoding_as_it_is(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    messages = [announce("digits/a.csv", b"0,0,0\n0,0,0\n"), announce("digits/b.csv", b"0,0")]
    assert serve(messages, hooked("odds.tflite", POSTPROCESS)) == []
    assert result("digits/a.csv")["predictions"] == [{"of": "output_0", "odd": True}] * 2
    assert result("digits/b.csv")["error"]["type"] == "ShapeError"


def test_several_inputs_and_outputs_go_by_name(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result, artifacts: Artifacts
) -> None:
    source = """
import numpy as np

def preprocess(body, key):
    return {"b": np.ones((2, 2)), "a": np.zeros((2, 3))}

def postprocess(outputs):
    return {name: array.tolist() for name, array in outputs.items()}
"""
    assert serve([announce("digits/a", b"x")], hooked("two.tflite", source)) == []
    expected = artifacts.two({"a": np.zeros((1, 3)), "b": np.ones((1, 2))})
    for prediction in result("digits/a")["predictions"]:
        assert prediction["p"] == pytest.approx(np.asarray(expected["p"])[0].tolist(), abs=1e-5)
        assert prediction["q"] == pytest.approx(np.asarray(expected["q"])[0].tolist(), abs=1e-5)


@pytest.mark.parametrize("array", ["np.array(words)", "np.array(words, object)", "np.array([b'a', b'b'])"])
def test_strings_may_be_of_any_kind_that_numpy_has(
    array: str, hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    source = f"import numpy as np\ndef preprocess(body, key):\n    words = body.decode().split()\n    return {array}\n"
    assert serve([announce("digits/a", b"a b")], hooked("signatures.saved_model", source), signature="shout") == []
    assert [prediction["loud"] for prediction in result("digits/a")["predictions"]] == ["A", "B"]


def test_a_gzipped_object_is_unpacked_and_the_key_comes_as_it_is(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    source = """
import numpy as np

def preprocess(body, key):
    return np.full((1, 3), float(body == b"plain" and key == "digits/a b.gz"))

def postprocess(outputs):
    return bool(outputs["output_0"][0] != 0.5)
"""
    message = announce("digits/a b.gz", gzip.compress(b"plain"))
    assert serve([message], hooked("odds.tflite", source)) == []
    assert result("digits/a b.gz")["predictions"] == [True]


def test_what_they_define_beside_the_functions_is_theirs(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    source = """
from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

logger = logging.getLogger(__name__)


@dataclass
class Answer:
    count: int


served = 0


def postprocess(outputs):
    global served
    served += 1
    logger.info("the answer is %d", served)
    return asdict(Answer(served))
"""
    serve([announce("digits/a.json", b"[[0, 0, 0], [0, 0, 0]]")], hooked("odds.tflite", source))
    assert result("digits/a.json")["predictions"] == [{"count": 1}, {"count": 2}]


def test_the_limits_hold_before_hooks_see_the_bytes(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    source = "def preprocess(body, key):\n    raise AssertionError('it was called')\n"
    messages = [
        announce("digits/bomb.gz", gzip.compress(bytes(MAX_BYTES + 1))),
        announce("digits/large", b"x", size=MAX_BYTES + 1),
        announce("digits/empty", b""),
        announce("digits/no.gz", b"no gzip"),
    ]
    assert serve(messages, hooked("odds.tflite", source)) == []
    expected = {
        "bomb.gz": "TooLargeError",
        "large": "TooLargeError",
        "empty": "EmptyInputError",
        "no.gz": "DecodeError",
    }
    assert {name: result(f"digits/{name}")["error"]["type"] for name in expected} == expected


def test_a_direct_call_passes_them_by(hooked: Hooked, make_config: Callable[..., Config]) -> None:
    config = make_config(hooked("odds.tflite", PREPROCESS + POSTPROCESS))
    answer = direct.serve({"instances": [[0, 0, 0]]}, config, Predictor(config), cold_start=False)
    assert answer == {"predictions": [[0.5]]}


# The input's fault


def test_they_may_refuse_an_input(hooked: Hooked, announce: Announce, serve: Serve, result: Result) -> None:
    source = """
from inference.errors import DecodeError, InputError
import numpy as np

class BlurredError(InputError):
    def __init__(self, seconds, by):
        super().__init__(f"hold it still for {seconds} s")

def preprocess(body, key):
    if body == b"bad":
        raise DecodeError("no scan of ours")
    return np.full((1, 3), float(body))

def postprocess(outputs):
    if outputs["output_0"][0] != 0.5:
        raise BlurredError(2, by="hand")
    return "sharp"
"""
    messages = [announce(f"digits/{body}", body.encode()) for body in ("0", "bad", "1")]
    for artifact in ("odds.tflite", "odds.saved_model"):
        assert serve(messages, hooked(artifact, source)) == []
        assert result("digits/0")["predictions"] == ["sharp"]
        assert result("digits/bad")["error"] == {"type": "DecodeError", "message": "no scan of ours"}
        assert result("digits/1")["error"] == {"type": "BlurredError", "message": "hold it still for 2 s"}


def test_an_input_with_too_many_rows_is_refused_and_one_without_has_no_predictions(
    hooked: Hooked, announce: Announce, serve: Serve, result: Result
) -> None:
    source = "import numpy as np\ndef preprocess(body, key):\n    return np.zeros((int(body), 3))\n"
    messages = [announce("digits/none", b"0"), announce("digits/many", b"10001")]
    assert serve(messages, hooked("odds.tflite", source)) == []
    assert result("digits/none")["predictions"] == []
    assert result("digits/many")["error"]["type"] == "TooLargeError"


# The model's fault


FAULTS = {
    "preprocess raises": ("preprocess", "return {}['scan']", "preprocess raised KeyError: 'scan' (line 5)"),
    "preprocess exits": ("preprocess", "exit(3)", "preprocess raised SystemExit: 3 (line 5)"),
    "preprocess is interrupted": (
        "preprocess",
        "raise KeyboardInterrupt",
        "preprocess raised KeyboardInterrupt (line 5)",
    ),
    "a list": ("preprocess", "return [[0, 0, 0]]", "preprocess returned list; expected {'x': 'ndarray'}"),
    "nothing": ("preprocess", "return None", "preprocess returned NoneType; expected {"),
    "another name": (
        "preprocess",
        "return {'scan': np.zeros((1, 3))}",
        "preprocess returned {'scan': 'ndarray'}; expected",
    ),
    "another shape": ("preprocess", "return np.zeros((1, 4))", "tensors that do not fit: "),
    "another kind": ("preprocess", "return np.array([['a', 'b', 'c']])", "expected numbers (float32)"),
    "postprocess raises": (
        "postprocess",
        "return helper()",
        "raised ZeroDivisionError: division by zero (line 13)",
    ),
    "NaN": ("postprocess", "return {'score': float('nan')}", "postprocess returned a value that is not JSON: "),
    "a value of numpy's": (
        "postprocess",
        "return {'score': outputs['output_0'][0]}",
        "convert numpy values with .tolist()",
    ),
    "an array": ("postprocess", "return outputs", "Object of type ndarray is not JSON serializable"),
    "what holds itself": ("postprocess", "held = []; held.append(held); return held", "Circular reference"),
    "half a character": ("postprocess", "return '\\ud800'", "surrogates not allowed"),
}


@pytest.mark.parametrize("artifact", ["odds.tflite", "odds.saved_model"])
@pytest.mark.parametrize(("function", "body", "message"), FAULTS.values(), ids=FAULTS)
def test_what_they_do_wrong_sends_that_message_back_and_no_other(
    artifact: str,
    function: str,
    body: str,
    message: str,
    hooked: Hooked,
    announce: Announce,
    serve: Serve,
    result: Result,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = {"preprocess": "pass", "postprocess": "pass"} | {function: body}
    source = f"""import numpy as np

def preprocess(body, key):
    if body == b"wrong":
        {wrong["preprocess"]}
    return np.full((1, 3), len(body) - 5.0)

def postprocess(outputs):
    if outputs["output_0"][0] == 0.5:
        {wrong["postprocess"]}
    return "good"

def helper(): return 1 / 0
"""
    messages = [announce(f"digits/{number}", body) for number, body in enumerate((b"one", b"wrong", b"three3"))]
    assert serve(messages, hooked(artifact, source)) == [messages[1]["messageId"]]
    assert result("digits/0")["predictions"] == result("digits/2")["predictions"] == ["good"]
    assert result("digits/1") is None
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ModelError)
    assert message in str(record.exc_info[1])
    # In the line of JSON, the message comes before the stack.
    assert record.getMessage() == (f"not served; its message goes back to the queue: ModelError: {record.exc_info[1]}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "defines neither preprocess nor postprocess: define one, or leave hooks out"),
        ("def preprocess(body, key)\n    pass\n", r"cannot be run: SyntaxError: .*line 1"),
        ("\nimport nowhere\n", r"the file raised ModuleNotFoundError: No module named 'nowhere' \(line 2\)"),
        ("raise SystemExit(3)\n", r"the file raised SystemExit: 3 \(line 1\)"),
        ("from inference.errors import DecodeError\nraise DecodeError('x')\n", "cannot be run: DecodeError: x"),
        ("\0", "cannot be run: "),
    ],
)
def test_a_file_that_is_no_hooks_fails_the_load_with_the_way_out(
    source: str, message: str, hooked: Hooked, make_predictor: Callable[..., Predictor]
) -> None:
    with pytest.raises(ModelError, match=message):
        make_predictor(hooked("odds.tflite", source)).load()


def test_postprocess_beside_labels_fails_the_load(hooked: Hooked, make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor(hooked("odds.tflite", POSTPROCESS), labels=["even", "odd"], top_k=1)
    with pytest.raises(ModelError, match=r"postprocess replaces output\.labels, output\.top_k: remove these fields"):
        predictor.load()


# What they cost


def test_the_artifact_stays_as_it_was_published(
    hooked: Hooked, artifacts: Artifacts, make_predictor: Callable[..., Predictor]
) -> None:
    folder = artifacts.folder(hooked("odds.tflite", POSTPROCESS))
    before = sorted(folder.rglob("*"))
    make_predictor(folder.name).load()
    assert sorted(folder.rglob("*")) == before


def test_a_model_without_them_loads_no_code_for_them(
    hooked: Hooked, environment: Callable[..., dict[str, str]]
) -> None:
    for artifact, loads in (("odds.tflite", False), (hooked("odds.tflite", POSTPROCESS), True)):
        loaded = loaded_modules(environment(artifact, "litert"), "import inference.handler")
        assert ("inference.hooks" in loaded) == loads


# The example of docs/hooks.md

MODELS = paths.CHECKOUT / "models"


def scan(*files: str, cut: int = 0) -> bytes:
    """Samples side by side as one scan, with this many columns missing."""
    file = io.BytesIO()
    pixels = [np.asarray(Image.open(MODELS / "digits" / "samples" / name).convert("L")) for name in files]
    Image.fromarray(np.hstack(pixels)[:, cut:]).save(file, "PNG")
    return file.getvalue()


def test_the_example_reads_whole_numbers_under_awslambdaric(
    tmp_path: Path,
    environment: Callable[..., dict[str, str]],
    announce: Announce,
    fake_s3: FakeS3,
) -> None:
    shutil.copytree(MODELS / "digits" / "artifact", tmp_path / "digits")
    source = (MODELS / "numbers" / "hooks.py").read_text() + "\n\nprint('hooks are here')\n"
    (tmp_path / "digits" / HOOKS_FILE).write_text(source)
    messages = [
        announce("digits/120.png", scan("scan-0011.png", "scan-0012.png", "scan-0030.png")),
        announce("digits/text.png", b"no picture"),
        announce("digits/crooked.png", scan("scan-0011.png", "scan-0012.png", cut=1)),
    ]
    with served_s3(fake_s3) as endpoint:
        variables = environment("digits", "litert", MODELYARD_WEIGHTS=str(tmp_path), **access(endpoint))
        run = run_handler("inference.handler.handler", [{"Records": messages}], variables)
    assert run.answers == [{"batchItemFailures": []}]
    names = ("120", "text", "crooked")
    number, *refused = (
        json.loads(fake_s3.objects[RESULTS, f"digits/digits/{name}.png.json"][-1].body) for name in names
    )
    assert number["predictions"] == [
        {"digit": 1, "sure": True},
        {"digit": 2, "sure": True},
        {"digit": 0, "sure": True},
    ]
    assert [document["error"]["type"] for document in refused] == ["DecodeError"] * 2
    assert refused[1]["error"]["message"] == "15 x 8 pixels are not a row of up to 20 squares"
    assert "hooks are here" in run.output
