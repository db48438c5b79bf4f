"""The logs of functions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelctl.deployed.deployment import Deployment, Model

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef


def events(deployed: Deployment, model: Model, since_ms: int) -> Iterator["FilteredLogEventTypeDef"]:
    """The events of all environments of a function since a time, oldest first."""
    pages = deployed.log_events.get_paginator("filter_log_events").paginate(
        logGroupName=model.log_group, startTime=since_ms
    )
    yield from (event for page in pages for event in page["events"])
