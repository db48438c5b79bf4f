"""Pictures as cameras and programs write them: what their pixels are, and that nothing else in a file matters.

The pixels are compared with those that TensorFlow reads from the same files, with libpng and libjpeg.
"""

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference import decoders
from inference.config import InputConfig
from inference.decoders import resampling
from inference.errors import DecodeError, ModelError, TooLargeError
from inference.runtimes import Array, Quantization, TensorSpec

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}

#: A grey picture that looks different from each side.
PIXELS = np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)


def read(body: bytes, channels: int = 1, **fields: Any) -> Array:
    """The pixels of a picture for a model with this many channels and any size."""
    spec = TensorSpec("x", (None, None, None, channels), np.dtype(np.float32))
    pixels: Array = decoders.decode("a.png", body, InputConfig("image", **fields), (spec,)).tensors["x"][0]
    return pixels


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    samples: Array, depth: int, colour: int, *chunks: bytes, interlaced: bool = False, behind: bytes = b""
) -> bytes:
    """A PNG of samples (height, width, n) of `depth` bits; with more chunks before the pixels and behind them."""
    height, width, _ = samples.shape
    # https://www.w3.org/TR/png-3/#8Interlace: where each pass starts, and its steps.
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    data = b""
    for top, left, down, across in adam7 if interlaced else [(0, 0, 1, 1)]:
        for row in samples[top::down, left::across]:
            bits = "".join(f"{sample:0{depth}b}" for sample in row.ravel())
            if bits:
                bits += "0" * (-len(bits) % 8)
                data += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    pixels = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + behind + chunk(b"IEND", b"")


def saved(image_format: str, **options: Any) -> bytes:
    """PIXELS in a file."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGB" if image_format == "WEBP" else "L").save(file, image_format, **options)
    return file.getvalue()


PNG = png(PIXELS[..., np.newaxis], 8, GREY)
JPEG = saved("JPEG", quality=100)
WEBP = saved("WEBP", lossless=True)


def with_chunk(name: bytes, data: bytes) -> bytes:
    """The PNG with one more chunk before its pixels."""
    return png(PIXELS[..., np.newaxis], 8, GREY, chunk(name, data))


def with_segment(marker: int, data: bytes) -> bytes:
    """The JPEG with one more segment."""
    return JPEG[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + JPEG[2:]


def with_exif(image_format: str, exif: bytes) -> bytes:
    """A picture with these EXIF data."""
    if image_format == "JPEG":
        return with_segment(0xE1, b"Exif\0\0" + exif)
    return with_chunk(b"eXIf", exif) if image_format == "PNG" else saved("WEBP", lossless=True, exif=exif)


# Pixels


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    ("depth", "colour"),
    [
        *itertools.product((1, 2, 4, 8, 16), [GREY]),
        *itertools.product((8, 16), [COLOUR, GREY_ALPHA, COLOUR_ALPHA]),
        *itertools.product((1, 2, 4, 8), [PALETTE]),
    ],
)
def test_a_png_of_any_depth_has_the_pixels_that_libpng_reads(
    depth: int, colour: int, transparent: bool, interlaced: bool
) -> None:
    import tensorflow as tf

    generator = np.random.default_rng(depth + 16 * colour)
    samples = generator.integers(0, 2**depth, (9, 11, SAMPLES[colour]))
    chunks = []
    if colour == PALETTE:
        chunks.append(chunk(b"PLTE", generator.bytes(3 * 2**depth)))
    if transparent and colour == PALETTE:
        chunks.append(chunk(b"tRNS", generator.bytes(2**depth - 1)))
    elif transparent and colour in (GREY, COLOUR):
        key = samples[4, 5]
        if depth == 16:
            # Of the colours beside the transparent one, each differs in one byte.
            samples[4, 6], samples[4, 7] = key ^ 1, key ^ 0x100
            samples[2, 3] = key
        chunks.append(chunk(b"tRNS", key.astype(">u2").tobytes()))
    body = png(samples, depth, colour, *chunks, interlaced=interlaced)

    for channels in (1, 3, 4) if colour in (GREY, GREY_ALPHA) else (3, 4):
        expected = tf.io.decode_png(body, channels=channels).numpy()
        if channels == 4 and depth < 8 and not transparent:
            # TensorFlow fills in what would be opaque with so many bits.
            expected[..., 3] = 255
        np.testing.assert_array_equal(read(body, channels), expected, f"{channels} channels")


def test_sixteen_bits_per_channel_keep_the_high_byte() -> None:
    samples = np.arange(0, 65536, 257, dtype=np.int64).reshape(16, 16, 1)
    np.testing.assert_array_equal(read(png(samples, 16, GREY))[..., 0], np.arange(256).reshape(16, 16))
    np.testing.assert_array_equal(read(png(samples | 255, 16, GREY))[..., 0], np.arange(256).reshape(16, 16))


def test_profiles_and_gamma_do_not_change_the_pixels() -> None:
    for name, data in ((b"gAMA", struct.pack(">I", 100_000)), (b"iCCP", b"p\0\0" + zlib.compress(b"no profile"))):
        np.testing.assert_array_equal(read(with_chunk(name, data))[..., 0], PIXELS)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_a_moving_picture_is_its_first_frame(image_format: str) -> None:
    frames = [Image.fromarray(noise(6, 8, 3) // divisor) for divisor in (1, 2, 3)]
    file = io.BytesIO()
    frames[0].save(file, image_format, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read(file.getvalue(), 3), np.asarray(frames[0]))


# Damage


def test_each_bit_of_a_png_that_is_changed_is_noticed() -> None:
    for place in range(8 * len(PNG)):
        changed = bytearray(PNG)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(DecodeError):
            read(bytes(changed))


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"tEXt", b"IDAT", b"IEND"])
def test_a_wrong_checksum_is_refused_with_its_chunk(name: bytes) -> None:
    others = [chunk(other, bytes(range(6))) for other in (b"PLTE", b"tRNS", b"eXIf", b"tEXt")]
    body = bytearray(png(np.zeros((2, 2, 1), int), 8, PALETTE, *others))
    start = body.index(name)
    body[start + 4 + int.from_bytes(body[start - 4 : start])] ^= 1
    with pytest.raises(DecodeError, match=f"the PNG is damaged: the checksum of its chunk {name.decode()} is wrong"):
        read(bytes(body), 3)


def test_a_png_that_is_cut_off_is_refused_unless_all_pixels_are_there() -> None:
    behind = len(PNG) - len(chunk(b"IEND", b""))
    for length in range(1, behind):
        with pytest.raises(DecodeError):
            read(PNG[:length])
    np.testing.assert_array_equal(read(PNG[:behind])[..., 0], PIXELS)


def test_a_jpeg_or_webp_that_is_cut_off_is_refused() -> None:
    for body in (JPEG, WEBP):
        for length in range(1, len(body) - 2):
            with pytest.raises(DecodeError):
                read(body[:length])


# Behind the end


TAIL = b"MotionPhoto_Data" + np.random.default_rng(0).bytes(100_000) + b"\xff\xda" * 101


@pytest.mark.parametrize("body", [PNG, JPEG, WEBP], ids=["PNG", "JPEG", "WebP"])
@pytest.mark.parametrize("tail", [TAIL, b"\0", b"\xff", JPEG * 20, PNG], ids=["film", "zero", "FF", "JPEGs", "PNG"])
def test_what_is_behind_the_end_of_a_picture_does_not_matter(body: bytes, tail: bytes) -> None:
    np.testing.assert_array_equal(read(body + tail), read(body))


def scans(count: int) -> bytes:
    """A JPEG with this many scans."""
    body = saved("JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    return body[:-2] + body[last:-2] * (count - body.count(b"\xff\xda")) + body[-2:]


def test_the_scans_of_a_jpeg_are_counted_up_to_its_end() -> None:
    assert read(scans(100) + TAIL).shape == (6, 8, 1)
    for body in (scans(101), scans(101) + TAIL):
        with pytest.raises(TooLargeError, match="a JPEG with more than 100 scans"):
            read(body)


def test_scans_do_not_hide_between_other_segments() -> None:
    body = scans(101)
    for hidden in (b"\xff\xfe\x00\x02", b"\xff\xff\xff", b"\xff\x00\xff\xd0junk"):
        with pytest.raises(TooLargeError, match="a JPEG with more than 100 scans"):
            read(body.replace(b"\xff\xda", hidden + b"\xff\xda"))


# Metadata


@pytest.mark.parametrize(
    "segment",
    [
        (0xE0, b"JFIF\0"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<<>>"),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"\xff\xda" * 200),
        (0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        (0xED, b"Photoshop 3.0\x008BIM"),
        (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\0"),
        (0xEE, b"Adobe"),
        (0xFE, b"\xff\xd9"),
    ],
    ids=lambda segment: f"APP{segment[0] - 0xE0}",
)
def test_a_broken_segment_of_a_jpeg_does_not_matter(segment: tuple[int, bytes]) -> None:
    np.testing.assert_array_equal(read(with_segment(*segment)), read(JPEG))


@pytest.mark.parametrize(
    "added",
    [
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(b"a" * 2**21)),
        chunk(b"tEXt", b"prompt\0" + b"a" * 2**21),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2**21))),
        chunk(b"iCCP", b"profile\0\7not deflated"),
        chunk(b"iCCP", b""),
        chunk(b"zTXt", b"k\0\7not deflated"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0not deflated"),
        chunk(b"iTXt", b"XML:com.adobe.xmp"),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 8\nno hex")),
        chunk(b"pHYs", b"\0") + chunk(b"gAMA", b"") + chunk(b"cHRM", b"") + chunk(b"sRGB", b""),
        chunk(b"acTL", b"\0") + chunk(b"fcTL", bytes(26)),
    ],
    ids=[
        *("zTXt of 2 MiB", "iTXt of 2 MiB", "tEXt of 2 MiB", "iCCP of 2 MiB", "iCCP method", "iCCP empty"),
        *("zTXt method", "XMP broken", "XMP cut", "raw EXIF broken", "short chunks", "APNG broken"),
    ],
)
def test_a_long_or_broken_chunk_of_a_png_does_not_matter(added: bytes) -> None:
    for before, behind in ((added, b""), (b"", added)):
        body = png(PIXELS[..., np.newaxis], 8, GREY, before, behind=behind)
        np.testing.assert_array_equal(read(body)[..., 0], PIXELS)


def directory(*entries: tuple[int, int, int, bytes], order: str = "<", at: int = 8) -> bytes:
    """EXIF data with one directory: the tag, type, count and value of each field."""
    fields = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", at)
    return start + struct.pack(f"{order}H", len(entries)) + fields + bytes(4)


SIX = (0x0112, 3, 1, b"\6\0\0\0")
UPRIGHT = {
    "garbage": b"garbage!garbage!",
    "eight bytes": b"\x13\x07\xaa\xbb\xcc\xdd\xee\x01",
    "nothing": b"",
    "a directory behind the end": directory(SIX, at=5_000),
    "a directory beyond 2 GB": directory(SIX, at=2**32 - 1),
    "cut off in the field": directory(SIX)[:14],
    "a text": directory((0x0112, 2, 2, b"6\0\0\0")),
    "a fraction": directory((0x0112, 5, 1, b"\x08\0\0\0")),
    "of no type": directory((0x0112, 99, 1, b"\6\0\0\0")),
    "two of them": directory((0x0112, 3, 2, b"\6\0\6\0")),
    "0": directory((0x0112, 3, 1, bytes(4))),
    "9": directory((0x0112, 3, 1, b"\x09\0\0\0")),
}
TURNED = {
    "alone": directory(SIX),
    "from a big-endian camera": directory((0x0112, 3, 1, b"\0\6\0\0"), order=">"),
    "as a long": directory((0x0112, 4, 1, b"\6\0\0\0")),
    "with a resolution as text": directory(SIX, (0x011A, 2, 3, b"72\0\0")),
    "with a unit as text": directory(SIX, (0x0128, 2, 2, b"2\0\0\0")),
    "with a unit of 70,000": directory(SIX, (0x0128, 4, 1, struct.pack("<I", 70_000))),
    "with the program as a number": directory(SIX, (0x0131, 4, 1, b"\1\0\0\0")),
    "with a value behind the end": directory((0x010F, 2, 500, b"\xff\xff\xff\xff"), SIX),
    "in a directory that is cut off": directory(SIX, (0x0131, 4, 1, bytes(4)))[:-10],
    "with the name twice": b"Exif\0\0" + directory(SIX),
}


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("exif", UPRIGHT.values(), ids=UPRIGHT)
def test_exif_data_that_say_nothing_of_the_orientation_do_not_matter(exif: bytes, image_format: str) -> None:
    plain = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP}[image_format]
    np.testing.assert_array_equal(read(with_exif(image_format, exif)), read(plain))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("exif", TURNED.values(), ids=TURNED)
def test_the_orientation_counts_whatever_else_is_in_the_exif_data(exif: bytes, image_format: str) -> None:
    plain = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP}[image_format]
    np.testing.assert_array_equal(read(with_exif(image_format, exif)), np.rot90(read(plain), -1))


XMP = b'<rdf:Description tiff:Orientation="6"/>'
PROFILE = f"\nexif\n{len(TURNED['alone']):8}\n{TURNED['alone'].hex()}\n".encode()


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), JPEG),
        (with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), PNG),
        (with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)), PNG),
        (with_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(PROFILE)), PNG),
        (with_chunk(b"tEXt", b"Raw profile type exif\0" + PROFILE), PNG),
        (png(PIXELS[..., np.newaxis], 8, GREY, behind=chunk(b"eXIf", TURNED["alone"])), PNG),
        (saved("WEBP", lossless=True, xmp=XMP), WEBP),
    ],
    ids=["JPEG XMP", "PNG XMP", "PNG packed XMP", "ImageMagick packed", "ImageMagick", "eXIf behind", "WebP XMP"],
)
def test_the_orientation_may_be_in_other_metadata(body: bytes, plain: bytes) -> None:
    np.testing.assert_array_equal(read(body), np.rot90(read(plain), -1))


# Transparency


def composited(pixels: Array, background: tuple[int, int, int]) -> Array:
    """Pixels (height, width, 4) over a colour, each channel rounded to the nearest integer."""
    colours, alpha = pixels[..., :3].astype(int), pixels[..., 3:].astype(int)
    over: Array = (colours * alpha + np.array(background) * (255 - alpha) + 127) // 255
    return over.astype(np.uint8)


#: Each transparency with each of some colours, among them ones that nobody sees.
ALPHA, LIGHT = np.mgrid[:256, :256:5].astype(np.uint8)
CLEAR = np.stack([LIGHT, 255 - LIGHT, LIGHT // 3, ALPHA], -1)


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (12, 200, 99)])
def test_a_background_shows_through_transparent_pixels(background: tuple[int, int, int]) -> None:
    body = png(CLEAR, 8, COLOUR_ALPHA)
    expected = composited(CLEAR, background)
    np.testing.assert_array_equal(read(body, 3, background=background), expected)
    grey = np.asarray(Image.fromarray(expected).convert("L"))
    np.testing.assert_array_equal(read(body, 1, background=background)[..., 0], grey)


@pytest.mark.parametrize(
    ("body", "pixels"),
    [
        (png(CLEAR[..., [0, 3]], 8, GREY_ALPHA), CLEAR[..., [0, 0, 0, 3]]),
        (png(CLEAR.astype(int) * 257, 16, COLOUR_ALPHA), CLEAR),
        (
            png(np.array([[[0], [1], [2]]]), 2, PALETTE, chunk(b"PLTE", b"abcdefghi"), chunk(b"tRNS", b"\0\x80")),
            np.array([[[97, 98, 99, 0], [100, 101, 102, 128], [103, 104, 105, 255]]]),
        ),
        (
            png(np.array([[[0], [1], [3]]]), 2, GREY, chunk(b"tRNS", b"\0\1")),
            np.array([[[0, 0, 0, 255], [85, 85, 85, 0], [255, 255, 255, 255]]]),
        ),
        (
            png(np.array([[[0x1234], [0x1235], [0x1334]]]), 16, GREY, chunk(b"tRNS", b"\x12\x34")),
            np.array([[[0x12, 0x12, 0x12, 0], [0x12, 0x12, 0x12, 255], [0x13, 0x13, 0x13, 255]]]),
        ),
        (png(CLEAR[..., :3], 8, COLOUR), np.concatenate([CLEAR[..., :3], np.full((256, 52, 1), 255)], -1)),
    ],
    ids=["grey", "16 bits", "palette", "one grey of 2 bits", "one grey of 16 bits", "opaque"],
)
def test_a_background_shows_through_each_kind_of_transparency(body: bytes, pixels: Array) -> None:
    np.testing.assert_array_equal(read(body, 3, background=(9, 80, 250)), composited(pixels, (9, 80, 250)))


def test_a_background_shows_through_a_webp_and_an_upright_picture() -> None:
    file = io.BytesIO()
    Image.fromarray(CLEAR).save(file, "WEBP", lossless=True, exact=True, exif=TURNED["alone"])
    expected = np.rot90(composited(CLEAR, (255, 255, 255)), -1)
    np.testing.assert_array_equal(read(file.getvalue(), 3, background=(255, 255, 255)), expected)


def test_the_background_is_there_before_the_picture_is_resized() -> None:
    expected = Image.fromarray(composited(CLEAR, (255, 255, 255))).resize((7, 5), Image.Resampling.BILINEAR)
    resized = read(png(CLEAR, 8, COLOUR_ALPHA), 3, background=(255, 255, 255), size=(5, 7))
    np.testing.assert_array_equal(resized, np.asarray(expected))


def test_a_model_that_takes_transparency_has_no_background() -> None:
    with pytest.raises(ModelError, match=r"input\.background is set, but the model takes RGBA"):
        read(PNG, 4, background=(0, 0, 0))


# Resizing


def noise(height: int, width: int, channels: int) -> Array:
    """A picture in which each pixel differs from its neighbours."""
    return np.random.default_rng(height + width).integers(0, 256, (height, width, channels), np.uint8)


COLOURS = {1: GREY, 3: COLOUR, 4: COLOUR_ALPHA}
SIZES = [
    ((64, 64), (8, 8)),
    ((75, 100), (8, 8)),
    ((101, 203), (96, 97)),
    ((7, 10), (50, 33)),
    ((5, 5), (5, 9)),
    ((1, 1), (3, 4)),
    ((3, 2), (1, 1)),
    ((300, 2), (299, 224)),
]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_keras_resizes_as_tensorflow_does_to_the_last_bit(
    shape: tuple[int, int], size: tuple[int, int], channels: int
) -> None:
    import tensorflow as tf

    pixels = noise(*shape, channels)
    resized = read(png(pixels, 8, COLOURS[channels]), channels, size=size, resample="keras")
    np.testing.assert_array_equal(resized, tf.image.resize(pixels, size).numpy())


@pytest.mark.parametrize("pixels_at_once", [1, 500, 5_000])
def test_keras_resizes_a_large_picture_part_by_part(pixels_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(resampling, "_BAND", pixels_at_once)
    for size in ((17, 5), (90, 110)):
        pixels = noise(43, 61, 3)
        resized = read(png(pixels, 8, COLOUR), 3, size=size, resample="keras")
        np.testing.assert_array_equal(resized, tf.image.resize(pixels, size).numpy())


def test_keras_and_nearest_are_what_keras_reads_from_a_folder(tmp_path: Path) -> None:
    import tensorflow as tf

    body = png(noise(37, 53, 3), 8, COLOUR)
    (tmp_path / "a.png").write_bytes(body)
    (folder,) = tf.keras.utils.image_dataset_from_directory(
        tmp_path, labels=None, image_size=(16, 24), batch_size=None, verbose=False
    )
    np.testing.assert_array_equal(read(body, 3, size=(16, 24), resample="keras"), folder.numpy())
    layer = tf.keras.layers.Resizing(16, 24)(np.array(Image.open(tmp_path / "a.png"), np.float32)).numpy()
    np.testing.assert_array_equal(read(body, 3, size=(16, 24), resample="keras"), layer)
    loaded = tf.keras.utils.img_to_array(tf.keras.utils.load_img(tmp_path / "a.png", target_size=(16, 24)))
    np.testing.assert_array_equal(read(body, 3, size=(16, 24), resample="nearest"), loaded)


@pytest.mark.parametrize(
    ("resample", "filtered"),
    [
        (None, Image.Resampling.BILINEAR),
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("nearest", Image.Resampling.NEAREST),
    ],
)
@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_other_filters_are_those_of_pillow(
    resample: str | None, filtered: Image.Resampling, shape: tuple[int, int], size: tuple[int, int], channels: int
) -> None:
    pixels = noise(*shape, channels)
    fields = {} if resample is None else {"resample": resample}
    resized = read(png(pixels, 8, COLOURS[channels]), channels, size=size, **fields)
    expected = np.asarray(Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels).resize(size[::-1], filtered))
    np.testing.assert_array_equal(resized, expected.reshape(resized.shape))


def test_nearest_takes_the_pixel_in_the_middle() -> None:
    """As `tf.image.resize(method="nearest")` and torchvision's `nearest-exact`; OpenCV takes the one at the corner."""
    line = np.arange(12, dtype=np.uint8).reshape(1, 12, 1)
    assert read(png(line, 8, GREY), size=(1, 4), resample="nearest").ravel().tolist() == [1, 4, 7, 10]


@pytest.mark.parametrize("resample", ["bilinear", "keras", "nearest", "bicubic"])
def test_a_picture_of_the_right_size_is_not_resized(resample: str) -> None:
    np.testing.assert_array_equal(read(PNG, size=(6, 8), resample=resample)[..., 0], PIXELS)


def test_what_keras_resizes_is_normalized_before_anything_is_rounded() -> None:
    import tensorflow as tf

    pixels, mean, std = noise(30, 40, 3), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    spec = TensorSpec("x", (None, 3, 8, 8), np.dtype(np.float32))
    config = InputConfig("image", resample="keras", scale=1 / 255, mean=mean, std=std, layout="NCHW")
    found = decoders.decode("a.png", png(pixels, 8, COLOUR), config, (spec,)).tensors["x"][0]
    expected = (tf.image.resize(pixels, (8, 8)).numpy().astype(np.float64) / 255 - mean) / std
    # Numbers below 4, rounded to float32 three times.
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), rtol=0, atol=2e-6)


def test_an_input_of_integers_gets_the_nearest_ones() -> None:
    """As those of Keras's layer."""
    import tensorflow as tf

    pixels = noise(30, 40, 1)
    spec = TensorSpec("x", (None, 8, 8, 1), np.dtype(np.uint8))
    config = InputConfig("image", resample="keras")
    found = decoders.decode("a.png", png(pixels, 8, GREY), config, (spec,)).tensors["x"]
    assert found.dtype == np.uint8
    resized = tf.keras.layers.Resizing(8, 8)(pixels).numpy()
    np.testing.assert_array_equal(found[0], resized)

    spec = TensorSpec("x", (None, 8, 8, 1), np.dtype(np.float32), Quantization(np.dtype(np.int8), 1 / 255, -128))
    found = decoders.decode("a.png", png(pixels, 8, GREY), config, (spec,)).tensors["x"]
    np.testing.assert_allclose(found[0], resized / 255.0, rtol=1e-6)
