"""With the exports of `modelctl env`, other tools speak to the local stack as they speak to AWS."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.conftest import Modelctl, Platform, run_modelctl
from e2e.test_modelctl import SCAN
from modelctl import paths
from modelctl.terraform import program

AWS = Path(sys.executable).parent / "aws"


@pytest.fixture(scope="module")
def exported(modelctl: Modelctl) -> dict[str, str]:
    """The environment of a shell that evaluated `modelctl env`."""
    show = shlex.join([sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"])
    env = {**os.environ, "AWS_PROFILE": "of-another-account"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"{modelctl('env').out}\n{show}"], env=env, capture_output=True, text=True, check=True
    )
    variables: dict[str, str] = json.loads(done.stdout)
    return variables


def test_the_aws_command_uploads_and_finds_the_result(
    exported: dict[str, str], platform: Platform, tmp_path: Path
) -> None:
    def aws(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([AWS, *arguments], env=exported, capture_output=True, text=True, check=False)

    scan, result = tmp_path / "by-aws.png", tmp_path / "result.json"
    scan.write_bytes(SCAN.read_bytes())
    buckets = platform.deployment["buckets"]
    uploaded = aws("s3", "cp", scan, f"s3://{buckets['inputs']}/digits/")
    assert uploaded.returncode == 0, uploaded.stderr
    deadline = time.monotonic() + 60
    found = f"s3://{buckets['results']}/digits/digits/by-aws.png.json"
    while (copied := aws("s3", "cp", found, result)).returncode and time.monotonic() < deadline:
        time.sleep(0.5)
    assert copied.returncode == 0, copied.stderr
    assert json.loads(result.read_text())["predictions"][0]["label"] in map(str, range(10))


def test_a_second_plan_is_empty_and_calls_the_local_stack_alone(
    exported: dict[str, str], platform: Platform, tmp_path: Path
) -> None:
    command = [
        program.binary(),
        f"-chdir={paths.TERRAFORM}",
        "plan",
        "-detailed-exitcode",
        "-no-color",
        "-input=false",
    ]
    log = tmp_path / "provider.log"
    proxy = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")  # where nothing listens
    env = {**exported, **proxy, "TF_LOG_PROVIDER": "DEBUG", "TF_LOG_PATH": str(log)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # An entry goes on in further lines after a field of several.
    entries = re.split(r"^(?=\d{4}-\d\d-\d\dT)", log.read_text(), flags=re.MULTILINE)
    requests = [entry for entry in entries if "HTTP Request Sent" in entry]
    called = {found for entry in requests for found in re.findall(r'http\.url="?https?://([^/"\s]+)', entry)}
    assert called == {platform.env["AWS_ENDPOINT_URL"].removeprefix("https://")}
    services = {found.strip('"') for entry in requests for found in re.findall(r'rpc\.service=("[^"]+"|\S+)', entry)}
    assert services == {
        *("CloudWatch", "CloudWatch Logs", "EC2", "EFS", "IAM", "KMS", "Lambda"),
        *("S3", "SNS", "SQS", "STS", "Scheduler", "Service Quotas"),
    }


def test_a_shell_that_spoke_to_another_account_speaks_to_the_local_stack_alone(exported: dict[str, str]) -> None:
    assert "AWS_PROFILE" not in exported


def test_an_endpoint_of_one_service_is_unset_too(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:1")
    (unset,) = [line for line in run_modelctl(platform.home, "env").out.splitlines() if line.startswith("unset ")]
    assert "AWS_ENDPOINT_URL_S3" in unset.split()


def test_what_env_exports_can_be_taken_back(modelctl: Modelctl) -> None:
    exported = {
        line.split()[1].split("=")[0] for line in modelctl("env").out.splitlines() if line.startswith("export ")
    }
    unset = {line.split()[1] for line in modelctl("env", "--unset").out.splitlines()}
    assert exported <= unset
    assert "AWS_CA_BUNDLE" in exported
