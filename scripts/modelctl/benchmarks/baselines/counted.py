"""Our handler, or `HANDLER`, that tells between calls how much processor time its process has taken, all threads."""

import importlib
import os
import time

_serve = importlib.import_module(os.environ.get("HANDLER", "inference.handler")).handler


def handler(event, context):
    """Serve an event; for `"processor time"`, the milliseconds so far."""
    return time.process_time() * 1000 if event == "processor time" else _serve(event, context)
