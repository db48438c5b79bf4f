"""Our handler, or `HANDLER`; between calls it reports the processor time of its process, all threads included."""

import importlib
import os
import time

_serve = importlib.import_module(os.environ.get("HANDLER", "inference.handler")).handler


def handler(event, context):
    """Serve an event; for `"processor time"`, the milliseconds so far."""
    return time.process_time() * 1000 if event == "processor time" else _serve(event, context)
