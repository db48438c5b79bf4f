"""One local stack and one plan of the whole platform for all tests of what Terraform plans."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from attached import PROVIDER
from local_stack.support import client
from modelctl import paths
from modelctl.local.stack import LocalStack
from modelctl.packaging import packages
from modelctl.terraform import program
from modelctl.terraform.applying import PARALLEL
from plan.planned import Plan

#: A registry of one model.
ONE_MODEL = f"""\
version: 1
models:
  seven:
    artifact: {paths.CHECKOUT}/models/digits/artifact
    runtime: litert
    version: "1"
    input: {{format: image, size: [8, 8], mode: L}}
"""


class Root(program.Root):
    """A Terraform root module with a state of its own, in an environment that says who applies it and where."""

    def apply(self, *options: str) -> None:
        self._finish("apply", *options)

    def destroy(self, *options: str) -> None:
        self._finish("destroy", *options)

    def plan(self, file: Path, *options: str) -> str:
        """Plan, and show the plan as JSON."""
        self._run(["plan", f"-out={file}", *options])
        return self._run(["show", "-json", str(file)])

    def find_nothing_to_change(self) -> None:
        """Plan; a change is a failure."""
        self._run(["plan", "-detailed-exitcode"])

    def resources(self) -> list[str]:
        """Addresses of all that the state has."""
        return list(_addresses(json.loads(self._run(["show", "-json"])).get("values", {}).get("root_module", {})))

    @contextmanager
    def _running(
        self, arguments: Sequence[str], output: IO[Any], errors: IO[Any] | int
    ) -> Iterator[Callable[[], int | None]]:
        # `init` installs the provider and verifies it.
        attached = {} if arguments[0] == "init" else PROVIDER.variables(self.folder, self.env)
        with program.Root({**self.env, **attached}, self.folder)._running(arguments, output, errors) as ended:
            yield ended

    def _finish(self, command: str, *options: str) -> None:
        for _ in self.change(command, PARALLEL, *options):
            pass


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A running local stack of its own."""
    packages.build()
    stack = LocalStack(tmp_path_factory.mktemp("stack") / "home")
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def plan(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of the platform with the committed registry."""
    scratch = tmp_path_factory.mktemp("plan")
    root = platform(scratch, stack.environment())
    models = yaml.safe_load(paths.REGISTRY.read_text())["models"]
    # A policy that names what is not there yet is not known, nor is one that depends on what its role may do already.
    of_models = (
        f'module.model["{model}"].{resource}'
        for model in models
        for resource in ("aws_efs_access_point.reader", "module.role.aws_iam_role.this")
    )
    root.apply(
        *(
            f"-target={address}"
            for address in ("module.network", "module.storage", "module.observability.aws_kms_key.alarms", *of_models)
        )
    )
    planned = root.plan(scratch / "plan")
    # Other tests plan with other states under this name, which is refused as long as this one has it.
    client(stack.environment(), "iam").untag_role(RoleName="modelyard--weights-sync", TagKeys=["ModelyardHome"])
    return Plan.read(planned)


def platform(scratch: Path, aws: Mapping[str, str], **variables: str | Path) -> Root:
    """The platform's root module, initialised, with its state below `scratch`."""
    root = Root(_environment(scratch, aws, TF_WORKSPACE="local", **variables))
    root.init(f"workspace_dir={scratch / 'state'}")
    return root


def _addresses(module: Mapping[str, Any]) -> Iterator[str]:
    yield from (resource["address"] for resource in module.get("resources", ()) if resource["mode"] == "managed")
    for child in module.get("child_modules", ()):
        yield from _addresses(child)


def example(name: str, scratch: Path, aws: Mapping[str, str], **variables: str | Path) -> Root:
    """An example below terraform/examples, initialised."""
    return alone(f"examples/{name}", scratch, aws, **variables)


def alone(part: str, scratch: Path, aws: Mapping[str, str], **variables: str | Path) -> Root:
    """A part of terraform/ as a root module, initialised in a copy: it would leave its lock file in the checkout."""
    folder = scratch / Path(part).name
    shutil.copytree(paths.TERRAFORM / part, folder)
    root = Root(_environment(scratch, aws, **variables), folder)
    root.init()
    return root


def _environment(scratch: Path, aws: Mapping[str, str], **variables: str | Path) -> dict[str, str]:
    return {
        **program.clean_environment(),
        **aws,
        **program.providers(),
        **program.QUIET,
        "TF_DATA_DIR": str(scratch / "data"),
        **{name: str(value) for name, value in variables.items()},
    }
