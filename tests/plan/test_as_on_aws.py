"""Plans of the whole platform as on AWS: with packages and images for AWS, in accounts that differ in what they allow.

The plans are real, by the real provider. EC2, STS and Service Quotas are a server here; what else a plan asks, which is
little, the emulator answers.
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelctl import paths
from modelctl.errors import UserError
from modelctl.local import layout
from modelctl.local.stack import LocalStack
from modelctl.packaging import packages
from modelctl.terraform import plans, program
from plan.aws import A, Aws, B, C, Ec2
from plan.conftest import Root, platform
from plan.test_network import EXISTING, GIVEN, NETWORK, STATE, SUBNETS, VPC, kept
from plan.test_upgrade import KEPT, actions

ACCOUNT = "123456789012"
WORKSPACE = "production"
IMAGE = f"{ACCOUNT}.dkr.ecr.{layout.REGION}.amazonaws.com/modelyard@sha256:{'1' * 64}"
#: Those that run from an image on AWS.
IMAGES = ("digits-tf", "wine")
REGISTRY = """\
version: 1
defaults: {{runtime: litert}}
models:
  large: {{artifact: {artifact}, version: "1", memory_mb: 4096}}
  sure: {{artifact: {artifact}, version: "1", concurrency: {{maximum: 2, reserved: 2}}}}
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout with packages for AWS, and the state that it is given."""

    root: Root
    scratch: Path

    def plan(self, aws: Aws, *options: str, state: Any = None, **variables: Any) -> dict[str, Any]:
        """A plan as Terraform shows it; without a state, the first one."""
        file = self.scratch / "state" / WORKSPACE / "terraform.tfstate"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(state).replace(layout.ACCOUNT, ACCOUNT) if state else "")
        given = {f"TF_VAR_{name}": json.dumps(value) for name, value in variables.items()}
        with aws.serving() as asking:
            root = dataclasses.replace(self.root, env={**self.root.env, **given, **asking})
            for _ in root.write_plan(self.scratch / "plan", *options):
                pass
            return root.show(self.scratch / "plan")

    def refusal(self, aws: Aws, *options: str, **variables: Any) -> str:
        """Why there is no plan, on one line: Terraform breaks long ones."""
        with pytest.raises(UserError) as refused:
            self.plan(aws, *options, **variables)
        return " ".join(str(refused.value).split())


def changes(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a plan changes, by address."""
    return {change["address"]: change for change in shown["resource_changes"] if change["mode"] == "managed"}


@pytest.fixture(scope="module")
def checkout(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    scratch = tmp_path_factory.mktemp("as-on-aws")
    shutil.copytree(paths.PACKAGES, scratch / "packages")
    manifest = scratch / "packages" / "manifest.json"
    image = packages.Image(uri=IMAGE, sources=packages.image_sources("tensorflow"))
    for_aws = {"target": "aws", "python": "3.13", "images": {"tensorflow": {"x86_64": image}}}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | for_aws))
    root = platform(scratch, stack.environment(), TF_VAR_packages_manifest=manifest)
    return Checkout(dataclasses.replace(root, env={**root.env, "TF_WORKSPACE": WORKSPACE}), scratch)


@pytest.fixture(scope="module")
def demanding(checkout: Checkout) -> str:
    """Options for a registry that asks for more than a new account has."""
    registry = checkout.scratch / "registry.yaml"
    registry.write_text(REGISTRY.format(artifact=paths.CHECKOUT / "models/digits/artifact"))
    return f"-var=registry_file={registry}"


def test_a_new_account_has_room_for_the_committed_registry_and_is_told_what_it_shares(checkout: Checkout) -> None:
    shown = checkout.plan(Aws(account=ACCOUNT, executions=10))
    (warning,) = plans.summary(shown).warnings
    assert warning.startswith(
        "The queues may need 30 executions at once (digits 10, digits-tf 10, wine 10), but this account has 10."
    )
    made = changes(shown)
    assert [address for address, change in made.items() if change["change"]["actions"] != ["create"]] == []
    functions = (made[f'module.model["{name}"].aws_lambda_function.inference'] for name in ("digits", *IMAGES))
    assert [change["change"]["after"]["image_uri"] for change in functions] == [None, IMAGE, IMAGE]


def test_what_a_new_account_does_not_allow_is_refused_by_name_with_the_way_out(
    checkout: Checkout, demanding: str
) -> None:
    says = checkout.refusal(Aws(account=ACCOUNT, executions=10), demanding, quotas={"memory_mb": 3008})
    assert "registry.yaml does not fit into this account:" in says
    assert "models.large.memory_mb: must be at most 3008" in says
    assert (
        "models: reserve 2 executions in total (sure 2), but the account has 10, and 100 must stay unreserved" in says
    )
    assert "request more (Service Quotas: AWS Lambda, Concurrent executions, L-B99A9384)" in says


def test_where_quotas_cannot_be_read_modelctl_assumes_the_defaults_and_says_so(
    checkout: Checkout, demanding: str
) -> None:
    uninformed = Aws(account=ACCOUNT, executions=None)
    says = checkout.refusal(uninformed, demanding)
    assert "AccessDeniedException" in says
    # What `modelctl` plans again with: see tests/unit/test_applying.py. What the user gives of quotas stays.
    ways = program.ways_out(says)
    assert ways == ["-var=read_quotas=false"]

    (warning,) = plans.failed_checks(checkout.plan(uninformed, demanding, *ways, quotas={"memory_mb": 4096}))
    assert "AWS's defaults are assumed: 1000 concurrent executions and 4096 MB per function" in warning


def from_an_image(resource: dict[str, Any]) -> dict[str, Any]:
    """A recorded function as if it had been one with an image."""
    (instance,) = resource["instances"]
    attributes = instance["attributes"] | {"package_type": "Image", "image_uri": IMAGE, "runtime": "", "handler": ""}
    return resource | {"instances": [instance | {"attributes": attributes}]}


#: What was recorded, with a function that ran from an image and will run from a zip.
RECORDED = [
    from_an_image(each)
    if (each.get("module"), each["type"], each["mode"]) == ('module.model["digits"]', "aws_lambda_function", "managed")
    else each
    for each in STATE["resources"]
]
#: The same in an existing network.
IN_EXISTING_NETWORK = [
    *(each for each in RECORDED if not each.get("module", "").startswith("module.network")),
    kept(VPC),
]


@pytest.mark.parametrize(
    ("resources", "ec2", "network"),
    [
        (RECORDED, Ec2(zones=(f"{layout.REGION}-0a", C, B, A)), None),
        (IN_EXISTING_NETWORK, EXISTING, {**GIVEN, "subnet_ids": SUBNETS[::-1]}),
    ],
    ids=["other-zones", "reversed-subnets"],
)
def test_only_functions_whose_package_type_changes_are_replaced_whatever_ec2_answers(
    checkout: Checkout, resources: Any, ec2: Ec2, network: Any
) -> None:
    state = STATE | {"resources": resources}
    found = changes(checkout.plan(Aws(ec2, ACCOUNT), "-refresh=false", state=state, network=network))

    done = actions(found, *KEPT, *NETWORK)
    assert {found[address]["type"] for address in done} >= KEPT - {"aws_subnet", "aws_vpc"}
    # All three change: the other two are images on AWS, and were zips on the local stack, where this was recorded.
    parts = ("lambda_alias.live", "lambda_event_source_mapping.queue", "lambda_function.inference")
    assert {address: how for address, how in done.items() if "delete" in how} == {
        f'module.model["{name}"].aws_{part}': ["delete", "create"] for name in ("digits", *IMAGES) for part in parts
    }
