"""Functions that were idle for weeks, which Lambda has to restore, and whose calls it refuses meanwhile.

https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
"""

from botocore.exceptions import ClientError

from modelctl.deployed.deployment import Deployment, Model

#: Seconds in which Lambda restores a function. Reports name 40 to 106:
#: https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/801
#: The registry assumes the same number when it computes visibility timeouts (terraform/modules/registry/merge.tf).
SLOWEST_S = 120

# Each of these means that Lambda did not run the function, because it is not active yet (ENINotReady: not connected to
# its network yet). The documentation names the last two. In fact, the first call of an idle function gets the first of
# them, and calls of a Pending function get the second. https://github.com/boto/boto3/issues/3788
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
_REFUSALS = {
    "CodeArtifactUserPendingException",
    "ResourceConflictException",
    "ResourceNotReadyException",
    "ENINotReadyException",
}


def refused(error: ClientError) -> bool:
    """Whether a call was refused because the function is being restored: it can be repeated and is still one call."""
    return error.response["Error"]["Code"] in _REFUSALS


def state(deployed: Deployment, model: Model) -> str:
    """The state of the live version: `Active`, `Inactive`, `Pending` or `Failed`; "" if it may not be read."""
    try:
        found = deployed.function_settings.get_function_configuration(
            FunctionName=model.function_name, Qualifier=model.alias
        )
    except ClientError:
        return ""
    return str(found["State"])
