"""The Lambda function that serves one model: inputs come in, predictions go out.

The modules follow the way of the data: `handler` takes the event; `batch` serves queue messages and `direct` a direct
call; `events` says which objects were uploaded, `fetch` reads them, `decoders` and `tensors` turn bytes and JSON into
arrays, `runtimes` run the model through `predictor`, `predictions` says what the numbers mean, `result_documents` is
what a result says, and `results` keeps one current result per input. `keras_files` loads what Keras wrote, and
`model_files` says what is wrong with a model's files. `hooks` puts a model's own code in the place of decoders and
predictions. `isolation` serves inputs that come again in a process of their own. `check` answers the call that proves a
new version before it goes live. `surroundings` are the clocks, randomness, threads and processes of a batch, which a
simulation replaces with its own. `protobuf` reads what a model file says of itself. `modelctl` imports some of them as
well, so importing the package changes nothing in the process.
"""

#: The model's own code among its files; no other file there has a name that begins with a dot.
HOOKS_FILE = ".hooks.py"

#: The variant that results and metrics name; a model has no other.
VARIANT = "stable"

#: The only field of the event that is a check, and of no other event (see `check`).
CHECK = "modelyard_check"
