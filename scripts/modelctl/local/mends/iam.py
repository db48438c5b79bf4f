"""IAM: who is root, and which principal a condition sees."""

import os
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam, sts

from modelctl.local.mends.patching import replace


def install() -> None:
    """Mend authentication and the evaluation of policies."""
    replace(iam_evaluator, "is_root_access_key", lambda _: _is_root_access_key)
    replace(sts, "is_root_access_key", lambda _: _is_root_access_key)
    # Asked where a request is let through without a look at its signature.
    replace(iam_evaluator, "_is_root_key", lambda _: lambda access_key: False)
    replace(iam_evaluator, "_resolve_condition_key", _role_of_session)


def _is_root_access_key(access_key: str) -> bool:
    """Only the stack's own root key is root, and its signature counts as everybody's does.

    The emulator takes an unsigned request, the key `test` and any twelve digits for root, with any secret.
    """
    return access_key == os.environ["AWS_ACCESS_KEY_ID"]


def _role_of_session(original: Callable[..., Any]) -> Callable[..., Any]:
    """`aws:PrincipalArn` of a role's session is the ARN of the role, not of the session.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    """

    def resolve(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and context.principal_type == "AssumedRole":
            name = iam_evaluator._role_name_from_assumed_arn(context.principal_arn)
            role = iam._roles.get_scoped(context.principal_account, None, name)
            return role["Arn"] if role else context.principal_arn
        return original(key, context)

    return resolve
