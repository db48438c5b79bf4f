"""What the command promises besides predictions, and what it says when it is called wrongly."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import MODELCTL, Modelctl, Platform, run_modelctl
from modelctl import paths

SCAN = next(iter(sorted((paths.CHECKOUT / "models" / "digits" / "samples").glob("*.png"))))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "dogs", SCAN), "no model is named 'dogs'; the deployed models are: digits, digits-tf, wine"),
        (("predict", "digits", "nowhere.png"), "there is no file nowhere.png"),
        (("predict", "digits", paths.REGISTRY), "takes only .png, .json"),
        (("predict", "digits", SCAN, SCAN), f"{SCAN} is given twice: give each file once"),
        (("invoke", "dogs", "--data", "{}"), "no model is named 'dogs'"),
        (("invoke", "wine", "--data", "{"), "--data: not valid JSON: Expecting property name"),
        (("invoke", "wine", "--data", '{"instances": [NaN]}'), "--data: not valid JSON: NaN is not a JSON number"),
        (("invoke", "wine", "--data", "[" * 5000 + "]" * 5000), "--data: not valid JSON for a model: nested too deep"),
        (("invoke", "wine", "--data", '{"inputs": [1], "inputs": [2]}'), "an object contains 'inputs' twice"),
        (("logs", "dogs"), "no model is named 'dogs'"),
    ],
)
def test_a_users_mistake_ends_with_status_1_and_one_clear_line(
    modelctl: Modelctl, arguments: tuple[str | Path, ...], said: str
) -> None:
    done = modelctl(*arguments)
    assert done.status == 1
    assert done.out == ""
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [("predict", "digits", SCAN), ("invoke", "wine", "--data", "{}"), ("status",)])
def test_before_up_a_command_says_how_to_deploy(tmp_path: Path, arguments: tuple[str | Path, ...]) -> None:
    done = run_modelctl(tmp_path / "no-stack", *arguments)
    assert done.status == 1
    assert "nothing is deployed: run `modelctl up`" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_called_wrongly_is_status_2(modelctl: Modelctl) -> None:
    assert modelctl("predict", "digits").status == 2
    assert modelctl("no-such-command").status == 2
    assert modelctl("predict", "digits", SCAN, "--timeout", "nan").status == 2


def test_a_reader_that_has_seen_enough_is_no_failure_with_words(platform: Platform) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    shell = f"{MODELCTL} logs digits | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", shell],
        env={**env, "MODELYARD_STACK": str(platform.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_ctrl_c_ends_a_prediction_that_nobody_answers(platform: Platform) -> None:
    mappings = platform.client("lambda")
    function = platform.deployment["models"]["digits"]["function_name"]
    (mapping,) = mappings.list_event_source_mappings(FunctionName=f"{function}:live")["EventSourceMappings"]
    mappings.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        waiting = subprocess.Popen(
            [MODELCTL, "predict", "digits", SCAN],
            env={**os.environ, "MODELYARD_STACK": str(platform.home)},
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(4)
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=10)
    finally:
        mappings.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    assert waiting.returncode == 130
    assert "Traceback" not in said


def test_status_shows_what_is_deployed_and_that_nothing_waits(modelctl: Modelctl, platform: Platform) -> None:
    rows = {row["model"]: row for row in modelctl("status", "--json").document["models"]}
    assert rows.keys() == platform.deployment["models"].keys()
    for name, row in rows.items():
        assert row["digest"] == row["live_digest"] == platform.deployment["models"][name]["digest"]
        assert row["dead_letters"] == 0
    assert rows["digits"]["route"] == {"prefixes": ["digits/"], "suffixes": [".png", ".json"]}
    table = modelctl("status")
    assert all(name in table.out for name in rows)


def test_status_counts_what_was_served_and_how_long_it_took(modelctl: Modelctl, tmp_path: Path) -> None:
    """In the emulator's CloudWatch, which takes it from Lambda and from the function's log."""

    def row() -> Any:
        return next(row for row in modelctl("status", "--json").document["models"] if row["model"] == "digits")

    before = row()
    for number in range(3):
        scan = tmp_path / f"scan {number} for status.png"
        scan.write_bytes(SCAN.read_bytes())
        assert modelctl("predict", "digits", scan).status == 0
    after = row()
    assert after["inputs"] - before["inputs"] == 3
    assert after["calls"] - before["calls"] == 3
    assert after["refused"] == before["refused"]
    for times in (after["call_ms"], after["result_ms"]):
        assert 0 < times["p50"] <= times["p95"] < 60_000
    assert after["queue"] == {"waiting": 0, "in_flight": 0, "oldest_s": 0}


def test_errors_show_why_inputs_were_refused_and_which_uploads_no_model_takes(
    modelctl: Modelctl, platform: Platform, tmp_path: Path
) -> None:
    broken = tmp_path / "broken for errors.json"
    broken.write_text("{")
    assert modelctl("predict", "digits", broken).status == 1
    causes = modelctl("errors", "digits", "--json").document["causes"]
    (key,) = (key for cause in causes for key in cause["keys"] if key["key"] == f"digits/{broken.name}")
    assert key["count"] == 1
    assert f"digits/{broken.name}" in modelctl("logs", "digits", "--errors").out
    assert "refused: DecodeError" in modelctl("logs", "digits", "--key", f"digits/{broken.name}").out

    platform.client("s3").put_object(Bucket=platform.deployment["buckets"]["inputs"], Key="digit/7.png", Body=b"-")
    uploads = {upload["key"]: upload for upload in modelctl("errors", "--json").document["uploads"]}
    assert uploads["digit/7.png"]["instead"] == "digits/7.png"


def test_logs_show_what_the_function_wrote_about_an_input(modelctl: Modelctl, tmp_path: Path) -> None:
    scan = tmp_path / "scan for the log.png"
    scan.write_bytes(SCAN.read_bytes())
    result = modelctl("predict", "digits", scan, "--json").document
    lines = modelctl("logs", "digits", "--json").document
    assert any(result["request_id"] in json.dumps(line) for line in lines)
    assert modelctl("logs", "digits").out


def test_validate_of_the_committed_registry_finds_no_problem(modelctl: Modelctl) -> None:
    assert modelctl("validate", "--json").document["problems"] == []


def test_validate_names_file_line_and_way_out(modelctl: Modelctl, tmp_path: Path) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text(
        "version: 1\nmodels:\n  digits:\n    artifact: nowhere\n    runtime: litert\n    memory_mbb: 512\n"
    )
    done = modelctl("validate", registry)
    assert done.status == 1
    assert f'{registry}:6:5: models.digits: unknown field "memory_mbb" (did you mean "memory_mb"?)' in done.out


def test_up_refuses_a_bad_registry_before_anything_is_started(tmp_path: Path) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text(
        "version: 1\nmodels:\n  digits:\n    artifact: nowhere\n    runtime: litert\n    version: '1'\n"
    )
    done = run_modelctl(tmp_path / "stack", "up", "--registry", registry)
    assert done.status == 1
    assert f'{registry}:4:5: models.digits.artifact: "nowhere" does not exist' in done.err
    assert not (tmp_path / "stack").exists()
