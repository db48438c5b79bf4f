"""`modelctl up` interrupted, killed, called twice at once, with a model that was imported, and without one in use."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from botocore.exceptions import BotoCoreError

from attached import AttachedTerraform
from e2e.conftest import MODELCTL, Command, client
from e2e.test_modelctl import SCAN
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.layout import Layout
from modelctl.local.stack import LocalStack, ensure_lambda_environment
from modelctl.packaging import packages
from modelctl.terraform import program

DIGITS = paths.CHECKOUT / "models" / "digits" / "artifact"
WINE = paths.CHECKOUT / "models" / "wine"

MODEL = """\
  {name}:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "1"
    memory_mb: {memory_mb}
"""
LABELS = """\
    input: {{format: image, size: [8, 8], mode: L, scale: 0.00392157}}
    output: {{labels: labels.txt}}
"""
HOOKS = """\
    hooks: {checkout}/models/numbers/hooks.py
"""


@dataclass
class Checkout:
    """A local stack of its own, used from a shell that is set up for another account."""

    folder: Path
    home: Path = field(init=False)
    registry: Path = field(init=False)
    terraform: AttachedTerraform = field(init=False)
    #: The registry's last lines, which `modelctl import` wrote.
    imported: str = ""

    def __post_init__(self) -> None:
        self.home = self.folder / "stack"
        self.registry = self.folder / "registry.yaml"
        self.terraform = AttachedTerraform(self.folder)
        (self.folder / ".aws").mkdir()
        (self.folder / ".aws" / "config").write_text("[default]\nuse_fips_endpoint = true\nregion = eu-west-1\n")

    @property
    def shell(self) -> dict[str, str]:
        return {
            **os.environ,
            "MODELYARD_STACK": str(self.home),
            "MODELYARD_TERRAFORM": str(self.terraform.program),
            "HOME": str(self.folder),
            "AWS_PROFILE": "of-another-account",
            "AWS_CA_BUNDLE": str(self.folder / "nowhere.pem"),
            "AWS_ENDPOINT_URL": "https://localhost:1",
            "AWS_ACCESS_KEY_ID": "AKIAOFANOTHERACCOUNT",
            "AWS_USE_FIPS_ENDPOINT": "true",
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "TF_WORKSPACE": "production",
        }

    def names(self, **memory_mb: int) -> None:
        """Write a registry with these models; the one called "other" has hooks."""
        models = [
            (MODEL + (HOOKS if name == "other" else LABELS)).format(name=name, checkout=paths.CHECKOUT, memory_mb=mb)
            for name, mb in memory_mb.items()
        ]
        self.registry.write_text("version: 1\nmodels:\n" + "".join(models) + self.imported)

    def imports(self, *arguments: str | Path) -> Command:
        """Add a model to the registry."""
        before = self.registry.read_text()
        done = self.run("import", *arguments, "--registry", self.registry, "--json")
        self.imported = self.registry.read_text().removeprefix(before)
        return done

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start modelctl as a shell would: it and what it starts are one process group, which Ctrl-C goes to."""
        command = [str(MODELCTL), *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.shell, stdout=pipe, stderr=pipe, text=True, process_group=0)

    def run(self, *arguments: str | Path) -> Command:
        return ended(self.start(*arguments))

    def start_up(self) -> "subprocess.Popen[str]":
        return self.start("up", "--registry", self.registry)

    def up(self) -> Command:
        return ended(self.start_up())

    @property
    def env(self) -> dict[str, str]:
        """What a shell has after `modelctl env`."""
        exported: dict[str, str] = self.run("env", "--json").document
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        return kept | exported

    @property
    def state(self) -> Path:
        return self.home / "state" / "local" / "terraform.tfstate"

    @property
    def journal(self) -> Path:
        return self.home / "unfinished"

    def events(self, kind: str, since: int) -> list[dict[str, Any]]:
        """What Terraform has written of this kind from this place of its journal on."""
        said = self.journal.read_bytes()[since:] if self.journal.exists() else b""
        # The first line may follow one that was broken off, and the last one may not be complete.
        events = [json.loads(line) for line in said.splitlines(keepends=True)[1:] if line.endswith(b"\n")]
        return [event for event in events if event["type"] == kind]

    def terraform_of(self, modelctl: "subprocess.Popen[str]") -> int:
        """The process id of the Terraform that this modelctl runs."""
        children = Path(f"/proc/{modelctl.pid}/task/{modelctl.pid}/children").read_text().split()
        (found,) = (pid for pid in children if b"terraform" in Path(f"/proc/{pid}/cmdline").read_bytes())
        return int(found)

    def has_queue(self, model: str) -> bool:
        """Whether Terraform has asked for the queue of this model; it then waits for 25 s until it is there."""
        # While the server is being ended or started it does not answer.
        with suppress(UserError, BotoCoreError):
            sqs = client(LocalStack(self.home).environment(), "sqs")
            return bool(sqs.list_queues(QueueNamePrefix=f"modelyard-{model}").get("QueueUrls"))
        return False


def ended(process: "subprocess.Popen[str]") -> Command:
    out, err = process.communicate(timeout=300)
    return Command(process.returncode, out, err)


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def reached(process: "subprocess.Popen[str]", phase: str) -> str:
    """Wait until modelctl says that it does this; return all that it has said."""
    said = ""
    while f"{phase} ..." not in said:
        line = process.stderr.readline() if process.stderr else ""
        assert line, said
        said += line
    return said


def interrupted(process: "subprocess.Popen[str]") -> Command:
    """Press Ctrl-C."""
    os.killpg(process.pid, signal.SIGINT)
    return ended(process)


def assert_interrupted(done: Command) -> None:
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1] == "error: interrupted"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    # Here and not in the shell of the tests, whose proxy leads nowhere.
    packages.build()
    ensure_lambda_environment()
    checkout = Checkout(tmp_path_factory.mktemp("up"))
    yield checkout
    checkout.terraform.detach()
    LocalStack(checkout.home).stop()


@pytest.fixture(scope="module")
def deployed(checkout: Checkout) -> Checkout:
    """Two models, applied at last after Ctrl-C in every phase and a kill."""
    checkout.names(seven=512, other=512)
    samples = WINE / "samples" / "cellar.csv"
    keras = WINE / "artifact" / "model.keras"
    imported = checkout.imports(keras, "--name", "wine", "--runtime", "litert", "--samples", samples)
    assert imported.status == 0, imported.err
    assert imported.document["parity"][0]["largest_error"] < 1e-4

    # While it validates and packages, while the server starts, while Terraform is made ready.
    process = checkout.start_up()
    wait_for(checkout.home.with_name(".stack.lock").exists, process)
    assert_interrupted(interrupted(process))
    for phase in ("starting the local stack", "terraform init"):
        process = checkout.start_up()
        reached(process, phase)
        assert_interrupted(interrupted(process))

    # While it applies, when Terraform is let finish; and a kill, when it cannot.
    for end in (signal.SIGINT, signal.SIGKILL):
        process = checkout.start_up()
        reached(process, "terraform apply")
        wait_for(lambda: checkout.has_queue("seven"), process)
        if end == signal.SIGINT:
            # The provider gets the answer, and then waits for 25 s until the queue is usable.
            time.sleep(1)
            done = interrupted(process)
            assert_interrupted(done)
            assert "Terraform finishes what is under way and saves its state" in done.err
            assert "aws_sqs_queue" in (checkout.home / "state" / "local" / "terraform.tfstate").read_text()
        else:
            # Terraform alone would go on, and the next one wait for it.
            os.kill(checkout.terraform_of(process), signal.SIGKILL)
            process.kill()
            process.communicate()

    last = checkout.up()
    assert last.status == 0, last.err
    assert "was not finished, and the local stack has not been used: starting over" in last.err
    checkout.terraform.attach(checkout.env)
    return checkout


def test_after_every_interruption_up_works_again(deployed: Checkout) -> None:
    again = deployed.up()
    assert again.status == 0, again.err
    assert "terraform apply: nothing to change" in again.err
    assert "terraform init" not in again.err
    for model in ("seven", "other"):
        predicted = deployed.run("predict", model, SCAN, "--json")
        assert predicted.status == 0, predicted.err


def test_hooks_are_those_of_their_model_only_though_two_share_an_artifact(deployed: Checkout) -> None:
    by_labels, by_hooks = (deployed.run("predict", model, SCAN, "--json").document for model in ("seven", "other"))
    assert by_labels["predictions"][0]["label"] == "1"
    assert by_hooks["predictions"] == [{"digit": 1, "sure": True}]
    assert by_labels["digest"] != by_hooks["digest"]


def test_a_converted_model_answers_as_keras_does(deployed: Checkout) -> None:
    keras = tf.keras.models.load_model(WINE / "artifact" / "model.keras", compile=False)
    bottles = sorted((WINE / "samples").glob("bottle-*.json"))
    predicted = deployed.run("predict", "wine", *bottles, "--json")
    assert predicted.status == 0, predicted.err
    labels = (WINE / "artifact" / "labels.txt").read_text().split()
    for bottle, result in zip(bottles, predicted.document, strict=True):
        expected = keras(np.array(json.loads(bottle.read_text())["instances"], np.float32)).numpy()[0]
        scores = dict(result["predictions"][0]["top"])
        assert [scores[label] for label in labels] == pytest.approx(expected, abs=1e-4)
    assert len(predicted.document) > 2


def test_an_edit_of_the_registry_changes_what_it_names_only(deployed: Checkout) -> None:
    deployed.names(seven=640, other=512)
    edited = planned(deployed)
    assert edited
    assert [address for address in edited if not address.startswith('module.model["seven"].')] == []

    deployed.names(seven=512, other=512, third=512)
    added = planned(deployed)
    assert 'module.model["third"].aws_lambda_function.inference' in added
    # There is one of each for all models: the bucket's notifications name their queues, the dashboard their
    # metrics, and one alarm their alarms.
    assert {address for address in added if '["third' not in address} == {
        "module.routing.aws_s3_bucket_notification.inputs",
        "module.observability.aws_cloudwatch_dashboard.models",
        'module.observability.aws_cloudwatch_composite_alarm.overall["00"]',
    }

    deployed.names(seven=512, other=512)
    assert planned(deployed) == []


def planned(checkout: Checkout) -> list[str]:
    """Addresses of all resources that an apply would change."""
    command = [str(checkout.terraform.program), f"-chdir={paths.TERRAFORM}", "plan", "-no-color", "-refresh=false"]
    env = {**checkout.env, **program.QUIET}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    return [line.split()[1] for line in lines if line.startswith("# ") and ("will be" in line or "must be" in line)]


ADDED = 'module.model["added"]'
ITS_QUEUES = 'module.routing.module.queue["added"]'


def test_an_up_that_was_broken_off_is_healed_by_the_next_one(deployed: Checkout) -> None:
    before = results(deployed.env)
    assert before
    deployed.names(seven=512, other=512, added=512)
    broken_off(deployed, has_begun(f"{ADDED}.module.role.aws_iam_role.this"), kill_terraform)
    # As if it had been killed while it wrote its state.
    deployed.state.write_bytes(deployed.state.read_bytes()[:1000])
    broken_off(deployed, has_changed(3), press_ctrl_c_twice)
    # With nobody to look after it, Terraform goes on to its end.
    broken_off(deployed, has_changed(1), kill_modelctl)

    healed = deployed.up()

    assert healed.status == 0, healed.err
    assert "the Terraform of an earlier modelctl is still running: waiting until it ends" in healed.err
    assert results(deployed.env) == before
    assert_serves(deployed, "seven", "added")


def test_what_the_state_does_not_know_is_made_anew(deployed: Checkout) -> None:
    forget(deployed, ADDED, "module.keep_active")
    assert len(of_model(deployed, "added")) > 5
    healed = deployed.up()
    assert healed.status == 0, healed.err
    assert_serves(deployed, "seven", "added")


def test_what_the_state_does_not_know_goes_with_its_model(deployed: Checkout) -> None:
    deployed.names(seven=512, other=512)
    forget(deployed, ADDED, ITS_QUEUES)
    healed = deployed.up()
    assert healed.status == 0, healed.err
    assert of_model(deployed, "added") == []
    assert_serves(deployed, "seven")


@pytest.mark.soak
def test_a_function_whose_change_was_broken_off_gets_a_new_version(deployed: Checkout) -> None:
    functions = client(deployed.env, "lambda")
    deployed.names(seven=640, other=512)
    # As far as the provider comes before it publishes a version.
    functions.update_function_configuration(FunctionName="modelyard-seven", MemorySize=640)
    address = 'module.model["seven"].aws_lambda_function.inference'
    begun = {"type": "apply_start", "hook": {"resource": {"addr": address}, "action": "update"}}
    deployed.journal.write_text(json.dumps(begun) + "\n")

    healed = deployed.up()

    assert healed.status == 0, healed.err
    live = functions.get_function_configuration(FunctionName="modelyard-seven", Qualifier="live")
    assert live["MemorySize"] == 640
    assert_serves(deployed, "seven")


def test_an_update_that_was_refused_a_call_is_shown_and_completed_by_the_next_run(deployed: Checkout) -> None:
    iam, (operator,) = client(deployed.env, "iam"), client(deployed.env, "iam").list_users()["Users"]
    before = live_and_asked(deployed, "seven")
    artifact = shutil.copytree(DIGITS, deployed.folder / "another")
    (artifact / "labels.txt").write_text("\n".join("abcdefghij"))
    deployed.registry.write_text(deployed.registry.read_text().replace(str(DIGITS), str(artifact), 1))
    deny = {"Effect": "Deny", "Action": "lambda:PublishVersion", "Resource": "*"}
    iam.put_user_policy(
        UserName=operator["UserName"],
        PolicyName="refusal",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]}),
    )

    refused = deployed.up()

    assert refused.status == 1
    assert "PublishVersion" in refused.err
    live, asked = live_and_asked(deployed, "seven")
    assert live == before[0]
    assert live != asked
    assert "`live` does not serve what the last apply asked for: seven." in deployed.run("status").err
    iam.delete_user_policy(UserName=operator["UserName"], PolicyName="refusal")

    # An apply, which shows what it does; like `up`, it takes the way out that the plan names.
    completed = deployed.run("apply", "--yes")

    assert completed.status == 0, completed.err
    assert "an earlier update of a function was refused or interrupted halfway: completing it" in completed.err
    assert [line.rstrip() for line in completed.out.splitlines()] == ["model  change", "seven  published again"]
    assert not deployed.journal.exists()
    assert live_and_asked(deployed, "seven") == (asked, asked)
    assert deployed.run("status").err == ""
    predicted = deployed.run("predict", "seven", SCAN, "--json").document
    assert (predicted["digest"], predicted["predictions"][0]["label"]) == (asked, "b")
    assert_serves(deployed, "seven")
    deployed.names(seven=512, other=512)
    assert deployed.up().status == 0


def live_and_asked(checkout: Checkout, model: str) -> tuple[str, str]:
    """The digest behind the alias, and the one that the registry asked for last."""
    (row,) = (row for row in checkout.run("status", "--json").document["models"] if row["model"] == model)
    return row["live_digest"], row["digest"]


def forget(checkout: Checkout, *modules: str) -> None:
    """Leave things as a killed Terraform does that has made all this, and stored none of it."""
    state = json.loads(checkout.state.read_text())
    kept = [resource for resource in state["resources"] if not resource.get("module", "").startswith(modules)]
    assert len(kept) < len(state["resources"])
    checkout.state.write_text(json.dumps({**state, "serial": state["serial"] + 1, "resources": kept}))
    checkout.journal.touch()


def broken_off(checkout: Checkout, when: Callable[[Checkout, int], bool], end: Callable[[int, int], None]) -> None:
    """Run `up` until `when`, and then `end` the two processes: modelctl's and Terraform's."""
    since = checkout.journal.stat().st_size if checkout.journal.exists() else 0
    process = checkout.start_up()
    reached(process, "terraform apply")
    wait_for(lambda: when(checkout, since), process)
    end(process.pid, checkout.terraform_of(process))
    process.communicate(timeout=120)


def has_begun(address: str) -> Callable[[Checkout, int], bool]:
    return lambda checkout, since: any(
        event["hook"]["resource"]["addr"] == address for event in checkout.events("apply_start", since)
    )


def has_changed(number: int) -> Callable[[Checkout, int], bool]:
    """Whether this many resources were changed, and another one is in progress."""
    return lambda checkout, since: (
        len(checkout.events("apply_start", since)) > number <= len(checkout.events("apply_complete", since))
    )


def kill_terraform(_: int, terraform: int) -> None:
    os.kill(terraform, signal.SIGKILL)


def press_ctrl_c(modelctl: int, _: int) -> None:
    os.killpg(modelctl, signal.SIGINT)


def press_ctrl_c_twice(modelctl: int, _: int) -> None:
    os.killpg(modelctl, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(modelctl, signal.SIGINT)


def kill_modelctl(modelctl: int, _: int) -> None:
    os.kill(modelctl, signal.SIGKILL)


def of_model(checkout: Checkout, model: str) -> list[str]:
    """The names of everything that a model has."""
    env = checkout.env
    names = [found["FunctionName"] for found in client(env, "lambda").list_functions()["Functions"]]
    names += [found["RoleName"] for found in client(env, "iam").list_roles()["Roles"]]
    names += [found["logGroupName"] for found in client(env, "logs").describe_log_groups()["logGroups"]]
    names += [found["Name"] for found in client(env, "efs").describe_access_points()["AccessPoints"]]
    names += [found["AlarmName"] for found in client(env, "cloudwatch").describe_alarms()["MetricAlarms"]]
    names += client(env, "sqs").list_queues().get("QueueUrls", [])
    return [name for name in names if f"modelyard-{model}" in name]


def results(env: dict[str, str]) -> dict[str, str]:
    """The ETags of all results by key."""
    s3 = client(env, "s3")
    bucket = next(found["Name"] for found in s3.list_buckets()["Buckets"] if "-results-" in found["Name"])
    return {found["Key"]: found["ETag"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def assert_serves(checkout: Checkout, *models: str) -> None:
    """One event source mapping and one access point each, and a prediction."""
    functions, efs = client(checkout.env, "lambda"), client(checkout.env, "efs")
    points = [found["Name"] for found in efs.describe_access_points()["AccessPoints"]]
    for model in models:
        name = f"modelyard-{model}"
        assert len(functions.list_event_source_mappings(FunctionName=f"{name}:live")["EventSourceMappings"]) == 1
        assert points.count(name) == 1
        predicted = checkout.run("predict", model, SCAN, "--json")
        assert predicted.status == 0, predicted.err
    again = checkout.up()
    assert "terraform apply: nothing to change" in again.err


def test_what_is_planned_is_what_is_applied_if_the_user_agrees(deployed: Checkout) -> None:
    deployed.names(seven=640, other=512)
    before = deployed.state.read_text()

    document = deployed.run("plan", "--json").document
    memory = {"model": "seven", "change": "changed", "versions": None, "reasons": ["memory 512 → 640 MB"]}
    assert document == {
        "target": "local",
        "changes": True,
        "models": [memory],
        "platform": [],
        "warnings": [],
        # Function and alias; the new version gets a check of its own.
        "resources": {"add": 1, "change": 2, "destroy": 1},
        # $3 for the dashboard, $1 for the key and $0.50 for the alarm on all alarms; per model, which are three,
        # $0.2628 for its queue and $0.40 for its alarms.
        "usd_per_month_at_rest": {"before": 6.49, "after": 6.49},
    }

    nobody = deployed.run("apply")
    assert (nobody.status, nobody.out) == (2, "")
    assert "cannot ask for confirmation: add --yes to apply without asking" in nobody.err
    refused = answered(deployed, "no", "apply")
    assert refused.status == 1
    assert [line.rstrip() for line in refused.out.splitlines()] == ["model  change", "seven  memory 512 → 640 MB"]
    assert refused.err.splitlines()[-3:] == [
        "at rest: about $6.49 per month in us-east-1 (docs/costs.md)",
        "resources: 1 to add, 2 to change, 1 to destroy",
        "apply this to the local stack? [y/N] error: not applied: nothing was changed",
    ]
    assert deployed.state.read_text() == before

    agreed = answered(deployed, "y", "apply")
    assert agreed.status == 0, agreed.err
    assert "terraform apply: 4 of 4 changes made" in agreed.err
    (digest,) = {
        row["digest"] for row in deployed.run("status", "--json").document["models"] if row["model"] == "seven"
    }
    assert agreed.err.splitlines()[-1] == f"live on the local stack: seven 1 ({digest[:8]})"
    live = client(deployed.env, "lambda").get_function_configuration(FunctionName="modelyard-seven", Qualifier="live")
    assert live["MemorySize"] == 640
    assert deployed.run("predict", "seven", SCAN, "--json").status == 0

    again = deployed.run("apply", "--yes")
    assert again.out == "nothing to change: the local stack matches the registry\n"


def answered(checkout: Checkout, answer: str, *arguments: str) -> Command:
    """Run modelctl at a terminal, where the user types an answer."""
    terminal, user = pty.openpty()
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [MODELCTL, *arguments], env=checkout.shell, stdin=user, stdout=pipe, stderr=pipe, text=True
    )
    os.close(user)
    os.write(terminal, f"{answer}\n".encode())
    done = ended(process)
    os.close(terminal)
    return done


def test_a_model_is_not_removed_while_inputs_are_in_its_queue(deployed: Checkout) -> None:
    env = deployed.env
    s3, sqs, functions = client(env, "s3"), client(env, "sqs"), client(env, "lambda")
    url = sqs.get_queue_url(QueueName="modelyard-other")["QueueUrl"]
    (mapping,) = functions.list_event_source_mappings(FunctionName="modelyard-other:live")["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    inputs = next(name for name in bucket_names(s3) if name.startswith("modelyard-inputs-"))
    for number in range(2):
        s3.put_object(Bucket=inputs, Key=f"other/{number}.png", Body=SCAN.read_bytes())
    received: list[Any] = []
    deadline = time.monotonic() + 20
    while not received:
        assert time.monotonic() < deadline
        received = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600, MaxNumberOfMessages=1).get("Messages", [])
    deployed.names(seven=512)

    # Two at once: the second waits for the first, and each says the same.
    first, second = (
        deployed.start("up", "--registry", deployed.registry),
        deployed.start("up", "--registry", deployed.registry),
    )
    refused = [ended(first), ended(second)]

    assert [done.status for done in refused] == [1, 1]
    assert sum("another modelctl is changing this local stack: waiting" in done.err for done in refused) == 1
    for done in refused:
        line = done.err.splitlines()[-1]
        assert line.startswith("error: the registry no longer names other, but its queue holds inputs")
        assert "1 waiting, 1 being served. Nothing was changed" in line
        assert "aws sqs purge-queue --queue-url" in line
    assert functions.get_function(FunctionName="modelyard-other")

    # An input that was given up is one, too.
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="modelyard-other-dlq")["QueueUrl"], MessageBody="{}")
    applied = deployed.run("apply", "--yes")
    assert applied.status == 1
    assert "the queues of other will be removed: inputs and dead letters still inside are lost" in applied.err
    given_up, line = applied.err.splitlines()[-2:]
    assert given_up.startswith(
        "error: the registry no longer names other, but its dead-letter queue holds inputs that would be lost with it: "
        "1. Nothing was changed: let the model try them again (`modelctl redrive other`), or discard them (`"
    )
    assert "its queue holds inputs that would be lost with it: 1 waiting, 1 being served. Nothing was changed" in line
    assert functions.get_function(FunctionName="modelyard-other")

    # The ways out that the message names.
    purges = re.findall(r"or discard them \(`(.+?)`\)", applied.err)
    assert len(purges) == 2
    path = f"{MODELCTL.parent}{os.pathsep}{os.environ['PATH']}"
    shell = {**os.environ, "MODELYARD_STACK": str(deployed.home), "PATH": path}
    for purge in purges:
        subprocess.run(["/bin/sh", "-c", purge], env=shell, check=True)
    # And a Ctrl-C once more, when half of it is gone.
    process = deployed.start_up()
    wait_for(lambda: not deployed.has_queue("other"), process)
    assert_interrupted(interrupted(process))
    changed = deployed.up()
    assert changed.status == 0, changed.err
    assert changed.err.splitlines()[-1].endswith("serves seven, wine")
    assert deployed.run("predict", "seven", SCAN).status == 0
    names = [found["FunctionName"] for found in functions.list_functions()["Functions"]]
    assert "modelyard-seven" in names
    assert "modelyard-other" not in names
    # Its inputs are the user's, and stay.
    assert s3.head_object(Bucket=inputs, Key="other/0.png")


def bucket_names(s3: Any) -> list[str]:
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_a_model_that_is_not_there_cannot_be_copied_again(deployed: Checkout) -> None:
    done = deployed.run("up", "--resync", "sevn")
    assert done.status == 1
    assert "no model is named 'sevn', so its weights cannot be copied again" in done.err.splitlines()[-1]


def test_after_its_server_was_killed_up_makes_everything_anew(deployed: Checkout) -> None:
    """Last of all: it leaves nothing to work with."""
    deployed.terraform.detach()
    os.kill(int(Layout(deployed.home).pid.read_text()), signal.SIGKILL)
    said = deployed.run("status").err
    assert "modelctl up" in said
    assert len(said.splitlines()) == 1

    process = deployed.start_up()
    reached(process, "terraform apply")
    wait_for(lambda: deployed.has_queue("seven"), process)
    assert_interrupted(interrupted(process))

    down = deployed.run("down")
    assert down.status == 0, down.err
    assert not deployed.home.exists()
