"""What an execution role may do, according to the emulator's own IAM evaluator."""

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam


def role_allows(role_arn: str, action: str, resource: str) -> bool:
    """Whether the role's policies allow `action` on `resource` (an ARN or "*")."""
    return bool(_evaluate(role_arn, _context(role_arn, action, resource, {})).decision == "Allow")


def client_allows(role_arn: str, action: str, file_system: dict[str, str], access_point_arn: str) -> bool:
    """Whether a function with this role may do `action` on an EFS file system through an access point.

    The role's policies and the file system's policy are evaluated together, as EFS does when a client connects
    (https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html). Lambda always connects over TLS and
    through a mount target.
    """
    context = _context(
        role_arn,
        action,
        file_system["FileSystemArn"],
        {"elasticfilesystem:accesspointarn": access_point_arn, "elasticfilesystem:accessedviamounttarget": "true"},
    )
    decision = iam_evaluator.combine_resource_policy(
        _evaluate(role_arn, context), context, file_system.get("FileSystemPolicy"), get_account_id()
    )
    return bool(decision.decision == "Allow")


def _evaluate(role_arn: str, context: iam_evaluator.EvalContext) -> iam_evaluator.EvalResult:
    name, account = _name(role_arn), get_account_id()
    return iam_evaluator.evaluate(
        context,
        iam_evaluator._gather_role_policies(name, account),
        *iam_evaluator._permissions_boundary(iam._roles, name, account),
    )


def _context(role_arn: str, action: str, resource: str, keys: dict[str, str]) -> iam_evaluator.EvalContext:
    account = get_account_id()
    return iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{_name(role_arn)}/modelyard",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        source_ip="127.0.0.1",
        secure_transport=True,
        service_context=keys,
    )


def _name(role_arn: str) -> str:
    return role_arn.rsplit("/", 1)[-1]
