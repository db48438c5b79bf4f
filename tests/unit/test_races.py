"""What is repeated of an apply that failed, how often and after how long. The errors are the provider's own words."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from modelctl.errors import UserError
from modelctl.targets import Target
from modelctl.terraform import applying, program, races
from modelctl.terraform.program import TerraformError

KEY = "module.observability.aws_kms_key.alarms[0]"
USER = "arn:aws:sts::123456789012:assumed-role/deployer/ci"
ACCESS_POINT = "access point arn:aws:elasticfilesystem:us-east-2:123456789012:access-point/fsap-015cxmplb72b405fd"


def failed(what: str, operation: str, status: int, error: str, address: str) -> str:
    """The provider's words of a call that failed, and the address that Terraform reports with them."""
    answer = f"https response error StatusCode: {status}, RequestID: 5a26f6b0-1c5a-4e0c-8d3a-3f3f0a7c2d11"
    return f"{what}: operation error {operation}, {answer}, {error} ({address})"


def invoking(status: int, error: str) -> str:
    what, address = (
        "invoking Lambda Function (yard--weights-sync)",
        'module.model["wine"].aws_lambda_invocation.weights',
    )
    return failed(what, "Lambda: Invoke", status, error, address)


def creating(error: str) -> str:
    what, address = "creating Lambda Function (yard-wine)", 'module.model["wine"].aws_lambda_function.inference'
    return failed(what, "Lambda: CreateFunction", 400, f"InvalidParameterValueException: {error}", address)


def denied(action: str, resource: str) -> str:
    reason = f"because no identity-based policy allows the {action} action"
    return (
        f"api error AccessDeniedException: User: {USER} is not authorized to perform: {action} on resource: {resource} "
        f"{reason}"
    )


MOUNT = invoking(
    408,
    "EFSMountConnectivityException: The function couldn't connect to the Amazon EFS file system with "
    f"{ACCESS_POINT}. Check your network configuration and try again.",
)
QUEUE = failed(
    "creating S3 Bucket (yard-inputs) Notification",
    "S3: PutBucketNotificationConfiguration",
    400,
    "HostID: abc=, api error InvalidArgument: Unable to validate the following destination configurations",
    "module.routing.aws_s3_bucket_notification.inputs",
)
TAGS = failed(
    "enabling KMS Key (1234abcd-12ab-34cd-56ef-1234567890ab) rotation",
    "KMS: EnableKeyRotation",
    400,
    denied("kms:EnableKeyRotation", "arn:aws:kms:us-east-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
    KEY,
)

#: An error of each kind, and within how many seconds AWS says that it passes.
PASSING = {
    "mount": (MOUNT, 90),
    "mount refused": (
        invoking(
            403, f"EFSMountFailureException: The function could not mount the EFS file system with {ACCESS_POINT}."
        ),
        90,
    ),
    "mount timed out": (
        invoking(
            408, f"EFSMountTimeoutException: The function timed out mounting the EFS file system with {ACCESS_POINT}."
        ),
        90,
    ),
    "mount target": (
        creating(
            "EFS file system arn:aws:elasticfilesystem:us-east-2:123456789012:file-system/fs-1 referenced by "
            f"{ACCESS_POINT} has mount targets created in all availability zones the function will execute in, but not "
            "all are in the available life cycle state yet. Please wait for them to become available and try the "
            "request again."
        ),
        90,
    ),
    "function pending": (
        invoking(
            409,
            "ResourceConflictException: The operation cannot be performed at this time. The function is currently in "
            "the following state: Pending",
        ),
        120,
    ),
    "function inactive": (
        invoking(
            409,
            "api error CodeArtifactUserPendingException: Lambda is initializing your function. It will be ready to "
            "invoke shortly.",
        ),
        120,
    ),
    "young queue": (QUEUE, 60),
    "tags of a key": (TAGS, 300),
}

#: Errors that do not pass, or that the provider has retried already.
LASTING = {
    "a function that may not be called": invoking(403, denied("lambda:InvokeFunction", "arn:aws:lambda:us-east-2:1:f")),
    "a key that may not be made": failed("creating KMS Key", "KMS: CreateKey", 400, denied("kms:CreateKey", "*"), KEY),
    "a role that nobody can assume": creating("The role defined for the function cannot be assumed by Lambda."),
    "a role that may not": creating(
        "The provided execution role does not have permissions to call CreateNetworkInterface on EC2"
    ),
    "a security group in use": failed(
        "deleting Security Group (sg-1)",
        "EC2: DeleteSecurityGroup",
        400,
        "api error DependencyViolation: resource sg-1 has a dependent object",
        "module.network[0].aws_security_group.functions",
    ),
    "weights that cannot be copied": (
        'invoking Lambda Function (yard--weights-sync): {"errorMessage": "model.tflite has another checksum"}'
    ),
}


ROOT = program.Root({}, Path())


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(races, "sleep", seconds.append)
    return seconds


@pytest.fixture(autouse=True)
def untainted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr(program.Root, "untaint", lambda _, address: addresses.append(address))
    return addresses


@pytest.mark.parametrize(("error", "within_s"), PASSING.values(), ids=PASSING)
def test_an_error_that_passes_is_waited_for_as_long_as_it_takes_and_no_longer(
    error: str, within_s: int, slept: list[float]
) -> None:
    problem = TerraformError("apply", [error])
    assert [races.waited_for(problem, repeated, ROOT) for repeated in range(4)] == [True, True, True, False]
    assert slept == [within_s / 6, within_s / 3, within_s / 2]


@pytest.mark.parametrize("error", LASTING.values(), ids=LASTING)
@pytest.mark.parametrize("others", [[], [MOUNT], [QUEUE, TAGS]], ids=["alone", "with-one", "with-two"])
def test_an_apply_with_any_other_error_is_not_repeated(error: str, others: list[str], slept: list[float]) -> None:
    for problems in ([error, *others], [*others, error]):
        assert not races.waited_for(TerraformError("apply", problems), 0, ROOT)
    assert slept == []


def test_the_slowest_of_several_decides_and_each_is_explained(
    slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert races.waited_for(TerraformError("apply", [QUEUE, MOUNT, MOUNT]), 0, ROOT)
    assert slept == [15]
    assert capsys.readouterr().err.splitlines() == [
        "A new mount target, or its name, is not known everywhere in the network yet.",
        "S3 does not know the policy of a new queue yet.",
        "this resolves itself: applying again in 15 s",
    ]


def test_a_new_key_is_kept_since_the_tags_of_the_next_would_be_as_young(
    slept: list[float], untainted: list[str]
) -> None:
    assert races.waited_for(TerraformError("apply", [MOUNT, TAGS]), 1, ROOT)
    assert slept == [100]
    assert untainted == [KEY]


@pytest.mark.parametrize(("error", "applies"), [(QUEUE, 4), (LASTING["a role that may not"], 1)], ids=["race", "other"])
def test_an_apply_that_goes_on_failing_is_repeated_three_times_at_most(
    error: str, applies: int, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = applying.Planned(Target("aws", {}), ("-var=a=b",), Path("plan"), changes=True, loses_queues=False)
    monkeypatch.setattr(program.Root, "show", lambda *_: {"resource_changes": []})
    changes: list[tuple[str, ...]] = []

    def change(_: Target, *command: str) -> None:
        changes.append(command)
        raise TerraformError("apply", [error])

    monkeypatch.setattr(applying, "_change", change)
    monkeypatch.setattr(
        applying, "planned", lambda *asked: nullcontext(plan) if asked == (plan.target, *plan.options) else None
    )
    with pytest.raises(UserError, match="terraform apply failed:"):
        applying.apply(plan)
    assert changes == [("apply", "plan")] * applies
    assert len(slept) == applies - 1
