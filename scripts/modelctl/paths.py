"""Paths in a checkout."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
REGISTRY = CHECKOUT / "model_registry.yaml"
TERRAFORM = CHECKOUT / "terraform"
FUNCTIONS = CHECKOUT / "functions"
DOCS = CHECKOUT / "docs"
PACKAGES = CHECKOUT / "build" / "packages"

# Tools and Python environments: the same for every local stack of the checkout.
TOOLS = CHECKOUT / ".local"
ENVIRONMENTS = TOOLS / "environments"
TERRAFORM_RC = TOOLS / "terraform.rc"

# One local stack's state and data. The tests give theirs a folder of its own, so that they never touch the user's.
STACK = Path(os.environ.get("MODELYARD_STACK", CHECKOUT / ".local" / "stack")).absolute()
