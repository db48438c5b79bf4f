"""Functions that were idle for weeks, which Lambda has to restore, and whose calls it refuses meanwhile.

https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
"""

from botocore.exceptions import ClientError

from modelctl.deployment import Deployment, Model

#: Seconds in which Lambda restores a function. Reports name 40 to 106:
#: https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/801
#: The registry counts on as many when it computes visibility timeouts (terraform/modules/registry/merge.tf).
SLOWEST_S = 120

# By each of these Lambda says that it did not run the function, since it is not active (or, ENINotReady, not connected
# to its network) yet. The documentation names the last two; the first is what calls of idle functions get in fact, and
# the second what calls get while the function is Pending. https://github.com/boto/boto3/issues/3788
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
    """Of what the alias stands for: `Active`, `Inactive`, `Pending` or `Failed`; "" for who may not read it."""
    try:
        found = deployed.function_settings.get_function_configuration(
            FunctionName=model.function_name, Qualifier=model.alias
        )
    except ClientError:
        return ""
    return str(found["State"])
