"""Asks every service that the platform uses, by `aws` and boto3, from a process that can connect to one address alone.

Run in a shell that evaluated `modelctl env`. Prints, by tool and service, the exit status of `aws` (null for boto3),
how often it connected to the local stack, and where else it wanted to.
"""

import contextlib
import io
import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3

QUOTA = {"ServiceCode": "lambda", "QuotaCode": "L-B99A9384"}
# A call of each that changes nothing.
SERVICES = {
    "cloudwatch": "describe-alarms",
    "ec2": "describe-vpcs",
    "ecr": "describe-repositories",
    "efs": "describe-file-systems",
    "iam": "list-roles",
    "kms": "list-keys",
    "lambda": "list-functions",
    "logs": "describe-log-groups",
    "s3": "list-buckets",
    "scheduler": "list-schedules",
    "service-quotas": "get-service-quota",
    "sns": "list-topics",
    "sqs": "list-queues",
    "sts": "get-caller-identity",
}

_inside: list[object] = []
_outside: list[str] = []


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse to look up or connect to anything but the local stack."""
    if event not in ("socket.getaddrinfo", "socket.connect"):
        return
    host = arguments[1] if event == "socket.connect" else arguments
    wanted = tuple(host[:2]) if isinstance(host, tuple) else host
    address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    if wanted != (address.hostname, address.port):
        _outside.append(str(wanted))
        raise PermissionError(f"{wanted} is not the local stack")
    if event == "socket.connect":
        _inside.append(wanted)


def _aws(service: str, operation: str) -> object:
    """Run the script `aws`, as a shell would; returns its exit status."""
    options = ["--service-code", QUOTA["ServiceCode"], "--quota-code", QUOTA["QuotaCode"]]
    command = ["s3", "ls"] if service == "s3" else [service, operation]
    sys.argv = ["aws", *command, *(options if operation == "get-service-quota" else [])]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_path(str(Path(sys.executable).with_name("aws")), run_name="__main__")
        except SystemExit as ended:
            return ended.code
    return None


def _boto3(service: str, operation: str) -> None:
    client = boto3.client(service)  # type: ignore[call-overload]  # any service
    getattr(client, operation.replace("-", "_"))(**(QUOTA if operation == "get-service-quota" else {}))


def _answers() -> Iterator[tuple[str, tuple[object, int, list[str]]]]:
    for tool, ask in (("aws", _aws), ("boto3", _boto3)):
        for service, operation in SERVICES.items():
            _inside.clear()
            _outside.clear()
            status = ask(service, operation)
            yield f"{tool} {service}", (status, len(_inside), [*_outside])


if __name__ == "__main__":
    sys.addaudithook(_guard)
    json.dump(dict(_answers()), sys.stdout)
