"""S3 announces final results, and nothing else, to the consumers that the example sets up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from e2e.conftest import Modelctl, Platform, user
from e2e.test_modelctl import SCAN
from local_stack.support import eventually
from modelctl import paths
from modelctl.local.stack import LocalStack
from plan.conftest import Root, example
from plan.planned import Plan

BOTTLE = paths.CHECKOUT / "models" / "wine" / "samples" / "bottle-007.json"


@pytest.fixture(scope="module")
def consumer(platform: Platform, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """The example for the results of one model, applied."""
    root = example(
        "consumer",
        tmp_path_factory.mktemp("consumer"),
        stack.environment(),
        TF_VAR_consumer="billing",
        TF_VAR_results_bucket=platform.deployment["buckets"]["results"],
        TF_VAR_models='["digits"]',
    )
    root.apply()
    yield root
    root.destroy()


def write_in_parts(s3: Any, bucket: str, key: str) -> None:
    """Write a new object as a function writes a provisional result: as an upload of one part."""
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    etag = s3.upload_part(**upload, PartNumber=1, Body=b'{"provisional": true}')["ETag"]
    s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, IfNoneMatch="*"
    )


def test_a_consumer_gets_one_event_per_final_result_and_can_do_nothing_else(
    platform: Platform, modelctl: Modelctl, consumer: Root, tmp_path: Path
) -> None:
    """GIVEN a consumer WHEN results are written THEN each is announced once, errors as well, but no provisional one."""
    consumer.find_nothing_to_change()
    results = platform.deployment["buckets"]["results"]
    outputs = consumer.outputs()
    refused_input = tmp_path / "no picture.png"
    refused_input.write_bytes(b"no picture")
    write_in_parts(platform.client("s3"), results, "digits/digits/announced later.png.json")
    assert modelctl("predict", "digits", SCAN).status == 0
    assert modelctl("predict", "digits", refused_input).status == 1
    assert modelctl("predict", "wine", BOTTLE).status == 0

    expected = {f"digits/digits/{SCAN.name}.json", "digits/digits/no picture.png.json"}
    with user(platform, "billing", outputs["consumer_policy"]) as seen:
        sqs, s3 = seen.client("sqs"), seen.client("s3")
        events: list[dict[str, Any]] = []

        def receive() -> bool:
            for message in sqs.receive_message(QueueUrl=outputs["queue_url"], MaxNumberOfMessages=10).get(
                "Messages", ()
            ):
                events.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=outputs["queue_url"], ReceiptHandle=message["ReceiptHandle"])
            return len(events) >= len(expected)

        eventually(receive)
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        left = sqs.get_queue_attributes(QueueUrl=outputs["queue_url"], AttributeNames=counts)["Attributes"]
        assert left == dict.fromkeys(counts, "0")
        assert sorted(event["detail"]["object"]["key"] for event in events) == sorted(expected)
        for event in events:
            announced = event["detail"]["object"]
            assert event["detail"]["bucket"] == {"name": results}
            # What is read is what was announced. Only the object says whether it is a prediction or an error.
            found = s3.get_object(Bucket=results, Key=announced["key"], IfMatch=announced["etag"])
            body = found["Body"].read()
            assert len(body) == announced["size"]
            assert ("error" in json.loads(body)) == ("no picture" in announced["key"])
            assert "error" not in json.dumps(event)
        refused = {
            "sending": ("sqs", "send_message", {"QueueUrl": outputs["queue_url"], "MessageBody": "{}"}),
            "another queue": ("sqs", "receive_message", {"QueueUrl": platform.queues("digits")[1]}),
            "listing": ("s3", "list_objects_v2", {"Bucket": results}),
            "writing": ("s3", "put_object", {"Bucket": results, "Key": "digits/new.json", "Body": b"{}"}),
            "another model": ("s3", "get_object", {"Bucket": results, "Key": f"wine/wine/{BOTTLE.name}.json"}),
        }
        for service, method, arguments in refused.values():
            with pytest.raises(ClientError, match="AccessDenied"):
                getattr(seen.client(service), method)(**arguments)
    platform.client("s3").delete_object(Bucket=results, Key="digits/digits/announced later.png.json")


def test_a_consumer_that_names_no_model_gets_the_final_results_of_all(
    platform: Platform, consumer: Root, tmp_path: Path
) -> None:
    planned = Plan.read(consumer.plan(tmp_path / "all", "-var", "models=[]"))
    assert planned.resources["aws_cloudwatch_event_rule.results"]["event_pattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [platform.deployment["buckets"]["results"]]}, "reason": ["PutObject"]},
    }
    (_, results) = planned.outputs["consumer_policy"]["Statement"]
    assert results["Resource"] == [f"arn:aws:s3:::{platform.deployment['buckets']['results']}/*"]
