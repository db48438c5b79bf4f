"""The Lambda function that serves one model: inputs come in, predictions go out.

The modules follow the path of the data: `handler` takes the event; `batch` serves queue messages and `direct` a direct
call; `events` says which objects were uploaded, `fetch` reads them, `decoders` and `tensors` turn bytes and JSON into
arrays, `runtimes` run the model through `predictor`, `predictions` says what the numbers mean, `result_documents`
defines what a result contains, and `results` keeps one current result per input. `keras_files` loads what Keras wrote,
and `model_files` says what is wrong with a model's files. `hooks` runs a model's own code in place of decoders and
predictions. `isolation` serves repeated inputs in a separate process. `check` answers the call that proves a new
version before it goes live. `surroundings` holds the clocks, randomness, threads and processes of a batch; a simulation
substitutes its own. `protobuf` reads what a model file says about itself. `modelctl` imports some of these modules too,
so importing the package has no side effects.
"""

#: The file with the model's own code; no other file of an artifact has a name that begins with a dot.
HOOKS_FILE = ".hooks.py"

#: The variant that results and metrics name; a model has no other.
VARIANT = "stable"

#: The only field of a check's event; no other event has it (see `check`).
CHECK = "modelyard_check"
