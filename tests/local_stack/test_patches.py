"""The emulator answers as AWS does where Modelyard depends on it."""

import json
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_stack.support import LOGS, NETWORK, Cloud, allow, client, eventually, policy, zipped
from modelctl.local.layout import ACCOUNT, REGION, Layout, write_whole
from modelctl.local.patches import patching
from modelctl.local.stack import LocalStack

NOTHING = "def handler(event, context): pass"


def test_version_listings_encode_keys_when_asked(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html"""
    cloud.bucket("versions")
    s3, keys = cloud.client("s3"), ["a/ü.png", "a/x y", "a/x+y", "a/x%2By"]
    for key in keys:
        s3.put_object(Bucket="versions", Key=key, Body=b"")
    # boto3 asks for url encoding and decodes; the Terraform provider does the same.
    listed = s3.list_object_versions(Bucket="versions", Prefix="a/x", Delimiter="+")
    assert [version["Key"] for version in listed["Versions"]] == ["a/x y", "a/x%2By"]
    assert [group["Prefix"] for group in listed["CommonPrefixes"]] == ["a/x+"]
    assert listed["Prefix"] == "a/x"
    assert sorted(version["Key"] for version in s3.list_object_versions(Bucket="versions")["Versions"]) == sorted(keys)
    plain = s3.list_object_versions(Bucket="versions", EncodingType="url")
    assert plain["EncodingType"] == "url"
    assert sorted(version["Key"] for version in plain["Versions"]) == [
        "a/%C3%BC.png",
        "a/x%20y",
        "a/x%252By",
        "a/x%2By",
    ]


def test_who_pays_for_requests_is_told_whatever_keys_the_bucket_holds(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketRequestPayment.html"""
    cloud.bucket("payment")
    s3 = cloud.client("s3")
    s3.put_object(Bucket="payment", Key="a\x01.png", Body=b"")
    assert s3.get_bucket_request_payment(Bucket="payment")["Payer"] == "BucketOwner"


def test_calls_that_a_test_chooses_fail_before_or_after_they_are_done(cloud: Cloud, local_stack: LocalStack) -> None:
    cloud.bucket("faults")
    s3, faults = cloud.client("s3"), Layout(local_stack.home).faults

    def answer(key: str) -> str:
        try:
            s3.put_object(Bucket="faults", Key=key, Body=b"x")
        except ClientError as error:
            return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
        return "done"

    chosen = {"method": "PUT", "path": "/faults/.+", "status": 503, "code": "SlowDown"}
    try:
        write_whole(faults, json.dumps([{**chosen, "every": 3}]))
        assert [answer(f"before-{number}") for number in range(6)] == ["done", "done", "503 SlowDown"] * 2
        for _ in range(3):
            s3.get_object(Bucket="faults", Key="before-0")
        write_whole(faults, json.dumps([{**chosen, "every": 1, "done": True}]))
        assert answer("after") == "503 SlowDown"
    finally:
        faults.unlink()
    assert answer("none") == "done"
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket="faults")["Contents"]]
    assert listed == ["after", "before-0", "before-1", "before-3", "before-4", "none"]


def keys_of(cloud: Cloud, user: str, *statements: dict[str, Any]) -> dict[str, str]:
    """Make an IAM user; return the variables to work as it."""
    iam = cloud.client("iam")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=policy(*statements))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return dict(cloud.env) | {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_a_missing_key_is_forbidden_to_who_may_not_list(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
    cloud.bucket("missing")
    cloud.client("s3").put_object(Bucket="missing", Key="there", Body=b"x")
    get = allow(["s3:GetObject", "s3:GetObjectVersion"], "arn:aws:s3:::missing/*")
    blind = client(keys_of(cloud, "blind", get), "s3")
    seeing = client(keys_of(cloud, "seeing", get, allow("s3:ListBucket", "arn:aws:s3:::missing")), "s3")
    assert blind.get_object(Bucket="missing", Key="there")["Body"].read() == b"x"
    for caller, status, code in ((blind, 403, "AccessDenied"), (seeing, 404, "NoSuchKey")):
        with pytest.raises(ClientError) as caught:
            caller.get_object(Bucket="missing", Key="not/there")
        assert caught.value.response["Error"]["Code"] == code
        with pytest.raises(ClientError) as caught:
            caller.head_object(Bucket="missing", Key="not/there")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_who_may_call_a_version_may_not_call_the_alias(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html"""
    arn = cloud.function("qualified", NOTHING)
    caller = client(keys_of(cloud, "of-versions", allow("lambda:InvokeFunction", f"{arn}:1")), "lambda")
    assert caller.invoke(FunctionName="qualified", Qualifier="1")["StatusCode"] == 200
    assert caller.invoke(FunctionName="qualified:1")["StatusCode"] == 200
    for other in ({"FunctionName": "qualified"}, {"FunctionName": "qualified", "Qualifier": "live"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            caller.invoke(**other)


def test_a_condition_sees_the_tags_of_a_queue(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-abac.html"""
    sqs = cloud.client("sqs")
    urls = {name: cloud.queue(f"tagged-{name}")[0] for name in ("ours", "theirs", "none")}
    sqs.tag_queue(QueueUrl=urls["ours"], Tags={"Deployment": "ours"})
    sqs.tag_queue(QueueUrl=urls["theirs"], Tags={"Deployment": "theirs", "Other": "ours"})
    statement = allow("sqs:SendMessage") | {"Condition": {"StringEquals": {"aws:ResourceTag/deployment": "ours"}}}
    sender = client(keys_of(cloud, "by-tag", statement), "sqs")
    sender.send_message(QueueUrl=urls["ours"], MessageBody="{}")
    for name in ("theirs", "none"):
        with pytest.raises(ClientError, match="AccessDenied"):
            sender.send_message(QueueUrl=urls[name], MessageBody="{}")


def test_who_may_do_something_with_a_message_may_do_it_with_a_batch(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html"""
    url, arn = cloud.queue("batches")
    entry = {"Id": "1", "ReceiptHandle": "none"}
    batches: dict[str, list[dict[str, Any]]] = {
        "SendMessage": [{"Id": "1", "MessageBody": "{}"}],
        "ChangeMessageVisibility": [entry | {"VisibilityTimeout": 0}],
        "DeleteMessage": [entry],
    }
    for action, entries in batches.items():
        able = client(keys_of(cloud, f"may-{action}", allow(f"sqs:{action}", arn)), "sqs")
        others = [f"sqs:{other}" for other in batches if other != action]
        unable = client(keys_of(cloud, f"may-not-{action}", allow(others, arn)), "sqs")
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action)[1:] + "_batch"
        answer = getattr(able, method)(QueueUrl=url, Entries=entries)
        assert len(answer.get("Successful", [])) + len(answer.get("Failed", [])) == 1
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(unable, method)(QueueUrl=url, Entries=entries)


def notifications(queue_arn: str, *filters: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "QueueConfigurations": [
            {
                "QueueArn": queue_arn,
                "Events": [event],
                "Filter": {
                    "Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]}
                },
            }
            for prefix, suffix, event in filters
        ]
    }


CREATED, PUT, REMOVED = "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectRemoved:*"


@pytest.fixture(scope="module")
def notified(cloud: Cloud) -> str:
    """ARN of a queue to which the bucket `notified` may send."""
    cloud.bucket("notified")
    send = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    return cloud.queue("notified", Policy=policy(send))[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/", "", CREATED), ("a/b/", "", CREATED)),
        (("a/", ".png", CREATED), ("a/", "g", CREATED)),
        (("", ".png", CREATED), ("a/", ".png", CREATED)),
        (("a/", "", CREATED), ("a/", "", PUT)),
    ],
)
def test_notifications_that_overlap_are_refused(cloud: Cloud, notified: str, one: Any, other: Any) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html"""
    with pytest.raises(ClientError, match="Configurations overlap"):
        cloud.client("s3").put_bucket_notification_configuration(
            Bucket="notified", NotificationConfiguration=notifications(notified, one, other)
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/", "", CREATED), ("b/", "", CREATED)),
        (("a/", ".png", CREATED), ("a/", ".json", CREATED)),
        (("a/", "", CREATED), ("a/", "", REMOVED)),
    ],
)
def test_notifications_that_do_not_overlap_are_accepted(cloud: Cloud, notified: str, one: Any, other: Any) -> None:
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket="notified", NotificationConfiguration=notifications(notified, one, other)
    )


def rule_to_queue(cloud: Cloud, name: str, bucket: str, **queue_attributes: str) -> str:
    """A bus rule that sends what is created in a bucket to a queue of its own; returns the queue's URL."""
    events = cloud.client("events")
    url, arn = cloud.queue(name, **queue_attributes)
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [bucket]}}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return url


def from_rule(queue: str, rule: str) -> str:
    """The policy of a queue to which EventBridge may send by one rule."""
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
            "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}"}},
        }
    )


def test_an_event_of_s3_says_by_which_request_and_as_which_version_the_object_came(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""
    s3, sqs = cloud.client("s3"), cloud.client("sqs")
    urls, answers = {}, {}
    for bucket in ("announced", "announced-versions"):
        cloud.bucket(bucket)
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        urls[bucket] = rule_to_queue(cloud, bucket, bucket, Policy=from_rule(bucket, bucket))
    s3.put_bucket_versioning(Bucket="announced-versions", VersioningConfiguration={"Status": "Enabled"})
    for bucket in urls:
        answers[bucket] = s3.put_object(Bucket=bucket, Key="a b/ü.json", Body=b"{}")
    eventually(lambda: cloud.messages(urls["announced"]))
    parts = s3.create_multipart_upload(Bucket="announced", Key="parts")
    upload = {"Bucket": "announced", "Key": "parts", "UploadId": parts["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=b"{}")
    s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, IfNoneMatch="*"
    )

    def received(bucket: str) -> dict[str, Any]:
        (message,) = eventually(lambda: sqs.receive_message(QueueUrl=urls[bucket]).get("Messages"))
        return json.loads(message["Body"])  # type: ignore[no-any-return]

    put, versioned, whole = received("announced"), received("announced-versions"), received("announced")
    assert put["resources"] == ["arn:aws:s3:::announced"]
    assert put["detail"]["bucket"] == {"name": "announced"}
    assert put["detail"]["reason"] == "PutObject"
    # Not encoded as in a notification, and without a version, since the bucket keeps none.
    sequencer = put["detail"]["object"].pop("sequencer")
    assert int(sequencer, 16)
    etag = answers["announced"]["ETag"].strip('"')
    assert put["detail"]["object"] == {"key": "a b/ü.json", "size": 2, "etag": etag}
    assert versioned["detail"]["object"]["version-id"] == answers["announced-versions"]["VersionId"]
    assert whole["detail"]["object"]["key"] == "parts"
    assert whole["detail"]["reason"] == "CompleteMultipartUpload"
    assert [cloud.messages(url) for url in urls.values()] == [2, 1]


def test_a_queue_gets_events_only_of_the_rule_that_its_policy_allows(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions"""
    cloud.bucket("ruled")
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket="ruled", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    closed = rule_to_queue(cloud, "ruled-closed", "ruled")
    others = rule_to_queue(cloud, "ruled-others", "ruled", Policy=from_rule("ruled-others", "ruled-own"))
    own = rule_to_queue(cloud, "ruled-own", "ruled", Policy=from_rule("ruled-own", "ruled-own"))
    cloud.client("s3").put_object(Bucket="ruled", Key="a", Body=b"")
    # Rules are looked at in the order in which they were made.
    eventually(lambda: cloud.messages(own))
    assert [cloud.messages(url) for url in (closed, others, own)] == [0, 0, 1]


@pytest.fixture(scope="module")
def vpc(cloud: Cloud) -> str:
    vpc_id: str = cloud.client("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    return vpc_id


def test_a_vpc_endpoint_keeps_its_policy(cloud: Cloud, vpc: str) -> None:
    ec2 = cloud.client("ec2")
    own = policy(allow("s3:GetObject", "arn:aws:s3:::a<b&c/*") | {"Principal": "*"})
    service = "com.amazonaws.us-east-1.s3"
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, PolicyDocument=own)["VpcEndpoint"]
    default = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service)["VpcEndpoint"]
    assert made["PolicyDocument"] == own
    ids = [made["VpcEndpointId"], default["VpcEndpointId"]]
    shown = ec2.describe_vpc_endpoints(VpcEndpointIds=ids)["VpcEndpoints"]
    assert {endpoint["VpcEndpointId"]: endpoint["PolicyDocument"] for endpoint in shown}[ids[0]] == own
    assert json.loads(default["PolicyDocument"])["Statement"][0]["Action"] == "*"


def test_a_security_group_rule_shows_the_prefix_list_it_names(cloud: Cloud, vpc: str) -> None:
    ec2 = cloud.client("ec2")
    group = ec2.create_security_group(GroupName="prefixes", Description="-", VpcId=vpc)["GroupId"]
    lists = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}])
    prefix_list = lists["PrefixLists"][0]["PrefixListId"]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": prefix_list}]}
    made = ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"][0]
    assert made["PrefixListId"] == prefix_list
    shown = ec2.describe_security_group_rules(SecurityGroupRuleIds=[made["SecurityGroupRuleId"]])["SecurityGroupRules"]
    assert [rule["PrefixListId"] for rule in shown] == [prefix_list]


def test_the_allow_all_rule_goes_by_whatever_ports(cloud: Cloud, vpc: str) -> None:
    ec2 = cloud.client("ec2")
    group = ec2.create_security_group(GroupName="closed", Description="-", VpcId=vpc)["GroupId"]
    everything = {"IpProtocol": "-1", "FromPort": 0, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == []


@pytest.mark.parametrize("given", [{}, {"Id": "mine"}])
def test_a_file_system_policy_gets_no_id_of_its_own(cloud: Cloud, given: dict[str, str]) -> None:
    efs = cloud.client("efs")
    system = efs.create_file_system(CreationToken=f"policy-{given}")
    statement = {
        "Sid": "Tls",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "*",
        "Resource": system["FileSystemArn"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    written = {"Version": "2012-10-17", "Statement": [statement], **given}
    put = efs.put_file_system_policy(FileSystemId=system["FileSystemId"], Policy=json.dumps(written))
    read = efs.describe_file_system_policy(FileSystemId=system["FileSystemId"])
    assert json.loads(put["Policy"]) == json.loads(read["Policy"]) == written


ON_ONE_METRIC = {
    "MetricName": "Errors",
    "Namespace": "AWS/Lambda",
    "Statistic": "Sum",
    "Dimensions": [{"Name": "FunctionName", "Value": "digits"}, {"Name": "Resource", "Value": "digits:live"}],
    "Period": 300,
}
ON_AN_EXPRESSION = {
    "Metrics": [
        {
            "Id": "share",
            "MetricStat": {
                "Metric": {
                    "Namespace": "Modelyard",
                    "MetricName": "InputErrors",
                    "Dimensions": [{"Name": "Model", "Value": "digits"}, {"Name": "Variant", "Value": "stable"}],
                },
                "Period": 3600,
                "Stat": "Average",
            },
            "ReturnData": False,
        },
        {"Id": "twice", "Expression": "IF(share > 0, 2 * share)", "Label": "Twice & more", "ReturnData": True},
    ]
}


@pytest.mark.parametrize("of", [ON_ONE_METRIC, ON_AN_EXPRESSION], ids=["metric", "expression"])
@pytest.mark.parametrize("protocol", ["query", "json"])
def test_an_alarm_is_described_as_it_was_made(
    cloud: Cloud, protocol: str, of: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html"""
    # boto3 would choose JSON; the Terraform provider speaks the older one.
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (protocol,))
    # One that no other test has made, and so chosen a protocol for.
    cloudwatch = client(dict(cloud.env) | {"PROTOCOL": protocol}, "cloudwatch")
    assert cloudwatch.meta.service_model.resolved_protocol == protocol
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call"
    given = {
        **of,
        "AlarmName": f"digits/{protocol}",
        "AlarmDescription": "Calls fail & nobody <knows>",
        "ActionsEnabled": True,
        "AlarmActions": [topic],
        "OKActions": [topic],
        "EvaluationPeriods": 1,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }
    cloudwatch.put_metric_alarm(**given)
    (shown,) = cloudwatch.describe_alarms(AlarmNames=[given["AlarmName"]])["MetricAlarms"]
    assert {field: shown[field] for field in given} == given
    assert shown.keys() & (ON_ONE_METRIC.keys() | ON_AN_EXPRESSION.keys()) == of.keys()
    assert cloudwatch.describe_alarms(AlarmNames=["digits/none"])["MetricAlarms"] == []


def test_the_principal_arn_of_a_session_is_its_roles(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"""
    cloud.bucket("principals")
    for name in ("inside", "outside"):
        role = cloud.role(name, allow("s3:ListBucket", "arn:aws:s3:::principals"))
        code = "import boto3\ndef handler(event, context): boto3.client('s3').list_objects_v2(Bucket='principals')"
        cloud.function(name, code, role=role)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::principals",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/inside"}},
    }
    cloud.client("s3").put_bucket_policy(Bucket="principals", Policy=policy(deny))
    assert not cloud.invoke("inside").failed
    assert "explicit deny" in cloud.invoke("outside").payload["errorMessage"]


def test_a_condition_sees_the_function_whose_code_makes_a_request_and_none_where_lambda_makes_it(
    cloud: Cloud, vpc: str
) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html"""
    ec2 = cloud.client("ec2")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.100.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="by-code", Description="-", VpcId=vpc)["GroupId"]
    network = {"SubnetIds": [subnet], "SecurityGroupIds": [group]}
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    code = f"import os\ndef handler(event, context): return {{name: os.environ[name] for name in {names}}}"

    def denied(function: str) -> dict[str, Any]:
        key = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        condition = {"ArnEquals": {"lambda:SourceFunctionArn": key}}
        return {"Effect": "Deny", "Action": "ec2:*", "Resource": "*", "Condition": condition}

    for name, other in (("by-code", "by-code"), ("by-lambda", "by-code")):
        cloud.function(name, code, role=cloud.role(name, NETWORK, LOGS, denied(other)), VpcConfig=network)
    # From its network a function reaches S3 only, so the test makes these requests with the function's credentials.
    by_code, by_lambda = (
        client(dict(cloud.env) | cloud.invoke(name).payload, "ec2") for name in ("by-code", "by-lambda")
    )
    with pytest.raises(ClientError, match="explicit deny"):
        by_code.describe_network_interfaces()
    by_lambda.describe_network_interfaces()


@pytest.mark.parametrize("missing", NETWORK["Action"])
def test_a_function_in_a_vpc_needs_a_role_for_its_network_interfaces(cloud: Cloud, vpc: str, missing: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html"""
    ec2, number = cloud.client("ec2"), NETWORK["Action"].index(missing)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName=f"network-{number}", Description="-", VpcId=vpc)["GroupId"]
    network = {"SubnetIds": [subnet], "SecurityGroupIds": [group]}
    role = cloud.role(f"network-{number}", allow([action for action in NETWORK["Action"] if action != missing]))
    short = missing.removeprefix("ec2:")
    with pytest.raises(ClientError, match=f"does not have permissions to call {short} on EC2"):
        cloud.function(f"network-{number}", NOTHING, role=role, VpcConfig=network)
    cloud.function(f"network-{number}", NOTHING, role=role)
    with pytest.raises(ClientError, match=f"does not have permissions to call {short} on EC2"):
        cloud.client("lambda").update_function_configuration(FunctionName=f"network-{number}", VpcConfig=network)
    allowed = cloud.role(f"network-{number}-all", NETWORK, LOGS)
    cloud.client("lambda").update_function_configuration(
        FunctionName=f"network-{number}", VpcConfig=network, Role=allowed
    )


def test_a_function_needs_code_that_is_there(cloud: Cloud) -> None:
    cloud.bucket("code")
    make = {"FunctionName": "codeless", "Runtime": "python3.11", "Handler": "code.handler"}
    code, role = {"S3Bucket": "code", "S3Key": "code.zip"}, cloud.role("codeless", LOGS)
    with pytest.raises(ClientError, match="NoSuchKey"):
        cloud.client("lambda").create_function(**make, Role=role, Code=code)
    cloud.client("s3").put_object(Bucket="code", Key="code.zip", Body=zipped({"code.py": NOTHING}))
    cloud.client("lambda").create_function(**make, Role=role, Code=code)


def test_a_handler_is_told_the_alias_it_was_called_by(cloud: Cloud) -> None:
    arn = cloud.function("called", "def handler(event, context): return context.invoked_function_arn")
    assert cloud.invoke("called").payload == f"{arn}:live"


def test_a_patch_without_its_place_is_an_error() -> None:
    module = ModuleType("service")
    module.table = {}  # type: ignore[attr-defined]
    with pytest.raises(patching.PatchError, match="service has no function gone"):
        patching.replace(module, "gone", lambda original: original)
    with pytest.raises(patching.PatchError, match=r"service has no table\['gone'\]"):
        patching.replace_entry(module, "table", "gone", lambda original: original)


def test_another_ministack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patching, "version", lambda package: "9.9.9")
    with pytest.raises(patching.PatchError, match=r"9\.9\.9 is installed, but the patches were written for"):
        patching.check_version()


def test_an_account_has_the_quotas_that_aws_gives_by_default(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html"""
    executions = {"ServiceCode": "lambda", "QuotaCode": "L-B99A9384"}
    rules = {"ServiceCode": "events", "QuotaCode": "L-244521F2"}
    quotas = cloud.client("service-quotas")
    for asked, expected in ((executions, ("Concurrent executions", 1000)), (rules, ("Number of rules", 300))):
        for found in (quotas.get_service_quota(**asked), quotas.get_aws_default_service_quota(**asked)):
            assert (found["Quota"]["QuotaName"], found["Quota"]["Value"]) == expected
    with pytest.raises(quotas.exceptions.NoSuchResourceException):
        quotas.get_service_quota(ServiceCode="lambda", QuotaCode="L-0")

    uninformed = keys_of(cloud, "uninformed", allow("servicequotas:GetAWSDefaultServiceQuota"))
    with pytest.raises(ClientError, match="AccessDenied"):
        client(uninformed, "service-quotas").get_service_quota(**executions)
