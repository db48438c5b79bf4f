"""What must be there before what else is made, as AWS requires it: read from Terraform's own graph of the platform."""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping

import pytest

from modelctl import paths, programs
from modelctl.terraform import program

Graph = Mapping[str, set[str]]

WRITER = "module.weights_sync.aws_lambda_function.this"
WRITER_MAY = "module.weights_sync.module.role.aws_iam_role_policy.this"
CALL = "module.model.aws_lambda_invocation.weights"
CHECK = "module.model.aws_lambda_invocation.check"
FUNCTION = "module.model.aws_lambda_function.inference"
MAPPING = "module.model.aws_lambda_event_source_mapping.queue"
ALARMS = "module.model.aws_cloudwatch_metric_alarm.this"
TOPIC = "module.observability.aws_sns_topic.alarms"
NOTIFICATION = "module.routing.aws_s3_bucket_notification.inputs"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """By resource those that it waits for directly."""
    env = {
        **program.clean_environment(),
        **program.providers(),
        **program.QUIET,
        "TF_DATA_DIR": str(tmp_path_factory.mktemp("terraform")),
    }
    command = [program.binary(), f"-chdir={paths.TERRAFORM}"]
    programs.run("terraform init", *command, "init", "-lockfile=readonly", env=env)
    edges: dict[str, set[str]] = defaultdict(set)
    for later, earlier in re.findall(r'"(.+)" -> "(.+)";', programs.run("terraform graph", *command, "graph", env=env)):
        edges[later].add(earlier)
    return edges


def waits_for(graph: Graph, resource: str) -> set[str]:
    """All that a resource waits for, also by way of others."""
    found: set[str] = set()
    new = {resource}
    while new:
        new = {earlier for later in new for earlier in graph.get(later, ())} - found
        found |= new
    return found


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        (WRITER, "module.storage.aws_efs_mount_target.weights"),
        (WRITER, "module.storage.aws_efs_file_system_policy.weights"),
        (WRITER, "module.storage.aws_vpc_security_group_ingress_rule.nfs"),
        (WRITER, "module.storage.aws_vpc_security_group_egress_rule.nfs"),
        (WRITER, "module.network.aws_vpc_endpoint.s3"),
        (WRITER, "module.network.aws_route_table_association.private"),
        (WRITER, "module.network.aws_vpc_security_group_egress_rule.s3"),
        (WRITER, WRITER_MAY),
        (WRITER, "module.weights_sync.aws_cloudwatch_log_group.this"),
        ("module.weights_sync.data.aws_lambda_function.called", WRITER),
        (CALL, "module.weights_sync.data.aws_lambda_function.called"),
        (CALL, "module.model.aws_s3_object.artifact"),
        (FUNCTION, CALL),
        (FUNCTION, WRITER),
        ("module.network.aws_subnet.private", WRITER_MAY),
        ("module.network.aws_security_group.functions", WRITER_MAY),
        (FUNCTION, "module.model.module.role.aws_iam_role_policy.this"),
        (FUNCTION, "module.model.aws_cloudwatch_log_group.this"),
        (FUNCTION, "module.model.aws_efs_access_point.reader"),
        (FUNCTION, "aws_lambda_layer_version.runtime"),
        ("module.model.data.aws_lambda_function.published", FUNCTION),
        (CHECK, "module.model.data.aws_lambda_function.published"),
        ("module.model.aws_lambda_alias.live", CHECK),
        (MAPPING, "module.model.aws_lambda_alias.live"),
        (MAPPING, "module.routing.module.queue.aws_sqs_queue.inputs"),
        ("module.routing.module.queue.aws_sqs_queue.inputs", "module.routing.module.queue.aws_sqs_queue.dead_letters"),
        (NOTIFICATION, "module.routing.module.queue.aws_sqs_queue.inputs"),
        ("module.routing.aws_cloudwatch_event_target.inputs", "module.routing.module.queue.aws_sqs_queue.inputs"),
        (NOTIFICATION, "module.routing.aws_cloudwatch_event_target.inputs"),
        ("module.routing.terraform_data.way", NOTIFICATION),
        ("module.keep_active.aws_scheduler_schedule.this", "module.keep_active.aws_iam_role_policy.this"),
        (ALARMS, TOPIC),
        ("module.observability.aws_cloudwatch_composite_alarm.overall", ALARMS),
        (TOPIC, "module.observability.aws_kms_key.alarms"),
        ("aws_s3_bucket_policy.data", "aws_s3_bucket_public_access_block.data"),
        ("aws_s3_bucket_lifecycle_configuration.data", "aws_s3_bucket_versioning.inputs"),
    ],
)
def test_what_aws_wants_to_be_there_first_is_made_first(graph: Graph, later: str, earlier: str) -> None:
    assert later in graph
    assert earlier in waits_for(graph, later)


def test_what_refuses_to_be_destroyed_goes_before_everything_else(graph: Graph) -> None:
    resources = {*graph, *itertools.chain(*graph.values())}
    managed = {resource for resource in resources if not re.search(r"(^|\.)data\.", resource)}
    assert {"terraform_data.network", ALARMS, NOTIFICATION, MAPPING} < managed
    assert managed - waits_for(graph, "aws_s3_object.deletion_protection") == {"aws_s3_object.deletion_protection"}


def test_a_model_whose_weights_fail_keeps_no_input_from_its_queue(graph: Graph) -> None:
    assert NOTIFICATION in graph
    assert not [name for name in waits_for(graph, NOTIFICATION) if name.startswith(("module.model", "module.weights"))]


def test_a_model_whose_weights_fail_has_its_alarms_all_the_same(graph: Graph) -> None:
    assert ALARMS in graph
    assert CALL not in waits_for(graph, ALARMS)
