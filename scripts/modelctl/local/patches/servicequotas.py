"""Service Quotas: the quotas of Lambda and EventBridge, which the emulator lacks."""

import json
from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import error_response_json, get_account_id, get_region

from modelctl.local.patches.patching import PatchError

_SERVICE = "servicequotas"
_TARGET = "ServiceQuotasV20190624."
#: By service and code: the service's name, the quota's name, and its default value.
_QUOTAS = {
    ("events", "L-244521F2"): ("Amazon EventBridge (CloudWatch Events)", "Number of rules", 300.0),
    ("lambda", "L-B99A9384"): ("AWS Lambda", "Concurrent executions", 1000.0),
}

Response = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Add the service."""
    if _SERVICE in app.SERVICE_HANDLERS:
        raise PatchError(f"ministack supports {_SERVICE}, so this patch is no longer needed")
    router.SERVICE_PATTERNS[_SERVICE] = {"target_prefixes": [_TARGET]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[_SERVICE] = _SERVICE
    app.SERVICE_HANDLERS[_SERVICE] = _answer


async def _answer(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> Response:
    """GetServiceQuota and GetAWSDefaultServiceQuota, in an account with the default quotas.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html. The stack itself limits
    its environments to what the machine can handle.
    """
    action = headers["x-amz-target"].removeprefix(_TARGET)
    if action not in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        return _refusal("UnknownOperationException", f"{action} is not supported here")
    asked = json.loads(body)
    service, code = asked["ServiceCode"], asked["QuotaCode"]
    if (service, code) not in _QUOTAS:
        return _refusal("NoSuchResourceException", f"the service {service} has no quota {code}")
    of, name, value = _QUOTAS[service, code]
    # AWS's defaults belong to no account.
    account = get_account_id() if action == "GetServiceQuota" else ""
    quota = {
        "ServiceCode": service,
        "ServiceName": of,
        "QuotaArn": f"arn:aws:servicequotas:{get_region()}:{account}:{service}/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"Quota": quota}).encode()


def _refusal(kind: str, message: str) -> Response:
    response: Response = error_response_json(kind, message, 400)
    return response
