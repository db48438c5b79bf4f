"""EC2: policies of VPC endpoints, rules of security groups."""

from collections.abc import Callable
from itertools import count, takewhile
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

from modelctl.local.patches.patching import replace, replace_entry

# The policy of an endpoint for which none was set.
_FULL_ACCESS = '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'


def install() -> None:
    """Patch the EC2 service."""
    replace_entry(ec2, "_ACTION_MAP", "CreateVpcEndpoint", _with_policy)
    replace(ec2, "_vpce_fields_xml", _showing_policy)
    replace(ec2, "_parse_ip_permissions", _with_prefix_lists)
    replace(ec2, "_sg_rule_xml", _showing_prefix_list)
    replace(ec2, "_rules_match", _without_ports)


def _with_policy(original: Callable[..., Any]) -> Callable[..., Any]:
    """CreateVpcEndpoint stores the policy.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpcEndpoint.html. It is stored and returned, so
    that a second plan is empty. Nothing enforces it, since the emulator sends no traffic through endpoints.
    """

    def create(params: dict[str, Any]) -> Any:
        before = set(ec2._vpc_endpoints.keys())
        original(params)
        (created,) = set(ec2._vpc_endpoints.keys()) - before
        endpoint = ec2._vpc_endpoints[created]
        endpoint["PolicyDocument"] = ec2._p(params, "PolicyDocument") or _FULL_ACCESS
        return ec2._xml(200, "CreateVpcEndpointResponse", ec2._vpce_fields_xml(endpoint, tag="vpcEndpoint"))

    return create


def _showing_policy(original: Callable[..., str]) -> Callable[..., str]:
    """DescribeVpcEndpoints returns the policy."""

    def fields(endpoint: dict[str, Any], tag: str = "item") -> str:
        policy = f"<policyDocument>{escape(endpoint.get('PolicyDocument', _FULL_ACCESS))}</policyDocument>"
        return original(endpoint, tag=tag).removesuffix(f"</{tag}>") + f"{policy}</{tag}>"

    return fields


def _with_prefix_lists(original: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """A rule may name prefix lists, like the rule that lets functions reach S3 through a gateway endpoint.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
    """

    def parse(params: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
        rules = original(params, prefix)
        for number, rule in enumerate(rules, start=1):
            entries = (f"{prefix}.{number}.PrefixListIds.{item}" for item in count(1))
            for entry in takewhile(lambda entry: ec2._p(params, f"{entry}.PrefixListId"), entries):
                fields = ("PrefixListId", "Description")
                given = {field: ec2._p(params, f"{entry}.{field}") for field in fields}
                rule["PrefixListIds"].append({field: value for field, value in given.items() if value})
        return rules

    return parse


def _showing_prefix_list(original: Callable[..., str]) -> Callable[..., str]:
    """A rule is returned with its prefix list.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRule.html. Without it, the provider sees its
    own rule changed and fails with an invalid plan.
    """

    def items(group_id: str, rule: dict[str, Any], is_egress: bool = False) -> str:
        shown = original(group_id, rule, is_egress=is_egress)
        if not rule["PrefixListIds"]:
            return shown
        without = shown.removesuffix("</item>")
        return "".join(
            f"{without}<prefixListId>{entry['PrefixListId']}</prefixListId></item>" for entry in rule["PrefixListIds"]
        )

    return items


def _without_ports(original: Callable[..., bool]) -> Callable[..., bool]:
    """A rule for all protocols ("-1") ignores the ports.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html. The provider removes the allow-all
    rule from a new security group by naming it with ports 0 to 0.
    """

    def plain(rule: dict[str, Any]) -> dict[str, Any]:
        if rule["IpProtocol"] != "-1":
            return rule
        return {key: value for key, value in rule.items() if key not in ("FromPort", "ToPort")}

    return lambda one, other: original(plain(one), plain(other))
