"""A deployment for tests that need only a model and a client, without Terraform and without AWS."""

from types import SimpleNamespace
from typing import Any

from modelctl.deployed.deployment import Model
from unit.functions.fake_s3 import INPUTS, RESULTS


def deployment(s3: Any) -> Any:
    """A deployment whose buckets are behind this client."""
    return SimpleNamespace(inputs=INPUTS, results=RESULTS, s3=s3)


def model(*prefixes: str, suffixes: tuple[str, ...] = ()) -> Model:
    """A model named digits that takes these prefixes."""
    return Model(
        name="digits",
        version="1",
        digest="0" * 64,
        runtime="litert",
        description="",
        prefixes=prefixes,
        suffixes=suffixes,
        format="json",
        function_name="yard-digits",
        alias="live",
        queue_url="https://queue",
        dead_letter_queue_url="https://dead-letters",
        log_group="/aws/lambda/yard-digits",
        memory_mb=512,
        timeout_s=60,
        visibility_timeout_s=361,
        retries=3,
    )
