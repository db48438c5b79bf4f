"""The entry of the Lambda function that `terraform apply` calls, once for every new digest of a model."""

import logging
import os
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from weights_sync import artifact, publish

logger = logging.getLogger("weights_sync")
if "AWS_LAMBDA_LOG_LEVEL" not in os.environ:
    # Without a level, awslambdaric leaves the root logger at WARNING; a level that is set applies there, and here too.
    logger.setLevel(logging.INFO)

# What a schedule sends once a week, so that Lambda keeps the function active (terraform/modules/keep_active).
KEEP_ACTIVE = {"keep_active": True}

_client = boto3.client("s3", config=Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"}))


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Publish the files of one model; any failure is raised, so that the apply fails and is repeated.

    Args:
        event: `{"model": name, "digest": hex, "files": {relative path: sha256 hex}}`, or KEEP_ACTIVE.
        context: Lambda's context object.

    Returns:
        `{"model", "digest", "files": their number, "bytes": their sum, "copied": whether they were not there before}`;
        nothing for KEEP_ACTIVE.

    Raises:
        ArtifactError: the call is malformed.
        PublishError: the files could not be copied, took too long for one call, or are not the ones that were planned.
    """
    if event == KEEP_ACTIVE:
        return {}
    wanted = artifact.read(event)
    published = publish.publish(
        _client,
        os.environ["MODELYARD_ARTIFACTS"],
        Path(os.environ["MODELYARD_WEIGHTS"]),
        wanted,
        context.get_remaining_time_in_millis,
    )
    answer = {
        "model": wanted.model,
        "digest": wanted.digest,
        "files": len(wanted.files),
        "bytes": published.bytes,
        "copied": published.copied,
    }
    logger.info("published", extra=answer)
    return answer
