"""Whose fault a failure is: that alone decides what happens to the input.

An `InputError` becomes a result object, with the name of the class as `error.type` and its text as `error.message`; the
message is done. A `ServiceError` is not the input's fault: the queue delivers the message again. After the model's
`retries`, the message goes to the dead-letter queue, and the input's result says so.
"""

#: What the log says about an input that was not served, with the error's type and text.
NOT_SERVED = "not served; its message goes back to the queue: %s: %s"

#: The most characters of a message about an input: libraries quote what they read, which may be the whole input.
_LONGEST = 600


class InputError(Exception):
    """The input can never be served; the text is written for the person who uploaded it."""

    def __init__(self, text: str) -> None:
        super().__init__(for_a_result(text))


def for_a_result(text: str) -> str:
    """An error's text as a result has it: not too long, and without lone surrogates, which UTF-8 cannot hold."""
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class EmptyInputError(InputError):
    """The object is empty, or contains only white space or the header of a table."""


class TooLargeError(InputError):
    """The object, its decompressed content, its pixels, records or tensors exceed a limit of `limits`."""


class UnsupportedInputError(InputError):
    """Its suffix or encoding selects a format that this model does not accept."""


class DecodeError(InputError):
    """Its bytes are not in the format that its suffix or the model's input format names."""


class ShapeError(InputError):
    """It can be decoded, but has another shape than the model's signature."""


class NotFoundError(InputError):
    """That version of the object was deleted or replaced before it was read."""


class UnreadableError(InputError):
    """The object cannot be read as it is: it is archived, or encrypted with a key that the function cannot get."""


class PredictionError(InputError):
    """It fits the signature, but the model has no valid answer to its values.

    Shapes, types and names are checked before the model is called. So if an op then refuses (an index out of range, an
    assertion in the graph), the values are the cause, and a retry fails again. Running out of memory does not count,
    nor does any failure that other values would cause as well.
    """


class ServiceError(Exception):
    """Not the input's fault: a retry may help, or the deployment needs a fix."""


class ModelError(ServiceError):
    """The model or its hooks cannot be loaded or run, do not fit the registry entry, or ran out of memory."""


class StorageError(ServiceError):
    """S3 refused or did not answer, even after the client's own retries."""


class GivenUpError(ServiceError):
    """An input's last attempt did not end: the function crashed, or ran out of time or memory."""


class CrashError(ServiceError):
    """The process that served inputs ended: it crashed, or ran out of memory; or it could not be started."""


class TooLongError(ServiceError):
    """The input was not served within the time that it may take."""


class MessageError(ServiceError):
    """A queue message that is not an S3 event; it ends in the dead-letter queue, where it can be inspected."""
