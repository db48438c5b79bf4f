"""Whose fault a failure is: that alone decides what happens to the input.

An `InputError` ends as a result object whose `error.type` is the name of the class and whose `error.message` is its
text; the message is done. A `ServiceError` is not the input's fault: the queue delivers the message again. After the
model's `retries`, it is in the dead-letter queue, and its input has a result that says so.
"""

#: What the log says of an input that was not served, with the error's type and text.
NOT_SERVED = "not served; its message goes back to the queue: %s: %s"

#: Characters of a message about an input: libraries quote what they read, which may be the whole input.
_LONGEST = 600


class InputError(Exception):
    """The input cannot be served, now or later; the text is written for the person who uploaded it."""

    def __init__(self, text: str) -> None:
        super().__init__(for_a_result(text))


def for_a_result(text: str) -> str:
    """What a result can say of an error: a text without lone surrogates, which JSON can hold, and not too long."""
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class EmptyInputError(InputError):
    """The object is empty, or holds nothing but white space or the header of a table."""


class TooLargeError(InputError):
    """The object, its decompressed content, its pixels, records or tensors are beyond the limits of `limits`."""


class UnsupportedInputError(InputError):
    """Its suffix asks for a format that this model does not take."""


class DecodeError(InputError):
    """Its bytes are not what its suffix or the model's input format says."""


class ShapeError(InputError):
    """It decodes, but to another shape than the model's signature has."""


class NotFoundError(InputError):
    """That version of the object was deleted or replaced before it was read."""


class UnreadableError(InputError):
    """Nobody can read the object as it is: it is archived, or encrypted with a key that the function cannot get."""


class PredictionError(InputError):
    """It fits the signature, and the model still has no valid answer to its values.

    Shapes, types and names are checked before the model is called, so what an op then refuses (an index out of range,
    an assertion in the graph) is caused by the values, and trying again gives the same. Running out of memory does not
    count, nor does anything else that other values would meet too.
    """


class ServiceError(Exception):
    """Not the input's fault; trying again can help, or the deployment has to be fixed."""


class ModelError(ServiceError):
    """The model or its hooks cannot be loaded or run, do not fit the registry entry, or ran out of memory."""


class StorageError(ServiceError):
    """S3 refused or did not answer, also after the client's own retries."""


class GivenUpError(ServiceError):
    """An input's last attempt did not end: the function crashed, or ran out of time or memory."""


class CrashError(ServiceError):
    """The process that served the input ended: it crashed, or ran out of memory."""


class TooLongError(ServiceError):
    """The input was not served within the time that it may take."""


class MessageError(ServiceError):
    """A queue message that is not an S3 event; it ends in the dead-letter queue, where it can be inspected."""
