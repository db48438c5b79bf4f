"""`terraform init`, which installs modules and providers: at first, once others are needed, and after an interruption.

An interrupted run has recorded the backend, but may not have installed the providers. So a record does not show whether
`terraform init` has to run again: Terraform's errors do.
"""

from collections.abc import Callable
from typing import TypeVar

from modelctl import console, targets
from modelctl.errors import UserError
from modelctl.targets import Target

#: The folder with the states of the local stack's workspaces.
WORKSPACES = str(targets.STATE.parent.parent)

T = TypeVar("T")


def init(target: Target) -> None:
    """Run `terraform init`."""
    with console.step("terraform init"):
        # The workspace is named by the environment and made by the first apply.
        target.root.init(*([f"workspace_dir={WORKSPACES}"] if target.name == "local" else []))


def is_needed(problem: UserError) -> bool:
    """Whether `terraform init` is the way out of this error of Terraform's."""
    # To programs (TF_IN_AUTOMATION), Terraform reports missing providers without naming `terraform init`.
    return any(words in str(problem) for words in ("terraform init", "Required plugins are not installed"))


def initialised(target: Target, run: Callable[[], T]) -> T:
    """Run Terraform; if it cannot without `terraform init`, run that and then Terraform again."""
    try:
        return run()
    except UserError as problem:
        if not is_needed(problem):
            raise
    init(target)
    return run()
