"""What TensorFlow Serving makes of requests, and what it answers: the cases that its conversion of JSON is tested with.

They restate, with values of our own, its tests of `json_tensor`, the rules that the code behind them follows for each
type, and the examples of its REST page. TensorFlow Serving converts a request without looking at the shapes of the
signature, so here they are unknown.
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/util/json_tensor_test.cc
https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

NAN, INFINITY = float("nan"), float("inf")

#: Inputs of a signature: the type by name.
INT = {"n": "int32"}
FLOAT = {"x": "float32"}
DOUBLE = {"x": "float64"}
TEXT = {"text": "object"}
WORDS = {"count": "int32", "words": "object"}
BEACH = {"count": "int32", "words": "object", "share": "float32", "exact": "float64"}
PICTURES = {"count": "int32", "words": "object", "picture": "object"}
SENSORS = {"tag": "object", "signal": "int32", "sensor": "int32"}


@dataclass(frozen=True)
class Request:
    """A predict request, as text."""

    name: str
    inputs: Mapping[str, str]
    text: str
    #: What the model is given; None: the request is refused.
    tensors: Mapping[str, Any] | None
    signature: str = "serving_default"


@dataclass(frozen=True)
class Answer:
    """Output tensors, and the JSON that is made of them."""

    name: str
    outputs: Mapping[str, Any]
    #: Whether the request gave rows (`instances`) or whole tensors (`inputs`).
    by_row: bool
    #: The answer; None: there is none.
    json: Any


#: A number that no 32-bit float has, and the most that a 64-bit one has.
BEYOND_FLOAT = "1.7976931348623157e+308"

REQUESTS = (
    # What is tested there.
    Request("rows of one input", INT, '{"instances": [[7, 8], [9, 10]]}', {"n": [[7, 8], [9, 10]]}),
    Request("numbers with and without a point, float", FLOAT, '{"instances": [4, 2.5, 0.0]}', {"x": [4, 2.5, 0]}),
    Request("numbers with and without a point, double", DOUBLE, '{"instances": [4.0, 3, 0.3]}', {"x": [4, 3, 0.3]}),
    Request("a named signature", INT, '{"signature_name": "count", "instances": [[7, 8]]}', {"n": [[7, 8]]}, "count"),
    Request("white space after the request", INT, '{"instances": [[7], [8]]}\n ', {"n": [[7], [8]]}),
    Request("base64 rows", TEXT, '{"instances": [{"b64": "c2Vh"}, {"b64": "c2FuZA=="}]}', {"text": [b"sea", b"sand"]}),
    Request(
        "base64 in lists",
        TEXT,
        '{"instances": [[{"b64": "c2Vh"}], [{"b64": "c2FuZA=="}]]}',
        {"text": [[b"sea"], [b"sand"]]},
    ),
    Request(
        "base64 in a named row",
        TEXT,
        '{"instances": [{"text": [[{"b64": "c2Vh"}], [{"b64": "c2FuZA=="}]]}]}',
        {"text": [[[b"sea"], [b"sand"]]]},
    ),
    Request(
        "rows of four inputs, NaN and infinity",
        BEACH,
        """{"instances": [
            {"count": [[1], [2]], "words": ["sea", "sand"], "share": [0.5, NaN], "exact": [NaN]},
            {"count": [[3], [4]], "words": ["salt", "sun"], "share": [2.0, Infinity], "exact": [4.0]}
        ]}""",
        {
            "count": [[[1], [2]], [[3], [4]]],
            "words": [[b"sea", b"sand"], [b"salt", b"sun"]],
            "share": [[0.5, NAN], [2, INFINITY]],
            "exact": [[NAN], [4]],
        },
    ),
    Request("a named column", INT, '{"inputs": {"n": [[[1, 2], [3, 4]]]}}', {"n": [[[1, 2], [3, 4]]]}),
    Request("a column without its name", INT, '{"inputs": [[[1, 2], [3, 4]]]}', {"n": [[[1, 2], [3, 4]]]}),
    Request(
        "columns of unequal length, one of them base64",
        PICTURES,
        '{"inputs": {"count": [[[1, 2], [3, 4]]], "words": ["sea", "sand"], "picture": {"b64": "c2Vh"}}}',
        {"count": [[[1, 2], [3, 4]]], "words": [b"sea", b"sand"], "picture": b"sea"},
    ),
    Request("an empty request", INT, "", None),
    Request("a signature that is not a string", INT, '{"signature_name": 7, "instances": [[7]]}', None),
    Request("rows and columns at once", INT, '{"instances": [[7, 8]], "inputs": [[7, 8]]}', None),
    Request("rows of unequal length", INT, '{"instances": [[1, 2], [3, 4], [5]]}', None),
    Request("rows of unequal depth", INT, '{"instances": [[1, 2], [3, 4], [[5, 6]]]}', None),
    Request("a number and a list", INT, '{"instances": [7, [7]]}', None),
    Request("strings among integers", INT, '{"instances": [[1, 2], ["sea", "sand"]]}', None),
    Request("a number beyond the range of float", FLOAT, f'{{"instances": [{BEYOND_FLOAT}]}}', None),
    Request("an integer that float would round", FLOAT, f'{{"instances": [{2**24 + 1}]}}', None),
    Request("an integer that double would round", DOUBLE, f'{{"instances": [{2**53 + 1}]}}', None),
    Request(
        "named rows of unequal depth",
        WORDS,
        '{"instances": [{"count": [1, 2], "words": ["sea"]}, {"count": [[3, 4]], "words": ["sand"]}]}',
        None,
    ),
    Request(
        "named rows of unequal length",
        WORDS,
        '{"instances": [{"count": [1, 2, 3], "words": ["sea"]}, {"count": [4, 5], "words": ["sand"]}]}',
        None,
    ),
    Request(
        "a list among named rows",
        WORDS,
        '{"instances": [{"count": [1, 2], "words": ["sea"]}, [1, 2], {"count": [3, 4], "words": ["sand"]}]}',
        None,
    ),
    Request("a named row among lists", TEXT, '{"instances": [["sea", "sand"], {"text": ["salt", "sun"]}]}', None),
    # The requests of its methods `classify` and `regress`.
    Request(
        "examples for classify or regress",
        TEXT,
        '{"examples": [{"words": ["sea", "sand"], "shares": [0.5, 0.25], "count": 2}, {"words": ["salt"]}]}',
        {"text": "two serialized examples"},
    ),
    Request(
        "examples with a context",
        TEXT,
        '{"signature_name": "look", "context": {"place": "bay"}, "examples": [{"words": ["sea"], "shares": Infinity}]}',
        {"text": "a serialized example and its context"},
        "look",
    ),
    Request("examples, a signature in a list", TEXT, '{"signature_name": ["look"], "examples": [{"w": [1]}]}', None),
    Request("a context that is a list, without examples", TEXT, '{"context": [{"words": ["sea"]}]}', None),
    Request("examples that are an object", TEXT, '{"examples": {"words": ["sea"]}}', None),
    Request("an example that is a list", TEXT, '{"examples": [[{"words": ["sea"]}]]}', None),
    Request("null in an example", TEXT, '{"examples": [{"words": [7, null]}]}', None),
    Request("two types in an example", TEXT, '{"examples": [{"words": [7, 7.5]}]}', None),
    Request("an object in an example", TEXT, '{"examples": [{"words": [7, {"sea": 7}]}]}', None),
    Request("a list in a list of an example", TEXT, '{"examples": [{"words": [[7], 8]}]}', None),
    Request(
        "an integer of 64 bits without a sign, in an example", TEXT, f'{{"examples": [{{"n": {2**64 - 9}}}]}}', None
    ),
    Request(
        "a number beyond the range of float, in an example", TEXT, f'{{"examples": [{{"n": {BEYOND_FLOAT}}}]}}', None
    ),
    # What its REST page shows, and the notes beside its code.
    Request("half plus two", FLOAT, '{"instances": [1.0, 2.0, 5.0]}', {"x": [1, 2, 5]}),
    Request("three texts", TEXT, '{"instances": ["sea", "sand", "salt"]}', {"text": [b"sea", b"sand", b"salt"]}),
    Request("two matrices", INT, '{"instances": [[[1, 2]], [[3, 4]]]}', {"n": [[[1, 2]], [[3, 4]]]}),
    Request("two matrices of unequal shape", INT, '{"instances": [[[1, 2]], [[3], [4]]]}', None),
    Request(
        "rows of three inputs",
        SENSORS,
        """{"instances": [
            {"tag": "sea", "signal": [1, 2, 3], "sensor": [[1, 2], [3, 4]]},
            {"tag": "bay", "signal": [4, 5, 6], "sensor": [[5, 6], [7, 8]]}
        ]}""",
        {"tag": [b"sea", b"bay"], "signal": [[1, 2, 3], [4, 5, 6]], "sensor": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]},
    ),
    Request(
        "columns of three inputs",
        SENSORS,
        '{"inputs": {"tag": ["sea", "bay"], "signal": [[1, 2], [3, 4]], "sensor": [[[1], [2]], [[3], [4]]]}}',
        {"tag": [b"sea", b"bay"], "signal": [[1, 2], [3, 4]], "sensor": [[[1], [2]], [[3], [4]]]},
    ),
    Request(
        "columns of unequal length",
        SENSORS,
        '{"inputs": {"tag": ["sea"], "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]}}',
        {"tag": [b"sea"], "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    ),
    Request(
        "rows of a picture and its caption",
        {"image": "object", "caption": "object"},
        '{"instances": [{"image": {"b64": "c2Vh"}, "caption": "sea"}, {"image": {"b64": "c2Fs"}, "caption": "sal"}]}',
        {"image": [b"sea", b"sal"], "caption": [b"sea", b"sal"]},
    ),
    Request("other members beside the rows", INT, '{"instances": [7], "comment": "none"}', {"n": [7]}),
    # The form of a request.
    Request("not an object", INT, "[[7, 8]]", None),
    Request("neither rows nor columns", INT, '{"signature_name": "serving_default"}', None),
    Request("a request that is cut off", INT, '{"instances": [[7, 8]', None),
    Request("something after the request", INT, '{"instances": [[7, 8]]} 9', None),
    Request("an empty name of the signature", INT, '{"signature_name": "", "instances": [7]}', {"n": [7]}),
    Request("rows that are an object", INT, '{"instances": {"n": 7}}', None),
    Request("rows that are a number", INT, '{"instances": 7}', None),
    Request("rows that are null", INT, '{"instances": null}', None),
    Request("no rows", INT, '{"instances": []}', None),
    Request("an empty row", INT, '{"instances": [[]]}', {"n": np.zeros((1, 0))}),
    Request("an empty column", INT, '{"inputs": []}', {"n": []}),
    Request("a column that is a single number", FLOAT, '{"inputs": 2.5}', {"x": 2.5}),
    Request("a named column that is a single number", FLOAT, '{"inputs": {"x": 2.5}}', {"x": 2.5}),
    Request("a column that is a single text", TEXT, '{"inputs": "sea"}', {"text": b"sea"}),
    Request("a column that is base64 alone", TEXT, '{"inputs": {"b64": "c2Vh"}}', {"text": b"sea"}),
    Request("a named row of the one input", INT, '{"instances": [{"n": 7}, {"n": 8}]}', {"n": [7, 8]}),
    Request("a row under another name", INT, '{"instances": [{"m": 7}]}', None),
    Request("a column under another name", INT, '{"inputs": {"m": 7}}', None),
    Request("lists for two inputs", WORDS, '{"instances": [[1, 2], [3, 4]]}', None),
    Request("one column for two inputs", WORDS, '{"inputs": [[1, 2], [3, 4]]}', None),
    Request("a row without one of the inputs", WORDS, '{"instances": [{"count": 7}]}', None),
    Request(
        "a second row without one of the inputs",
        WORDS,
        '{"instances": [{"count": 7, "words": "a"}, {"count": 7}]}',
        None,
    ),
    Request("a row with a further input", WORDS, '{"instances": [{"count": 7, "words": "sea", "more": 8}]}', None),
    Request("columns without one of the inputs", WORDS, '{"inputs": {"count": [7]}}', None),
    Request(
        "columns with a further input",
        WORDS,
        '{"inputs": {"count": [7], "words": ["sea"], "more": [8]}}',
        {"count": [7], "words": [b"sea"]},
    ),
    # Strings and their bytes.
    Request(
        "text beyond ASCII", TEXT, '{"instances": ["grün", "\\u6d77"]}', {"text": ["grün".encode(), "海".encode()]}
    ),
    Request("an empty text", TEXT, '{"instances": [""]}', {"text": [b""]}),
    Request("text and base64", TEXT, '{"instances": ["sea", {"b64": "c2FuZA=="}]}', {"text": [b"sea", b"sand"]}),
    Request("bytes that are not text", TEXT, '{"instances": [{"b64": "/wA="}]}', {"text": [b"\xff\x00"]}),
    Request("base64 without padding", TEXT, '{"instances": [{"b64": "c2FuZA"}]}', {"text": [b"sand"]}),
    Request("base64 with a line break", TEXT, '{"instances": [{"b64": "c2Fu\\nZA=="}]}', {"text": [b"sand"]}),
    Request("what is not base64", TEXT, '{"instances": [{"b64": "!"}]}', None),
    Request("base64 that is a number", TEXT, '{"instances": [{"b64": 7}]}', None),
    Request("base64 with a second member", TEXT, '{"instances": [{"b64": "c2Vh", "more": "c2Vh"}]}', None),
    Request("base64 for integers", INT, '{"instances": [{"b64": "c2Vh"}]}', None),
    Request("base64 for uint8", {"pixels": "uint8"}, '{"instances": [{"b64": "AQI="}, {"b64": "AwQ="}]}', None),
    Request("a number for text", TEXT, '{"instances": [7]}', None),
    # Numbers and their types.
    *(
        Request(f"{dtype}", {"n": dtype}, '{"instances": [[0, 7], [100, 127]]}', {"n": [[0, 7], [100, 127]]})
        for dtype in ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64")
    ),
    Request("negative integers", {"n": "int8"}, '{"instances": [-128, -1]}', {"n": [-128, -1]}),
    Request(
        "the largest int64", {"n": "int64"}, f'{{"instances": [{2**63 - 1}, {-(2**63)}]}}', {"n": [2**63 - 1, -(2**63)]}
    ),
    Request("beyond int64", {"n": "int64"}, f'{{"instances": [{2**63}]}}', None),
    Request("the largest uint64", {"n": "uint64"}, f'{{"instances": [{2**64 - 1}]}}', {"n": [2**64 - 1]}),
    Request("beyond uint64", {"n": "uint64"}, f'{{"instances": [{2**64}]}}', None),
    Request("beyond int32", INT, f'{{"instances": [{2**31}]}}', None),
    Request("a negative uint32", {"n": "uint32"}, '{"instances": [-1]}', None),
    Request("a fraction for an integer", INT, '{"instances": [7.5]}', None),
    Request("a whole number with a point, for an integer", INT, '{"instances": [7.0]}', None),
    Request("booleans", {"flag": "bool"}, '{"instances": [true, false]}', {"flag": [True, False]}),
    Request("a number for a boolean", {"flag": "bool"}, '{"instances": [1, 0]}', None),
    Request("a text for a boolean", {"flag": "bool"}, '{"instances": ["true"]}', None),
    Request("a boolean for an integer", INT, '{"instances": [true]}', None),
    Request("a boolean for a float", FLOAT, '{"instances": [true]}', None),
    Request("a text for a float", FLOAT, '{"instances": ["2.5"]}', None),
    Request("null for a float", FLOAT, '{"instances": [2.5, null]}', None),
    Request("an object for a float", FLOAT, '{"inputs": [{"m": 2.5}]}', None),
    Request("the largest integers that float holds", FLOAT, f'{{"instances": [{2**24 - 1}]}}', {"x": [2**24 - 1]}),
    Request("numbers with an exponent", FLOAT, '{"instances": [25e-1, 1E2]}', {"x": [2.5, 100]}),
    Request("a list that is too deep in a column", FLOAT, '{"inputs": [[1, 2], [3, [4]]]}', None),
    Request("lists of unequal length in a column", FLOAT, '{"inputs": [[1, 2], [3]]}', None),
)

_THREE = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.int32)
_WORDS = np.array([[b"sea", b"sand"], [b"salt", b"sun"]], object)
_FIVE = {
    "counts": _THREE,
    "exact": np.array([2.5, 3], np.float64),
    "share": np.array([[0.1], [2]], np.float32),
    "words": _WORDS,
    "words_bytes": _WORDS,
}
_BASE64 = [[{"b64": "c2Vh"}, {"b64": "c2FuZA=="}], [{"b64": "c2FsdA=="}, {"b64": "c3Vu"}]]

ANSWERS = (
    Answer("one output, by row", {"n": _THREE}, True, {"predictions": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}),
    Answer("one output, whole", {"n": _THREE}, False, {"outputs": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}),
    Answer("numbers, by row", {"n": np.arange(4, dtype=np.int32)}, True, {"predictions": [0, 1, 2, 3]}),
    Answer("numbers, whole", {"n": np.arange(4, dtype=np.int32)}, False, {"outputs": [0, 1, 2, 3]}),
    Answer("an output whose name ends in _bytes", {"words_bytes": _WORDS}, True, {"predictions": _BASE64}),
    Answer(
        "floats in their own digits",
        {"x": np.array([[8e6, 0.1, 0.25], [0.0007, 0.00003, 444443.5]], np.float32)},
        True,
        {"predictions": [[8e6, 0.1, 0.25], [0.0007, 0.00003, 444443.5]]},
    ),
    Answer(
        "NaN and infinity",
        {"x": np.array([[NAN, INFINITY], [3, -INFINITY]], np.float32)},
        True,
        {"predictions": [[NAN, INFINITY], [3.0, -INFINITY]]},
    ),
    Answer("no output", {}, True, None),
    Answer("complex numbers", {"z": np.array([1, 2], np.complex64)}, True, None),
    Answer("a single value, by row", {"n": np.array(7, np.int32)}, True, None),
    Answer(
        "five outputs, by row",
        _FIVE,
        True,
        {
            "predictions": [
                {
                    "counts": [[1, 2], [3, 4]],
                    "exact": 2.5,
                    "share": [0.1],
                    "words": ["sea", "sand"],
                    "words_bytes": _BASE64[0],
                },
                {
                    "counts": [[5, 6], [7, 8]],
                    "exact": 3.0,
                    "share": [2.0],
                    "words": ["salt", "sun"],
                    "words_bytes": _BASE64[1],
                },
            ]
        },
    ),
    Answer(
        "five outputs, whole",
        _FIVE,
        False,
        {
            "outputs": {
                "counts": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
                "exact": [2.5, 3.0],
                "share": [[0.1], [2.0]],
                "words": [["sea", "sand"], ["salt", "sun"]],
                "words_bytes": _BASE64,
            }
        },
    ),
    Answer("outputs that differ in their rows", {"n": _THREE, "words": _WORDS[:1]}, True, None),
    Answer("no rows of one output", {"n": _THREE[:0]}, True, {"predictions": []}),
    Answer("no rows of two outputs", {"n": _THREE[:0], "words": _WORDS[:0]}, True, {"predictions": []}),
    Answer("no rows of one output, one of the other", {"n": _THREE[:0], "words": _WORDS[:1]}, True, None),
)
