"""Our handler on batches of uploads: where their processor time goes, by the step that spends it."""

import time
from collections import Counter
from functools import wraps

from inference import decoders, metrics, predictor, s3
from inference.batch import messages, pipeline
from inference.handler import handler as serve
from inference.s3.with_obstore import ObstoreObjects

_spent = Counter()


def _timed(step, function):
    """The function, with the processor time of its thread counted for a step."""

    @wraps(function)
    def timed(*arguments, **named):
        started = time.thread_time()
        try:
            return function(*arguments, **named)
        finally:
            _spent[step] += time.thread_time() - started

    return timed


class _Objects(ObstoreObjects):
    read = _timed("S3: requests, in the threads that wait for them", ObstoreObjects.read)
    write = _timed("S3: requests, in the threads that wait for them", ObstoreObjects.write)


messages.take_up = _timed("reading messages", messages.take_up)
decoders.decode = _timed("decoding", decoders.decode)
for _name in ("predict", "predict_together"):
    setattr(predictor.Predictor, _name, _timed("predicting", getattr(predictor.Predictor, _name)))
pipeline.result_document = _timed("result documents", pipeline.result_document)
pipeline.logger.info = _timed("log lines", pipeline.logger.info)
metrics.emit = _timed("metrics", metrics.emit)


def handler(event, context):
    """Serve the batches; returns the milliseconds of processor time of each, by step."""
    objects = _Objects()
    s3.client = lambda: objects
    return [_profile(batch, context) for batch in event["batches"]]


def _profile(batch, context):
    _spent.clear()
    started = time.process_time()
    answer = serve(batch, context)
    spent = time.process_time() - started
    if answer["batchItemFailures"]:
        raise RuntimeError(answer)
    steps = {**_spent, "obstore's own thread, changes of threads and all else": spent - _spent.total()}
    return {step: seconds * 1000 for step, seconds in steps.items()}
