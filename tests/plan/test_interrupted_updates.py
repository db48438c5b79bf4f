"""An update of a function that is refused a call or interrupted never leaves another model live in silence.

The next apply completes the update, or fails and names the command that does. To the provider, a call that a policy
denies fails like any other; the emulator enforces policies.
"""

import base64
import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attached import PROVIDER
from local_stack.support import allow, client, eventually, policy
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.stack import LocalStack
from modelctl.targets import Target
from modelctl.terraform import applying, program, races
from plan.conftest import Root, platform
from plan.refusals import Refusal, refusing

NAME = "interrupted"
FUNCTION = f"{NAME}-seven"
WEIGHTS_SYNC = f"{NAME}--weights-sync"
USER = "interrupted-deployer"
REGISTRY = """\
version: 1
models:
  seven:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "{version}"
    input: {{format: image, size: [8, 8], mode: L}}
"""


def no_tags_yet(action: str) -> Refusal:
    """What a deployer is told whose policies go by the tags of a key that it has just made."""
    return Refusal(
        call=rf"POST / TrentService\.{action}",
        status=400,
        code="AccessDeniedException",
        message=f"User: arn:aws:iam::000000000000:user/deployer is not authorized to perform: kms:{action} on "
        f"resource: arn:aws:kms:us-east-1:000000000000:key/1 because no identity-based policy allows the kms:{action} "
        "action",
    )


#: Errors that resolve themselves: those of a first apply, of a second one, and then of a plan.
FIRST_APPLY = [
    Refusal(
        call=f"POST /2015-03-31/functions/{WEIGHTS_SYNC}/invocations",
        status=408,
        code="EFSMountConnectivityException",
        message="The function couldn't connect to the Amazon EFS file system with access point "
        "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-1. Check your network configuration and "
        "try again.",
    ),
    no_tags_yet("EnableKeyRotation"),
    Refusal(
        call=r"PUT /[^/]+/?\?notification",
        status=400,
        code="InvalidArgument",
        message="Unable to validate the following destination configurations",
        xml=True,
    ),
]
SECOND_APPLY = [
    Refusal(
        call=rf"POST /2015-03-31/functions/\S+{FUNCTION}/aliases",
        status=409,
        code="ResourceConflictException",
        message="The operation cannot be performed at this time. "
        "The function is currently in the following state: Pending",
    ),
    no_tags_yet("EnableKeyRotation"),
]
THIRD_PLAN = [no_tags_yet("DescribeKey")]


@dataclass
class Yard:
    """A deployment of one model, whose new version has another document and other code."""

    folder: Path
    env: dict[str, str]
    deployer: dict[str, str]
    root: Root = field(init=False)
    version: int = 0
    #: Seconds that were to pass before the first apply was repeated.
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.copytree(paths.PACKAGES, self.folder / "packages")
        self.ask_for("inference")
        self.root = platform(
            self.folder,
            self.deployer,
            TF_VAR_name=NAME,
            TF_VAR_registry_file=self.folder / "registry.yaml",
            TF_VAR_packages_manifest=self.manifest,
            TF_VAR_force_destroy="true",
        )

    @property
    def manifest(self) -> Path:
        return self.folder / "packages" / "manifest.json"

    def ask_for(self, code: str) -> str:
        """Ask for a new version of the model, or of weights_sync; the hash of its code, as Lambda reports it."""
        self.version += 1
        if code == "inference":
            (self.folder / "registry.yaml").write_text(REGISTRY.format(checkout=paths.CHECKOUT, version=self.version))
        manifest = json.loads(self.manifest.read_text())
        package = self.manifest.with_name(f"{code}-{self.version}.zip")
        shutil.copyfile(self.manifest.with_name(manifest["code"][code]["file"]), package)
        with zipfile.ZipFile(package, "a") as archive:
            archive.writestr(f"version-{self.version}", "")
        digest = hashlib.sha256(package.read_bytes())
        manifest["code"][code] = {"file": package.name, "sha256": digest.hexdigest()}
        self.manifest.write_text(json.dumps(manifest))
        return base64.b64encode(digest.digest()).decode()

    def refuse(self, *actions: str) -> None:
        """Deny the deployer these actions and no others."""
        denied = {**allow(list(actions)), "Effect": "Deny"}
        client(self.env, "iam").put_user_policy(
            UserName=USER, PolicyName="all", PolicyDocument=policy(allow("*"), *([denied] if actions else []))
        )

    def apply(self, *options: str) -> str:
        """What Terraform says of its failure, if it fails."""
        try:
            self.root.apply(*options)
        except UserError as problem:
            return str(problem)
        return ""

    def interrupt_apply(self, reached: Callable[[], bool]) -> None:
        """Press Ctrl-C in an apply that has come so far."""
        command = [program.binary(), f"-chdir={self.root.folder}", "apply", "-auto-approve", "-no-color"]
        with (self.folder / "interrupted.log").open("w") as log:
            process = subprocess.Popen(command, env=dict(self.root.env), stdout=log, stderr=log, process_group=0)
            eventually(reached, 120)
            process.send_signal(signal.SIGINT)
            assert process.wait(120) != 0

    def configuration(self, function: str, qualifier: str) -> Any:
        return client(self.env, "lambda").get_function_configuration(FunctionName=function, Qualifier=qualifier)

    def newest(self, setting: str) -> Any:
        """A setting of the model's function as it would be published next; of versions, the one published last."""
        if setting == "Version":
            versions = client(self.env, "lambda").list_versions_by_function(FunctionName=FUNCTION)["Versions"]
            return versions[-1]["Version"]
        return self.configuration(FUNCTION, "$LATEST")[setting]

    def live(self) -> tuple[str, str]:
        """Version of the document and hash of the code that serve inputs."""
        found = self.configuration(FUNCTION, "live")
        return json.loads(found["Environment"]["Variables"]["MODELYARD_MODEL"])["version"], found["CodeSha256"]

    def lasting(self) -> Any:
        """What would lose inputs or refuse calls if it were replaced: the function's first version goes with it."""
        functions, sqs = client(self.env, "lambda"), client(self.env, "sqs")
        mappings = functions.list_event_source_mappings(FunctionName=f"{FUNCTION}:live")["EventSourceMappings"]
        return (
            [mapping["UUID"] for mapping in mappings],
            self.configuration(FUNCTION, "1")["RevisionId"],
            sqs.list_queues(QueueNamePrefix=NAME)["QueueUrls"],
        )


@pytest.fixture(scope="module")
def yard(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    env = stack.environment()
    iam = client(env, "iam")
    iam.create_user(UserName=USER)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    deployer = env | {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    yard = Yard(tmp_path_factory.mktemp("interrupted"), env, deployer)
    yard.refuse()
    rounds = [FIRST_APPLY, SECOND_APPLY, THIRD_PLAN]

    def sleep(seconds: float) -> None:
        yard.slept.append(seconds)
        del rounds[0]

    with refusing(env, ["KMS", "LAMBDA", "S3"], rounds) as endpoints:
        aws = {**yard.root.env, **endpoints, "TF_CLI_ARGS_apply": applying.PARALLEL}
        target = Target("aws", {**aws, **PROVIDER.variables(paths.TERRAFORM, aws)})
        with pytest.MonkeyPatch.context() as patched, applying.planned(target) as plan:
            patched.setattr(races, "sleep", sleep)
            applying.apply(plan)
    yield yard
    yard.refuse()
    yard.root.destroy()
    iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=USER, PolicyName="all")
    iam.delete_user(UserName=USER)


def way_out(problem: str) -> list[str]:
    """The options of the one command that the message names."""
    (command,) = set(re.findall(r"^ +terraform apply (.+)$", problem, re.MULTILINE))
    return shlex.split(command)


def assert_completed(yard: Yard, is_live: Callable[[], bool]) -> None:
    """The next apply has made live what was asked for, or fails with the way out, after which it is live."""
    problem = yard.apply()
    if problem:
        assert not is_live(), problem
        assert yard.apply(*way_out(problem)) == ""
    assert is_live()
    yard.root.find_nothing_to_change()


def test_a_first_apply_is_repeated_until_what_passes_by_itself_has_passed(yard: Yard) -> None:
    # By the time of the slowest one, the tags of the key, whatever else failed.
    assert yard.slept == [50, 100, 150]
    # What passes for one key would not for another.
    kms = client(yard.env, "kms")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    assert [key["KeyState"] for key in keys if key["Description"] == f"Alarms of {NAME}"] == ["Enabled"]


# What a refused PublishVersion leaves is the next test's.
@pytest.mark.parametrize(
    "call", ["UpdateFunctionConfiguration", pytest.param("UpdateFunctionCode", marks=pytest.mark.soak)]
)
def test_after_a_refused_call_the_next_apply_completes_the_update_or_names_the_way_out(yard: Yard, call: str) -> None:
    before, lasting = yard.live(), yard.lasting()
    code = yard.ask_for("inference")
    yard.refuse(f"lambda:{call}")
    assert call in yard.apply()
    assert yard.live() == before
    yard.refuse()

    assert_completed(yard, lambda: yard.live() == (str(yard.version), code))

    assert yard.lasting() == lasting


def test_a_way_out_that_is_refused_a_call_is_named_again(yard: Yard) -> None:
    before, lasting = yard.live(), yard.lasting()
    code = yard.ask_for("inference")
    yard.refuse("lambda:PublishVersion")
    assert "PublishVersion" in yard.apply()
    assert yard.live() == before
    assert "PublishVersion" in yard.apply(*way_out(yard.apply()))
    assert yard.live() == before
    yard.refuse()

    assert_completed(yard, lambda: yard.live() == (str(yard.version), code))

    assert yard.lasting() == lasting


@pytest.mark.parametrize(
    "last", ["CodeSha256", *(pytest.param(last, marks=pytest.mark.soak) for last in ("Environment", "Version"))]
)
def test_after_ctrl_c_between_two_calls_it_does_too(yard: Yard, last: str) -> None:
    """`last` is what the last call before Ctrl-C changes."""
    before, lasting, unchanged = yard.live(), yard.lasting(), yard.newest(last)
    code = yard.ask_for("inference")
    yard.interrupt_apply(lambda: yard.newest(last) != unchanged)
    assert yard.live() == before

    assert_completed(yard, lambda: yard.live() == (str(yard.version), code))

    assert yard.lasting() == lasting


def test_weights_are_not_published_by_code_that_was_not_asked_for(yard: Yard) -> None:
    lasting = yard.lasting()
    code = yard.ask_for("weights_sync")
    yard.refuse("lambda:UpdateFunctionCode")
    assert "UpdateFunctionCode" in yard.apply()
    yard.refuse()

    assert_completed(yard, lambda: yard.configuration(WEIGHTS_SYNC, "$LATEST")["CodeSha256"] == code)

    assert yard.lasting() == lasting
