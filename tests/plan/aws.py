"""An account of AWS, as far as a plan asks what depends on the account.

That is networks (EC2), whose the credentials are (STS), and how much of Lambda there is (Service Quotas).
"""

import functools
import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, HTTPServer

from local_stack import sts
from modelctl.local.layout import ACCOUNT, REGION

A, B, C = (f"{REGION}{letter}" for letter in "abc")


@dataclass(frozen=True)
class Table:
    """A route table: the subnets that it is associated with, and where its routes lead."""

    subnets: Sequence[str] = ()
    gateways: Sequence[str] = ()
    destinations: Sequence[str] = ()


@dataclass(frozen=True)
class Ec2:
    """Networks as EC2 describes them. `rtb-main` is the main route table."""

    zones: Sequence[str] = (A, B)
    vpc: str = ""
    #: The zone of each subnet.
    subnets: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    #: Ids of interfaces of interface endpoints.
    interfaces: Sequence[str] = ()

    def answer(self, asked: Mapping[str, str]) -> str:
        """The body of the answer to a request of the query protocol."""
        filters = {
            name: asked[key.replace("Name", "Value.1")]
            for key, name in asked.items()
            if key.startswith("Filter.") and key.endswith(".Name")
        }
        match asked["Action"]:
            case "DescribeAvailabilityZones":
                said = [f"<zoneName>{zone}</zoneName><zoneState>available</zoneState>" for zone in self.zones]
                return _list("availabilityZoneInfo", said)
            case "DescribeSubnets":
                subnet = asked["SubnetId.1"]
                zone = f"<availabilityZone>{self.subnets[subnet]}</availabilityZone>"
                return _list("subnetSet", [f"<subnetId>{subnet}</subnetId><vpcId>{self.vpc}</vpcId>{zone}"])
            case "DescribeSecurityGroups":
                group = asked["GroupId.1"]
                said = [
                    f"<groupId>{group}</groupId><vpcId>{self.groups[group]}</vpcId><groupName>-</groupName>"
                    "<ownerId>000000000000</ownerId>"
                ]
                return _list("securityGroupInfo", said)
            case "DescribeRouteTables":
                assert filters.pop("vpc-id") == self.vpc
                ((name, value),) = filters.items()
                found = [table for table in self.tables if self._has(table, name, value)]
                return _list("routeTableSet", [f"<routeTableId>{table}</routeTableId>" for table in found])
            case "DescribeNetworkInterfaces":
                assert filters == {"vpc-id": self.vpc, "interface-type": "vpc_endpoint"}
                said = [f"<networkInterfaceId>{interface}</networkInterfaceId>" for interface in self.interfaces]
                return _list("networkInterfaceSet", said)
        raise AssertionError(asked)

    def _has(self, table: str, name: str, value: str) -> bool:
        it = self.tables[table]
        values: Mapping[str, Sequence[str]] = {
            "association.main": ["true"] if table == "rtb-main" else ["false"],
            "association.subnet-id": it.subnets,
            "route.gateway-id": it.gateways,
            "route.destination-cidr-block": it.destinations,
        }
        return any(fnmatchcase(found, value) for found in values[name])


def _list(name: str, items: Sequence[str]) -> str:
    return f"<Response><{name}>{''.join(f'<item>{item}</item>' for item in items)}</{name}></Response>"


@dataclass(frozen=True)
class Aws:
    """An account, with the networks in it."""

    ec2: Ec2 = field(default_factory=Ec2)
    account: str = ACCOUNT
    #: Its quota of concurrent executions; None: who asks may not read it.
    executions: int | None = 1000

    @contextmanager
    def serving(self, *services: str) -> Iterator[dict[str, str]]:
        """The environment in which Terraform asks this account; by default for all that it answers."""
        server = _server()
        server.aws = self
        try:
            yield {f"AWS_ENDPOINT_URL_{service}": server.address for service in services or SERVICES}
        finally:
            server.aws = None

    def _answer(self, body: str) -> str:
        """The body of the answer to a request of the query protocol."""
        asked = dict(urllib.parse.parse_qsl(body))
        if asked["Action"] != "GetCallerIdentity":
            return self.ec2.answer(asked)
        return sts.identity(self.account)

    def _quota(self, target: str, body: str) -> tuple[int, str]:
        """Status and body of the answer to a request for one of Lambda's quotas, or for AWS's default of it."""
        action = target.removeprefix("ServiceQuotasV20190624.")
        asked = json.loads(body)
        assert asked == {"ServiceCode": "lambda", "QuotaCode": "L-B99A9384"}
        if self.executions is None:
            message = f"User: arn:aws:iam::{self.account}:user/ann is not authorized to perform: servicequotas:{action}"
            return 400, json.dumps({"__type": "AccessDeniedException", "Message": message})
        value = {"GetServiceQuota": self.executions, "GetAWSDefaultServiceQuota": 1000}[action]
        arn = f"arn:aws:servicequotas:{REGION}:{self.account}:lambda/L-B99A9384"
        return 200, json.dumps({"Quota": {**asked, "QuotaArn": arn, "Value": value}})


class _Server(HTTPServer):
    """Answers as the account that is being served, at one address, so that one process of the provider is enough."""

    aws: Aws | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        assert self.server.aws, "no account is being served"
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        target = self.headers["X-Amz-Target"]
        aws = self.server.aws
        status, body = aws._quota(target, asked) if target else (200, aws._answer(asked))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is pytest's."""


@functools.cache
def _server() -> _Server:
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


#: As in the names of variables.
SERVICES = ("EC2", "STS", "SERVICE_QUOTAS")
