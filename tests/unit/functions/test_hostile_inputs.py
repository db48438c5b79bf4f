"""Whatever an object holds, it ends as instances that fit the signature or as a short error, within bounded memory.

The objects are valid ones that were cut, changed and put together, and ones made to be read badly. They are decoded in
a process of their own, where the crash of a library would end the process only.
"""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from modelctl.runtime_api import run_handler
from unit.functions import hostile
from unit.functions.fake_s3 import RESULTS, FakeS3
from unit.functions.hostile import DECODING_MB, MEMORY_MB, MODELS, Process, models
from unit.functions.loopback import access, served_s3
from unit.functions.valid_objects import EVENTS, NPZ, VALID, archive, npy_header

PROCESS = Process()


@pytest.fixture(scope="module", autouse=True)
def _process() -> Iterator[None]:
    yield
    PROCESS.close()


def decoded(key: str, body: bytes, model: str, input_format: str = "json", **fields: Any) -> str:
    """What comes of an object; its process lives on and has not taken more memory than decoding may."""
    outcome, taken_mb = PROCESS.decode(key, body, model, input_format, **fields)
    assert taken_mb < DECODING_MB, f"{outcome}, and it took {taken_mb:.0f} MB"
    return outcome


@pytest.mark.parametrize("key", VALID)
def test_each_valid_object_is_taken_by_one_of_the_models(key: str) -> None:
    """So that the tests below begin with what is read to its end."""
    input_format, bodies = VALID[key]
    takers = models(input_format)
    refused = [body for body in bodies if "instances" not in {decoded(key, body, m, input_format) for m in takers}]
    assert refused == list(NPZ[-2:] if key == "a.npz" else ()), "only members that numpy does not write"


# Cut, changed and put together

#: What stands in files where a program reads a number, a length or a token, and what then goes wrong.
PIECES = (
    *(struct.pack(form, value) for form in (">I", "<I") for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)),
    *(b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b'"', b"\\ud800", b"\\u0000"),
    *(b"9" * 400, b"1e999", b"-0", b"NaN", b"Infinity", b"null", b"true", b"{}", b"[]", b"[" * 60, b"{" * 60, b","),
    *(b"(1, 0)", b"(-1,)", b"(4294967296, 4294967296)", b"'|O'", b"'V8'", b"'<U9'", b"IEND", b"IDAT", b"\xff\xda"),
)


@st.composite
def changed(draw: st.DrawFn, bodies: tuple[bytes, ...]) -> bytes:
    """A valid object after some changes."""
    body = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 6))):
        start, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        match draw(st.sampled_from(("cut", "bit", "piece", "bytes", "repeat", "splice"))):
            case "cut":
                body = body[:start] if draw(st.booleans()) else body[:start] + body[end:]
            case "bit" if start < len(body):
                flipped = body[start] ^ (1 << draw(st.integers(0, 7)))
                body = body[:start] + bytes([flipped]) + body[start + 1 :]
            case "piece":
                piece = draw(st.sampled_from(PIECES))
                body = body[:start] + piece + body[start + (len(piece) if draw(st.booleans()) else 0) :]
            case "bytes":
                body = body[:start] + draw(st.binary(max_size=8)) + body[end:]
            case "repeat":
                body = body[:start] + body[start:end] * draw(st.integers(2, 20)) + body[end:]
            case "splice":
                other = draw(st.sampled_from(bodies))
                body = body[:start] + other[draw(st.integers(0, len(other))) :]
    return with_sums(body) if draw(st.booleans()) else body


def with_sums(body: bytes) -> bytes:
    """A PNG whose chunks have right checksums, so that what is in them is read; anything else as it is."""
    if not body.startswith(b"\x89PNG\r\n\x1a\n"):
        return body
    parts, at = [body[:8]], 8
    while at + 12 <= len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        chunk = body[at + 4 : at + 8 + length]
        parts.append(body[at : at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk)))
        at += 12 + length
    return b"".join([*parts, body[at:]])


@pytest.mark.parametrize("key", VALID)
@settings(deadline=None)
@given(data=st.data())
def test_a_changed_object_is_taken_or_refused(key: str, data: st.DataObject) -> None:
    input_format, bodies = VALID[key]
    body = data.draw(changed(bodies))
    if key.endswith(".gz") and data.draw(st.booleans()):
        body = gzip.compress(body)
    decoded(key, body, data.draw(st.sampled_from(models(input_format))), input_format)


# Made from the grammar


_NUMBERS = st.one_of(
    st.floats().map(json.dumps),
    st.integers().map(str),
    st.sampled_from(("1e400", "-0.0", "1" + "0" * 30, "9" * 5000, "0.1" * 2, "\u0661", "1_0", "0x1", "+1", "")),
)
_TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(("\ud800", "\udfff\ud800", "\x00", "\ufeff", "a" * 500)))
_VALUES = st.recursive(
    st.one_of(_NUMBERS, _TEXTS.map(json.dumps), st.sampled_from(("null", "true", "false", '{"b64": "AA=="}'))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda values: f"[{', '.join(values)}]"),
        st.lists(
            st.tuples(st.sampled_from(("a", "b", "x", "n", "text", "instances", "inputs", "b64")), inner), max_size=3
        ).map(lambda members: "{" + ", ".join(f'"{name}": {value}' for name, value in members) + "}"),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    text=st.one_of(
        _VALUES, _VALUES.map(lambda value: f'{{"instances": {value}}}'), _VALUES.map(lambda v: f'{{"inputs": {v}}}')
    ),
    model=st.sampled_from(sorted(MODELS)),
    encoding=st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32-le", "latin-1")),
    key=st.sampled_from(("a.json", "a.jsonl")),
)
def test_any_json_is_taken_or_refused(text: str, model: str, encoding: str, key: str) -> None:
    decoded(key, text.encode(encoding, errors="replace"), model)


@settings(deadline=None)
@given(
    rows=st.lists(
        st.lists(st.one_of(_NUMBERS, st.sampled_from(("a", "b", '"', "nan", " ", "=1"))), max_size=4), max_size=5
    ),
    separator=st.sampled_from((",", ",", ";", "\t")),
    end=st.sampled_from(("\n", "\r\n", "\r", "\n\n", "\x00")),
    model=st.sampled_from(sorted(MODELS)),
)
def test_any_csv_is_taken_or_refused(rows: list[list[str]], separator: str, end: str, model: str) -> None:
    decoded("a.csv", end.join(separator.join(row) for row in rows).encode(), model, "csv")


@settings(deadline=None)
@given(
    kind=st.sampled_from(("'<f4'", "'>f8'", "'|b1'", "'|u1'", "'<f16'", "'<c8'", "'|O'", "'|V3'", "'<M8[s]'", "'<U3'")),
    fortran=st.sampled_from(("True", "False", "1", "None", "[]")),
    shape=st.lists(st.integers(-2, 5) | st.sampled_from((2**31, 2**63, 2**70)), max_size=4),
    data=st.binary(max_size=48),
    model=st.sampled_from(sorted(MODELS)),
)
def test_any_array_header_is_taken_or_refused(
    kind: str, fortran: str, shape: list[int], data: bytes, model: str
) -> None:
    header = f"{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {tuple(shape)}, }}\n"
    decoded("a.npy", npy_header(header, data), model)


# Made to be read badly


def zeros(size: int = 100_000_000) -> bytes:
    """A gzip file of this many zeros."""
    compressor = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    part = bytes(2**20)
    return b"".join([compressor.compress(part) for _ in range(size // 2**20)]) + compressor.flush()


def forged(compression: int, claimed: int = 100) -> bytes:
    """An .npz file whose member claims to be small and is not."""
    body = bytearray(archive(compression, x=np.zeros(160_000_000, np.uint8)))
    listed = body.rfind(b"PK\x01\x02")
    body[listed + 24 : listed + 28] = struct.pack("<I", claimed)
    return bytes(body)


def crowded() -> bytes:
    """A zip of very many empty files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        for number in range(60_000):
            members.writestr(str(number), b"")
    return file.getvalue()


def png(*chunks: tuple[bytes, bytes], width: int = 8, height: int = 8) -> bytes:
    """A PNG of these chunks."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (header, *chunks, (b"IEND", b""))
    ]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts])


@cache
def bomb(size: int = 200_000_000) -> bytes:
    """So many bytes, compressed as in a PNG."""
    return zlib.compress(bytes(size), 9)


PIXELS = (b"IDAT", zlib.compress(bytes(25 * 8)))


def webp(width: int, height: int) -> bytes:
    """A WebP file that claims to move, to be of this size, and holds no frame."""
    chunks = (
        b"VP8X" + struct.pack("<IBxxx", 10, 2) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    chunks += b"ANIM" + struct.pack("<I6x", 6)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def flat(image_format: str, mode: str, side: int, **options: Any) -> bytes:
    """A square picture of one colour: few bytes, many pixels."""
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, image_format, **options)
    return file.getvalue()


def scans(count: int) -> bytes:
    """A progressive JPEG whose pixels come in very many scans."""
    body = flat("JPEG", "RGB", 2_000, progressive=True)
    start = body.index(b"\xff\xda")
    return body[:start] + body[start:-2] * count + body[-2:]


MEGABYTES = 2**20
BOMBS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "gzip of zeros": ("a.json.gz", "row", zeros),
    "gzip of very many members": ("a.json.gz", "row", lambda: gzip.compress(b"") * 200_000),
    "gzip in gzip": ("a.json.gz", "row", lambda: gzip.compress(zeros(50_000_000))),
    "json nested": ("a.json", "row", lambda: b"[" * 1_000_000),
    "json nested and closed": ("a.json", "row", lambda: b"[" * 900 + b"1" + b"]" * 900),
    "json nested objects": ("a.json", "row", lambda: b'{"a":' * 900 + b"1" + b"}" * 900),
    "json texts of which one is long": (
        "a.json",
        "row",
        lambda: b'["' + b"a" * 500_000 + b'"' + b', "b"' * 9_000 + b"]",
    ),
    "json objects": ("a.json", "row", lambda: b"[" + b"{}," * 1_300_000 + b"{}]"),
    "json names": (
        "a.json",
        "row",
        lambda: json.dumps({f"{n}": 0 for n in range(200_000)}).encode()[:-1] + b', "199999": 1}',
    ),
    "json digits": ("a.json", "row", lambda: b"9" * 3_000_000),
    "json digits in lines": ("a.jsonl", "row", lambda: (b"9" * 4_000 + b"\n") * 700),
    "json infinity": ("a.json", "row", lambda: b"[1e999, -1e999, 1]"),
    "json in UTF-16": ("a.json", "row", lambda: "[1, 2, 3]".encode("utf-16")),
    "json texts without a pair": ("a.json", "texts", lambda: b'["\\ud800"]'),
    "json names without a pair": ("a.json", "several", lambda: b'{"\\ud800": 1}'),
    "json names of a megabyte": ("a.json", "several", lambda: json.dumps({"n" * MEGABYTES: 1}).encode()),
    "csv of a million columns": ("a.csv", "row", lambda: b"1," * 1_000_000 + b"1\n"),
    "csv of a million rows": ("a.csv", "row", lambda: b"1\n" * 1_000_000),
    "csv of a huge cell": ("a.csv", "row", lambda: b"1," + b"a" * 3_000_000),
    "csv of a huge cell without an end": ("a.csv", "texts", lambda: b'"' + b"a\n" * 1_000_000),
    "csv of digits": ("a.csv", "integers", lambda: b"9" * 100_000 + b",1\n"),
    "csv of zero bytes": ("a.csv", "row", lambda: bytes(3_000_000)),
    "npy that claims a terabyte": (
        "a.npy",
        "row",
        lambda: npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }\n"),
    ),
    "npy header of signs": ("a.npy", "row", lambda: npy_header("{'descr': " + "-" * 9_000 + "1}\n")),
    "npy header of brackets": ("a.npy", "row", lambda: npy_header("{'descr': " + "(" * 9_000 + "\n")),
    "npy of a thousand fields": (
        "a.npy",
        "row",
        lambda: npy_header(
            f"{{'descr': {[(str(n), '<f4') for n in range(600)]}, 'fortran_order': False, 'shape': (1,)}}"
        ),
    ),
    "npy of bytes that are no booleans": (
        "a.npy",
        "flags",
        lambda: npy_header("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }\n", b"\x02\xff"),
    ),
    "npz that lies": ("a.npz", "row", lambda: forged(zipfile.ZIP_DEFLATED)),
    "npz that lies in bzip2": ("a.npz", "row", lambda: forged(zipfile.ZIP_BZIP2)),
    "npz of zeros": ("a.npz", "row", lambda: archive(x=np.zeros(160_000_000, np.uint8))),
    "npz of very many members": ("a.npz", "row", crowded),
    "png of absurd size": ("a.png", "photo", lambda: png(PIXELS, width=2**31 - 1, height=2**31 - 1)),
    "png of fewer pixels than it says": ("a.png", "photo", lambda: png((b"IDAT", bomb(9)))),
    "webp of absurd size": ("a.webp", "photo", lambda: webp(2**16 - 1, 2**16 - 1)),
    "webp of a large size without a frame": ("a.webp", "photo", lambda: webp(12_000, 12_000)),
    "jpeg of absurd size": (
        "a.jpg",
        "photo",
        lambda: flat("JPEG", "RGB", 8).replace(struct.pack(">HH", 8, 8), b"\xff\xff\xff\xff", 1),
    ),
    "jpeg of very many scans": ("a.jpg", "photo", lambda: scans(2_000)),
}


def texts(keyword: bytes, count: int = 100) -> tuple[tuple[bytes, bytes], ...]:
    """Chunks of text that are small until they are inflated."""
    return ((b"zTXt", keyword + b"\0\0" + bomb(MEGABYTES)),) * count


#: What a picture contains besides its pixels, which is not read.
METADATA: dict[str, Callable[[], bytes]] = {
    "a bomb for text": lambda: png((b"zTXt", b"k\0\0" + bomb()), PIXELS),
    "a bomb for text later": lambda: png(PIXELS, (b"iTXt", b"k\0\1\0\0\0" + bomb())),
    "a bomb for XMP": lambda: png((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb()), PIXELS),
    "a bomb for EXIF data": lambda: png((b"zTXt", b"Raw profile type exif\0\0" + bomb()), PIXELS),
    "a bomb for a profile": lambda: png((b"iCCP", b"k\0\0" + bomb()), PIXELS),
    "many texts": lambda: png(*texts(b"k"), PIXELS),
    "much XMP": lambda: png(*texts(b"XML:com.adobe.xmp", 10_000), PIXELS),
    "many empty chunks": lambda: png(*[(b"teXt", b"")] * 100_000, PIXELS),
    "many empty segments": lambda: flat("JPEG", "RGB", 8)[:2] + b"\xff\xfe\0\2" * 100_000 + flat("JPEG", "RGB", 8)[2:],
    "many fields": lambda: flat("JPEG", "RGB", 8, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(12 * 5_000)),
}


@cache
def made(name: str) -> bytes:
    """The body of one of them, which takes its time to make."""
    return BOMBS[name][2]()


@pytest.mark.parametrize("name", BOMBS)
def test_an_object_made_to_be_read_badly_is_refused(name: str) -> None:
    key, model, _ = BOMBS[name]
    assert decoded(key, made(name), model, "image" if model == "photo" else "json", size=None).endswith("Error")


@pytest.mark.parametrize(("artifact", "input_format"), [("odds.tflite", "json"), ("scans.tflite", "image")])
def test_all_of_them_in_one_batch_get_their_errors_and_the_function_lives(
    artifact: str,
    input_format: str,
    environment: Callable[..., dict[str, str]],
    announce: Callable[..., dict[str, Any]],
    fake_s3: FakeS3,
) -> None:
    """In the function itself, under awslambdaric, with as much memory as its registry entry has."""
    bombs = [
        announce(f"digits/{name} {key}", made(name))
        for name, (key, model, _) in BOMBS.items()
        if (model == "photo") == (input_format == "image") and model not in ("texts", "several", "flags", "integers")
    ]
    assert len(bombs) > 5
    valid = announce("digits/valid", b"[0, 0, 0]" if input_format == "json" else VALID["a.png"][1][1])
    variables = environment(artifact, "litert", input_format, AWS_LAMBDA_FUNCTION_MEMORY_SIZE=str(MEMORY_MB))
    with served_s3(fake_s3) as endpoint:
        run = run_handler(
            "inference.handler.handler", [{"Records": [*bombs, valid]}], variables | access(endpoint), timeout_s=120
        )
    assert run.answers == [{"batchItemFailures": []}]
    documents = [json.loads(fake_s3.objects[address][-1].body) for address in fake_s3.objects if address[0] == RESULTS]
    assert len(documents) == len(bombs) + 1
    assert [document["input"]["key"] for document in documents if "error" not in document] == ["digits/valid"]
    assert run.peak_memory_mb < MEMORY_MB


@pytest.mark.parametrize("name", METADATA)
def test_what_nobody_reads_of_a_picture_does_no_harm(name: str) -> None:
    assert decoded("a.png", METADATA[name](), "photo", "image") == "instances"


#: Which of these is the largest that is taken differs from format to format: their libraries need more memory or less.
SIDES = (2_300, 2_550, 2_850, 4_050, 4_200)
LARGE: dict[str, Callable[[int], bytes]] = {
    **{f"png {mode}": partial(flat, "PNG", mode, compress_level=1) for mode in ("1", "L", "P", "RGBA")},
    "jpeg": partial(flat, "JPEG", "RGB"),
    **{f"progressive {mode}": partial(flat, "JPEG", mode, progressive=True, subsampling=0) for mode in ("RGB", "CMYK")},
    "webp": partial(flat, "WEBP", "RGB", method=0),
    "webp without loss": partial(flat, "WEBP", "RGBA", lossless=True, method=0, quality=0),
}


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_picture_that_is_taken_fits_the_memory(name: str) -> None:
    outcomes = [decoded("a.png", LARGE[name](side), "photo", "image", size=(8, 8)) for side in SIDES]
    assert outcomes[0] == "instances"
    assert outcomes[-1] == "TooLargeError"


@pytest.mark.parametrize("name", ["png L", "jpeg"])
def test_the_largest_picture_that_keras_resizes_fits_the_memory(name: str) -> None:
    fields = {"size": (8, 8), "resample": "keras"}
    outcomes = [decoded("a.png", LARGE[name](side), "photo", "image", **fields) for side in (4_050, 4_200)]
    assert outcomes == ["instances", "TooLargeError"]


@pytest.mark.parametrize(("name", "largest"), [("png RGBA", 4_050), ("webp without loss", 2_850)])
def test_the_largest_picture_over_a_background_fits_the_memory(name: str, largest: int) -> None:
    fields = {"size": (8, 8), "background": (1, 2, 3)}
    outcomes = [decoded("a.png", LARGE[name](side), "photo", "image", **fields) for side in (largest, 4_200)]
    assert outcomes == ["instances", "TooLargeError"]


@pytest.mark.parametrize("name", ["png RGBA", "jpeg", "progressive RGB", "webp"])
@pytest.mark.parametrize(("model", "layout"), [("photo", "NHWC"), ("channels first", "NCHW")])
def test_the_largest_picture_that_keeps_its_size_fits_the_memory(name: str, model: str, layout: str) -> None:
    fields = {"layout": layout, "scale": 0.5, "mean": (1.0, 2.0, 3.0), "std": (4.0, 5.0, 6.0)}
    outcomes = [decoded("a.png", LARGE[name](side), model, "image", **fields) for side in (2_360, 2_370)]
    assert outcomes == ["instances", "TooLargeError"]


# Direct calls


@settings(deadline=None)
@given(
    field=st.sampled_from(("instances", "inputs")),
    value=_VALUES,
    depth=st.sampled_from((0, 0, 0, 40, 700)),
    model=st.sampled_from(sorted(MODELS)),
)
# Once numpy's refusal to go through so many dimensions was taken for the function's fault.
@example(field="instances", value="[]", depth=40, model="texts")
def test_a_direct_call_is_taken_or_refused(field: str, value: str, depth: int, model: str) -> None:
    try:
        # Lambda's runtime client reads the event as Python does, NaN and all.
        event = json.loads(f'{{"{field}": {"[" * depth}{value}{"]" * depth}}}')
    except ValueError:
        return
    hostile.request(event, model)


# Messages


_FIELDS = (
    "Records",
    "s3",
    "bucket",
    "object",
    "key",
    "name",
    "size",
    "eTag",
    "etag",
    "versionId",
    "sequencer",
    "eventTime",
    "detail",
    "time",
)


@settings(deadline=None)
@given(
    body=st.one_of(
        changed(tuple(event.encode() for event in EVENTS)).map(lambda body: body.decode(errors="surrogateescape")),
        st.text(),
    )
)
def test_a_changed_message_is_an_event_or_none(body: str) -> None:
    hostile.announce(body)


@settings(deadline=None)
@given(event=st.sampled_from(EVENTS[:2]), field=st.sampled_from(_FIELDS), value=_VALUES)
def test_a_message_with_another_value_in_one_place_is_an_event_or_none(event: str, field: str, value: str) -> None:
    def replaced(at: Any) -> Any:
        if isinstance(at, dict):
            return {name: "HERE" if name == field else replaced(inner) for name, inner in at.items()}
        return [replaced(inner) for inner in at] if isinstance(at, list) else at

    hostile.announce(json.dumps(replaced(json.loads(event))).replace('"HERE"', value))
