"""The example's policies are enough to apply a deployment, to plan it again and to destroy it, and no other one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.core import iam_evaluator

from e2e.conftest import wait_until_empty
from local_stack.support import allow, client, eventually
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.layout import ACCOUNT, REGION
from modelctl.local.stack import LocalStack
from modelctl.terraform import program
from plan.conftest import ONE_MODEL, Root, example, platform
from plan.planned import Plan

NAME = "longestnamethere"  # 16 characters are the most that there may be
USER = "deployer"
#: As in terraform/backend_override.tf.example.
STATE = {"bucket": "my-terraform-states", "key": "modelyard/terraform.tfstate"}
GITHUB = {"repository": "my-company/models", "environment": "production"}
SCAN = next((paths.CHECKOUT / "models" / "digits" / "samples").glob("*.png"))

# The emulator asks for CreateFunction on no function in particular, and for the other two where AWS asks for
# GetEventSourceMapping and GetLayerVersion.
EMULATOR_ONLY = ["lambda:CreateFunction", "lambda:ListEventSourceMappings", "lambda:ListLayers"]
# The emulator asks for these on no resource in particular, whichever they are about; for rules of EventBridge on the
# default bus, or by an ARN that names it.
ON_NOTHING = {
    *(f"events:{action}Rule" for action in ("Put", "Describe", "Delete")),
    *(f"events:{action}" for action in ("PutTargets", "RemoveTargets", "ListTargetsByRule")),
    *(f"events:{action}Resource" for action in ("ListTagsFor", "Tag", "Untag")),
    *(f"cloudwatch:{action}" for action in ("PutDashboard", "GetDashboard", "DeleteDashboards", "DeleteAlarms")),
    *(f"{service}:{action}Resource" for service in ("cloudwatch", "sns") for action in ("ListTagsFor", "Tag", "Untag")),
}
# What of the conditions the emulator does not know: tags of networks and file systems, why they are tagged, and the
# function of a mapping. `CONDITIONAL` has these.
UNKNOWN_CONDITIONS = ("Make", "Change", "TagWhatIsNew", "TagNewFileSystems", "TagDefaultGroup", "Mappings")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html; without spaces, and less what a longer
# partition, region and bucket for the state may take.
MANAGED_POLICY_CHARACTERS = 6144 - 1000


EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
EFS = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
OURS = {"aws:ResourceTag/Modelyard": NAME}
NEW = {"aws:RequestTag/Modelyard": NAME}
#: Requests of an apply as AWS sees them, each with a key on which it depends: action, resource, keys.
CONDITIONAL: list[tuple[str, str, dict[str, str]]] = [
    *((f"ec2:Create{what}", f"{EC2}:{kind}/*", NEW) for what, kind in (("Vpc", "vpc"), ("Subnet", "subnet"))),
    ("ec2:CreateVpcEndpoint", f"{EC2}:vpc-endpoint/*", NEW),
    ("ec2:CreateSecurityGroup", f"{EC2}:security-group/*", NEW),
    ("ec2:AuthorizeSecurityGroupEgress", f"{EC2}:security-group-rule/*", NEW),
    ("elasticfilesystem:CreateFileSystem", f"{EFS}:file-system/*", NEW),
    *((f"ec2:Create{what}", f"{EC2}:vpc/vpc-1", OURS) for what in ("Subnet", "VpcEndpoint", "SecurityGroup")),
    ("ec2:AuthorizeSecurityGroupEgress", f"{EC2}:security-group/sg-1", OURS),
    ("ec2:ModifyVpcEndpoint", f"{EC2}:vpc-endpoint/vpce-1", OURS),
    ("ec2:CreateTags", f"{EC2}:subnet/subnet-1", OURS),
    ("ec2:CreateNetworkInterface", f"{EC2}:subnet/subnet-1", OURS),
    ("ec2:DeleteSubnet", f"{EC2}:subnet/subnet-1", OURS),
    ("ec2:DeleteVpc", f"{EC2}:vpc/vpc-1", OURS),
    *(
        (f"elasticfilesystem:{action}", f"{EFS}:file-system/fs-1", OURS)
        for action in ("CreateAccessPoint", "CreateMountTarget", "PutFileSystemPolicy", "DeleteFileSystem")
    ),
    ("elasticfilesystem:DeleteAccessPoint", f"{EFS}:access-point/fsap-1", OURS),
    ("ec2:CreateTags", f"{EC2}:vpc/vpc-1", {"ec2:CreateAction": "CreateVpc"}),
    ("ec2:CreateTags", f"{EC2}:security-group/sg-1", NEW),
    (
        "elasticfilesystem:TagResource",
        f"{EFS}:file-system/fs-1",
        {"elasticfilesystem:CreateAction": "CreateFileSystem"},
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/elasticfilesystem.amazonaws.com/AWSServiceRoleForAmazonElasticFileSystem",
        {"iam:AWSServiceName": "elasticfilesystem.amazonaws.com"},
    ),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/{NAME}-seven",
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    (
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/{NAME}--keep-active",
        {"iam:PassedToService": "scheduler.amazonaws.com"},
    ),
    ("lambda:CreateEventSourceMapping", "*", {"lambda:FunctionArn": f"{LAMBDA}:function:{NAME}-seven:live"}),
    (
        "lambda:DeleteEventSourceMapping",
        f"{LAMBDA}:event-source-mapping:1",
        {"lambda:FunctionArn": f"{LAMBDA}:function:{NAME}-seven:live"},
    ),
    ("kms:CreateKey", "*", NEW),
    ("kms:ScheduleKeyDeletion", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", OURS),
]


def allowed(statements: list[dict[str, Any]], action: str, resource: str, keys: dict[str, str]) -> bool:
    """Whether the emulator's evaluator allows a user with these statements a request as AWS would see it."""
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:iam::{ACCOUNT}:user/{USER}",
        principal_type="User",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        source_ip="127.0.0.1",
        secure_transport=True,
        service_context={key.lower(): value for key, value in keys.items()},
    )
    parsed = iam_evaluator.parse_policy_document({"Version": "2012-10-17", "Statement": statements})
    return bool(iam_evaluator.evaluate(request, [parsed]).decision == "Allow")


def actions_of(statement: dict[str, Any]) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.fixture(scope="module")
def administrator(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The example, applied."""
    root = example(
        "deployer",
        tmp_path_factory.mktemp("example"),
        stack.environment(),
        TF_VAR_name=NAME,
        TF_VAR_state=json.dumps(STATE),
        TF_VAR_github=json.dumps(GITHUB),
    )
    root.apply()
    return root


@pytest.fixture(scope="module")
def made(administrator: Root) -> dict[str, Any]:
    """The outputs of the example."""
    return administrator.outputs()


@pytest.fixture(scope="module")
def policies(stack: LocalStack, made: dict[str, Any]) -> dict[str, Any]:
    """The policies that the example makes, by name."""
    iam = client(stack.environment(), "iam")
    found = {}
    for arn in made["policy_arns"]:
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
        found[policy["PolicyName"]] = version["PolicyVersion"]["Document"]
    return found


@pytest.fixture(scope="module")
def deployer(stack: LocalStack, policies: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The environment of a user who has the example's policies and nothing else.

    Without those conditions that the emulator does not know: that the tags are there is for the plan to show.
    """
    iam = client(stack.environment(), "iam")
    iam.create_user(UserName=USER)
    for name, policy in policies.items():
        plain = [
            {key: value for key, value in each.items() if key != "Condition" or each["Sid"] not in UNKNOWN_CONDITIONS}
            for each in policy["Statement"]
        ]
        on_nothing = [action for each in plain for action in actions_of(each) if action in ON_NOTHING]
        iam.put_user_policy(
            UserName=USER,
            PolicyName=name,
            PolicyDocument=json.dumps({**policy, "Statement": [*plain, allow([*EMULATOR_ONLY, *on_nothing])]}),
        )
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    yield stack.environment() | {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    for name in policies:
        iam.delete_user_policy(UserName=USER, PolicyName=name)
    iam.delete_user(UserName=USER)


@pytest.fixture(scope="module")
def applied(deployer: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The platform with one model, applied by the deployer."""
    scratch = tmp_path_factory.mktemp("yard")
    registry = scratch / "registry.yaml"
    registry.write_text(ONE_MODEL)
    # Both ways of announcing uploads take all that either takes.
    root = platform(scratch, deployer, TF_VAR_name=NAME, TF_VAR_registry_file=registry, TF_VAR_event_way="both")
    root.apply()
    return root


def test_the_deployer_applies_and_finds_nothing_to_change(applied: Root, tmp_path: Path) -> None:
    assert applied.outputs()["deployment"]["models"].keys() == {"seven"}
    assert json.loads(applied.plan(tmp_path / "again"))["applyable"] is False


@pytest.mark.parametrize(
    ("service", "method", "arguments"),
    [
        ("s3", "create_bucket", {"Bucket": "other-inputs"}),
        ("s3", "create_bucket", {"Bucket": f"{NAME}-states-{ACCOUNT}-{REGION}"}),
        ("s3", "put_object", {"Bucket": f"{NAME}-inputs-{ACCOUNT}-{REGION}", "Key": "seven/1.png", "Body": b""}),
        ("s3", "get_object", {"Bucket": f"{NAME}-results-{ACCOUNT}-{REGION}", "Key": "seven/seven/1.png.json"}),
        ("s3", "delete_object", {"Bucket": f"{NAME}-inputs-{ACCOUNT}-{REGION}", "Key": "seven/1.png"}),
        ("sqs", "create_queue", {"QueueName": "modelyard-digits"}),
        ("events", "put_events", {"Entries": [{"Source": "own", "DetailType": "own", "Detail": "{}"}]}),
        ("scheduler", "delete_schedule", {"Name": "modelyard--weights-sync"}),
        ("sns", "create_topic", {"Name": "on-call"}),
        ("sns", "publish", {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}-alarms", "Message": "all is well"}),
        ("logs", "create_log_group", {"logGroupName": "/aws/lambda/modelyard-digits"}),
        ("logs", "filter_log_events", {"logGroupName": f"/aws/lambda/{NAME}-seven"}),
        *(
            ("lambda", "invoke", {"FunctionName": f"{NAME}-seven", **qualifier})
            for qualifier in ({}, {"Qualifier": "live"}, {"Qualifier": "$LATEST"})
        ),
        ("lambda", "invoke", {"FunctionName": "modelyard-digits", "Qualifier": "1"}),
        ("lambda", "get_function", {"FunctionName": "modelyard-digits", "Qualifier": "1"}),
        ("lambda", "delete_function", {"FunctionName": "modelyard-digits"}),
        ("iam", "create_role", {"RoleName": "other", "AssumeRolePolicyDocument": "{}"}),
        ("iam", "put_user_policy", {"UserName": USER, "PolicyName": "more", "PolicyDocument": "{}"}),
        ("iam", "create_access_key", {"UserName": USER}),
        (
            *("service-quotas", "request_service_quota_increase"),
            {"ServiceCode": "lambda", "QuotaCode": "L-B99A9384", "DesiredValue": 5000},
        ),
        ("ec2", "run_instances", {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_deployer_touches_no_other_deployment_no_data_and_not_itself(
    applied: Root, deployer: dict[str, str], service: str, method: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(deployer, service), method)(**arguments)
    assert refused.value.response["Error"]["Code"] in (
        *("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"),
    )


@pytest.mark.parametrize("use", ["inputs", "results"])
def test_the_deployer_reads_no_data_even_if_it_writes_a_bucket_policy_that_lets_it(
    applied: Root, stack: LocalStack, deployer: dict[str, str], use: str
) -> None:
    bucket = f"{NAME}-{use}-{ACCOUNT}-{REGION}"
    # No model takes it.
    put = client(stack.environment(), "s3").put_object(Bucket=bucket, Key="unread", Body=b"data")
    own = client(deployer, "s3")
    kept = own.get_bucket_policy(Bucket=bucket)["Policy"]
    user = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{USER}"}
    lets = allow(["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging"], f"arn:aws:s3:::{bucket}/*")
    own.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [lets | {"Principal": user}]})
    )
    own.get_object_tagging(Bucket=bucket, Key="unread")
    with pytest.raises(ClientError, match="explicit deny"):
        own.get_object(Bucket=bucket, Key="unread")
    own.put_bucket_policy(Bucket=bucket, Policy=kept)
    version = {"VersionId": put["VersionId"]} if "VersionId" in put else {}
    client(stack.environment(), "s3").delete_object(Bucket=bucket, Key="unread", **version)


def test_the_state_is_kept_and_locked_where_the_example_of_the_backend_says(
    stack: LocalStack, deployer: dict[str, str], tmp_path: Path
) -> None:
    s3 = client(stack.environment(), "s3")
    s3.create_bucket(Bucket=STATE["bucket"])
    example_of_backend = (paths.TERRAFORM / "backend_override.tf.example").read_text()
    (tmp_path / "main.tf").write_text(f'{example_of_backend}\nresource "terraform_data" "this" {{}}\n')
    root = program.Root({**program.clean_environment(), **deployer, **program.QUIET}, tmp_path)
    # The address of the local stack has no subdomains.
    root.init("use_path_style=true")
    for _ in root.change("apply"):
        pass
    # What held the lock is gone.
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=STATE["bucket"])["Contents"]] == [STATE["key"]]
    with pytest.raises(ClientError, match="AccessDenied"):
        client(deployer, "s3").put_object(Bucket=STATE["bucket"], Key="other/terraform.tfstate", Body=b"")


def test_the_first_apply_in_a_workspace_beside_others_needs_no_preparation(stack: LocalStack, tmp_path: Path) -> None:
    """GIVEN states of two workspaces WHEN another fresh clone is set to a third THEN it is initialised and applied."""
    env = {**program.clean_environment(), **stack.environment(), **program.QUIET}
    s3 = client(env, "s3")
    s3.create_bucket(Bucket="states")
    example_of_backend = (paths.TERRAFORM / "backend_override.tf.example").read_text()
    for workspace in ("default", "staging", "vision"):
        clone = tmp_path / workspace
        clone.mkdir()
        (clone / "main.tf").write_text(f'{example_of_backend}\nresource "terraform_data" "this" {{}}\n')
        root = program.Root({**env, "TF_WORKSPACE": workspace}, clone)
        root.init("use_path_style=true", "bucket=states")
        for _ in root.change("apply"):
            pass
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="states")["Contents"]] == [
        f"env:/staging/{STATE['key']}",
        f"env:/vision/{STATE['key']}",
        STATE["key"],
    ]


def test_only_workflows_of_the_environment_take_on_the_role_which_has_the_policies_and_cannot_change_itself(
    stack: LocalStack, made: dict[str, Any], policies: dict[str, Any]
) -> None:
    iam = client(stack.environment(), "iam")
    role = iam.get_role(RoleName=made["github_role_arn"].rpartition("/")[2])["Role"]
    attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert {each["PolicyArn"] for each in attached} == set(made["policy_arns"])
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {
                "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com",
            },
            "Condition": {
                "StringEquals": {
                    "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                    "token.actions.githubusercontent.com:sub": "repo:my-company/models:environment:production",
                }
            },
        }
    ]
    statements = [statement for policy in policies.values() for statement in policy["Statement"]]
    for action in ("PutRolePolicy", "UpdateAssumeRolePolicy", "DeleteRole"):
        assert allowed(statements, f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:role/{NAME}-seven", {})
        assert not allowed(statements, f"iam:{action}", role["Arn"], {})


@pytest.mark.parametrize(
    "github",
    [{**GITHUB, "repository": "my-company/*"}, {**GITHUB, "environment": "*"}],
    ids=["any-repository", "any-environment"],
)
def test_a_role_that_more_than_one_environment_could_take_on_is_refused(
    administrator: Root, tmp_path: Path, github: dict[str, str]
) -> None:
    with pytest.raises(UserError, match="github must be one repository and one of its environments"):
        administrator.plan(tmp_path / "plan", "-refresh=false", f"-var=github={json.dumps(github)}")


def test_every_condition_allows_what_is_of_this_deployment_and_refuses_what_is_not(policies: dict[str, Any]) -> None:
    statements = [statement for policy in policies.values() for statement in policy["Statement"]]
    for action, resource, keys in CONDITIONAL:
        others = {key: value.replace(NAME, "modelyard") for key, value in keys.items()}
        if others == keys:
            others = dict.fromkeys(keys, "ec2.amazonaws.com")
        assert allowed(statements, action, resource, keys), (action, keys)
        assert not allowed(statements, action, resource, others), (action, others)
        assert not allowed(statements, action, resource, {}), action


def test_a_group_of_somebody_else_is_not_taken_over_by_tagging_it(policies: dict[str, Any]) -> None:
    statements = [statement for policy in policies.values() for statement in policy["Statement"]]
    theirs = {"aws:ResourceTag/Modelyard": "modelyard"}
    assert not allowed(statements, "ec2:CreateTags", f"{EC2}:security-group/sg-1", NEW | theirs)


def test_no_condition_is_left_untried(policies: dict[str, Any]) -> None:
    conditional = [each for policy in policies.values() for each in policy["Statement"] if "Condition" in each]
    assert {each["Sid"] for each in conditional} > set(UNKNOWN_CONDITIONS)
    untried = [each["Sid"] for each in conditional if not any(allowed([each], *request) for request in CONDITIONAL)]
    assert untried == []


def test_the_policies_fit_into_managed_policies_and_leave_no_write_unbounded(policies: dict[str, Any]) -> None:
    for name, policy in policies.items():
        assert len(json.dumps(policy, separators=(",", ":"))) <= MANAGED_POLICY_CHARACTERS, name
        for statement in policy["Statement"]:
            reads = all(
                action.split(":")[1].startswith(("Describe", "Get", "List")) for action in actions_of(statement)
            )
            assert statement["Resource"] != "*" or reads or "Condition" in statement, statement["Sid"]


def test_what_the_policies_know_by_its_tag_carries_the_tag(plan: Plan) -> None:
    known_by_tag = (
        *("aws_vpc", "aws_subnet", "aws_route_table", "aws_security_group", "aws_default_security_group"),
        "aws_kms_key",
    )
    tagged = {
        address: values["tags_all"].get("Modelyard")
        for address, values in plan.resources.items()
        if plan.types[address].startswith((*known_by_tag, "aws_efs")) and "tags_all" in values
    }
    assert tagged == dict.fromkeys(tagged, "modelyard")
    assert {"aws_vpc", "aws_efs_file_system", "aws_efs_access_point", "aws_kms_key"} <= {
        plan.types[address] for address in tagged
    }


@pytest.mark.parametrize("options", [(), ("-var", "force_destroy=true")], ids=["as-applied", "on-the-command-line"])
def test_nothing_is_destroyed_before_force_destroy_was_applied(
    applied: Root, stack: LocalStack, options: tuple[str, ...]
) -> None:
    resources = applied.resources()
    with pytest.raises(UserError) as refused:
        applied.destroy(*options)
    # S3's words, about an object whose name says what to do.
    assert "to destroy this deployment, first run: terraform apply -var force_destroy=true" in str(refused.value)
    assert "explicit deny" in str(refused.value)
    assert applied.resources() == resources
    assert serves(stack.environment(), "-".join(options) + ".png")


def test_the_deployer_destroys(applied: Root, stack: LocalStack) -> None:
    sqs = client(stack.environment(), "sqs")
    # Each upload was announced in both ways, and the second message may still be on its way.
    wait_until_empty(sqs, [sqs.get_queue_url(QueueName=f"{NAME}-seven")["QueueUrl"]])
    empty(stack.environment())
    applied.apply("-var", "force_destroy=true")
    applied.destroy()
    assert applied.resources() == []


def serves(env: dict[str, str], key: str) -> bool:
    """Whether an input gets its prediction."""
    s3, results = client(env, "s3"), f"{NAME}-results-{ACCOUNT}-{REGION}"
    s3.upload_file(SCAN, f"{NAME}-inputs-{ACCOUNT}-{REGION}", f"seven/{key}")
    (found,) = eventually(lambda: s3.list_objects_v2(Bucket=results, Prefix=f"seven/seven/{key}").get("Contents"))
    return "predictions" in json.load(s3.get_object(Bucket=results, Key=found["Key"])["Body"])


def empty(env: dict[str, str]) -> None:
    """Delete inputs and results, which the deployer may not."""
    s3 = client(env, "s3")
    for use in ("inputs", "results"):
        bucket = f"{NAME}-{use}-{ACCOUNT}-{REGION}"
        for found in s3.list_object_versions(Bucket=bucket)["Versions"]:
            s3.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
