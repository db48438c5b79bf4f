"""A new environment loads what it needs and nothing else; under awslambdaric, as on Lambda."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modelctl import paths
from modelctl.runtime_api import run_handler
from unit.functions.fake_s3 import RESULTS, FakeS3
from unit.functions.loopback import access, served_s3

HEAVY = {"boto3", "botocore", "urllib3", "tensorflow", "keras", "PIL", "concurrent.futures", "http.client", "sqlite3"}


def loaded_modules(environment: dict[str, str], statement: str) -> set[str]:
    """The modules that are loaded after a statement, in a process of its own."""
    script = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"PYTHONPATH": str(paths.FUNCTIONS)},
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(finished.stdout.splitlines()[-1]))


def third_party(modules: set[str]) -> set[str]:
    """The top-level packages of these modules that do not come with Python."""
    packages = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"__main__"}
    return {name for name in packages if not name.startswith("_")}


def png() -> bytes:
    """A black scan."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    return file.getvalue()


DIRECT_CALL = (
    "import inference.handler; "
    "assert inference.handler.handler({'instances': [[0, 0, 0]]}, None) == {'predictions': [[0.5]]}"
)


S3_EVENT = (
    "import os, types, inference.handler; "
    "context = types.SimpleNamespace(aws_request_id='1', get_remaining_time_in_millis=lambda: 60_000); "
    "assert inference.handler.handler(json.loads(os.environ['EVENT']), context) == {'batchItemFailures': []}; "
    # Python's and the one of obstore: a single upload needs no others.
    "assert sys.platform != 'linux' or len(os.listdir('/proc/self/task')) == 2"
)


@pytest.mark.parametrize(
    ("artifact", "runtime", "library"),
    [("odds.tflite", "litert", "ai_edge_litert"), ("odds.onnx", "onnx", "onnxruntime")],
)
def test_a_direct_call_loads_numpy_and_the_library_of_the_runtime_and_no_other(
    artifact: str, runtime: str, library: str, environment: Callable[..., dict[str, str]]
) -> None:
    loaded = loaded_modules(environment(artifact, runtime), DIRECT_CALL)
    assert not loaded & HEAVY
    assert third_party(loaded) == {library, "inference", "numpy"}
    # What uploads need.
    assert not loaded & {"inference.events", "inference.result_documents", "inference.s3"}


@pytest.mark.parametrize(
    ("artifact", "key", "body", "decoders", "libraries"),
    [
        ("odds.tflite", "digits/a.json", b"[0, 0, 0]", {"json", "text"}, set()),
        ("odds.tflite", "digits/a.csv", b"0,0,0", {"csv", "text"}, set()),
        ("scans.tflite", "digits/a.png", png(), {"image", "picture", "png"}, {"PIL"}),
    ],
    ids=["json", "csv", "png"],
)
def test_the_first_upload_loads_obstore_and_what_decodes_it_and_no_other_library(
    artifact: str,
    key: str,
    body: bytes,
    decoders: set[str],
    libraries: set[str],
    environment: Callable[..., dict[str, str]],
    announce: Callable[..., dict[str, Any]],
    fake_s3: FakeS3,
) -> None:
    event = {"Records": [announce(key, body)]}
    with served_s3(fake_s3) as endpoint:
        variables = environment(artifact, "litert", "image" if libraries else "json", **access(endpoint))
        loaded = loaded_modules(variables | {"EVENT": json.dumps(event)}, S3_EVENT)
    assert "predictions" in json.loads(fake_s3.objects[RESULTS, f"digits/{key}.json"][-1].body)
    assert third_party(loaded) == {"ai_edge_litert", "inference", "numpy", "obstore"} | libraries
    assert "http.client" not in loaded
    assert {name for name in loaded if name.startswith("inference.decoders.")} == {
        f"inference.decoders.{name}" for name in decoders
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads where Linux lists them")
@pytest.mark.parametrize(("artifact", "runtime"), [("odds.tflite", "litert"), ("untidy.onnx", "onnx")])
def test_libraries_make_no_threads_and_files_that_nobody_asks_for_and_log_nothing(
    artifact: str, runtime: str, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """numpy would make threads for linear algebra, and ONNX Runtime one that reports how it is used."""
    script = "import os, inference.handler; print(len(os.listdir('/proc/self/task')))"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(artifact, runtime) | {"PYTHONPATH": str(paths.FUNCTIONS), "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert finished.stdout == "1\n"
    assert "onnxruntime" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_collector_of_garbage_waits_until_init_has_ended(environment: Callable[..., dict[str, str]]) -> None:
    script = (
        "import contextlib, gc, logging, os, typing; searches = []; "
        "gc.callbacks.append(lambda phase, _: searches.append(phase)); "
        "import inference.handler; "
        "print(searches, gc.isenabled(), gc.get_freeze_count() > len(gc.get_objects()))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=environment("odds.tflite", "litert") | {"PYTHONPATH": str(paths.FUNCTIONS)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert finished.stdout == "[] True True\n"


def test_a_tensorflow_function_does_not_load_tensorflow_while_init_may_take_ten_seconds_only(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment("scans.saved_model", "tensorflow", AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    assert not loaded_modules(variables, "import inference.handler") & HEAVY


def test_a_tensorflow_function_is_loaded_at_init_under_provisioned_concurrency(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment("scans.saved_model", "tensorflow", AWS_LAMBDA_INITIALIZATION_TYPE="provisioned-concurrency")
    assert "tensorflow" in loaded_modules(variables, "import inference.handler")


def test_direct_calls_and_uploads_are_served_under_awslambdaric(
    environment: Callable[..., dict[str, str]], announce: Callable[..., dict[str, Any]], fake_s3: FakeS3
) -> None:
    messages = [announce("digits/a b.json", b"[0, 0, 0]"), announce("digits/broken.json", b"no JSON")]
    with served_s3(fake_s3) as endpoint:
        variables = environment("odds.tflite", "litert", **access(endpoint))
        events = [
            {"keep_active": True},
            {"instances": [[0, 0, 0]]},
            {"Records": messages},
            {"Records": messages},
            {"instances": "x"},
            {"Records": [1]},
        ]
        run = run_handler("inference.handler.handler", events, variables)
    kept_active, direct, first, again, *wrong = run.answers
    assert kept_active == {}
    assert direct == {"predictions": [[0.5]]}
    assert first == again == {"batchItemFailures": []}
    assert [set(answer) for answer in wrong] == [{"error"}, {"error"}]
    (served,) = fake_s3.objects[RESULTS, "digits/digits/a b.json.json"]
    (refused,) = fake_s3.objects[RESULTS, "digits/digits/broken.json.json"]
    document = json.loads(served.body)
    assert document["predictions"] == [[0.5]]
    assert document["request_id"] == "request-2"
    assert document["timing_ms"]["cold_start"] is False
    assert served.content_type == "application/json"
    assert json.loads(refused.body)["error"]["type"] == "DecodeError"
    lines = [json.loads(line) for line in run.output.splitlines() if line.startswith("{")]
    # The first call is no input, and leaves it to the next one to be a cold start.
    assert [line["ColdStarts"] for line in lines if "_aws" in line] == [1, 0, 0, 0, 0]
    (refusal,) = [line for line in lines if line.get("key") == "digits/broken.json" and line["level"] == "WARNING"]
    assert (refusal["error_type"], refusal["requestId"]) == ("DecodeError", "request-2")


def test_missing_weights_fail_the_calls_that_need_them_with_the_way_out(
    environment: Callable[..., dict[str, str]], announce: Callable[..., dict[str, Any]], fake_s3: FakeS3
) -> None:
    """S3's test event is not such a call, and an input that is given up gets its result without the model."""
    test_event = {"messageId": "test", "eventSource": "aws:sqs", "body": '{"Event": "s3:TestEvent"}'}
    last = announce("digits/a.json", b"[0, 0, 0]") | {"attributes": {"ApproximateReceiveCount": "5"}}
    with served_s3(fake_s3) as endpoint:
        variables = environment("odds.tflite", "litert", MODELYARD_WEIGHTS=os.devnull, **access(endpoint))
        events = [{"Records": [test_event]}, {}, {"Records": [last]}]
        run = run_handler("inference.handler.handler", events, variables)
    done, *errors = run.answers
    assert done == {"batchItemFailures": []}
    for error in errors:
        assert error["errorType"] == "ModelError"
        assert "weights_sync copies them there" in error["errorMessage"]
    result = json.loads(fake_s3.objects[RESULTS, "digits/digits/a.json.json"][-1].body)
    assert (result["provisional"], result["error"]["type"]) == (True, "ModelError")
    assert "weights_sync copies them there" in result["error"]["message"]


def test_a_document_with_a_field_that_the_code_lacks_fails_the_init_by_its_name(
    environment: Callable[..., dict[str, str]],
) -> None:
    variables = environment("odds.tflite", "litert")
    document = json.loads(variables["MODELYARD_MODEL"])
    document["input"]["crop"] = "centre"
    run = run_handler("inference.handler.handler", [{}], variables | {"MODELYARD_MODEL": json.dumps(document)})
    (error,) = run.answers
    assert error["errorType"] == "ModelError"
    assert "has the field input.crop, which this code does not know" in error["errorMessage"]
