"""Our handler on batches, alternately with its own S3 client and with botocore: the processor time of each."""

import time

from inference import s3
from inference.handler import handler as ours
from inference.s3.with_botocore import BotocoreObjects
from inference.s3.with_obstore import ObstoreObjects


def handler(event, context):
    """Serve the two batches of each of `event["pairs"]`.

    Returns the milliseconds of processor time per batch, with our client and with botocore's.
    """
    clients = ObstoreObjects(), BotocoreObjects()
    return [[_took(ours, *side, context) for side in zip(clients, pair, strict=True)] for pair in event["pairs"]]


def _took(serve, client, event, context):
    s3.client = lambda: client
    # Of all threads.
    started = time.process_time()
    answer = serve(event, context)
    took = (time.process_time() - started) * 1000
    if answer["batchItemFailures"]:
        raise RuntimeError(answer)
    return took
