"""Inputs for a model that is imported: made up from its signature, and stored in a file for several processes."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference import decoders
from inference.config import InputConfig
from inference.decoders import csv
from inference.errors import InputError
from inference.rows import Rows, rows_of
from inference.runtimes import Array, Specs, TensorSpec
from inference.tensors import Instances
from modelctl.errors import UserError

Generator = np.random.Generator
Tensors = dict[str, Array]

#: The number of made-up inputs per distribution.
_EACH = 8
_SEED = 20
#: The length for an open dimension: of an image, which must survive some pooling, and of anything else.
_OPEN_PIXELS = 64
_OPEN = 16

_WORDS = ("", "a", "seven", "the quick brown fox", "It was fine, but far too expensive!", "42", "né à Paris", "x" * 200)

#: Models are trained on values of very different sizes: pixels, shares, normalised numbers, raw measurements.
_REALS: tuple[Callable[[Generator, Sequence[int]], Array], ...] = (
    lambda random, shape: random.random(shape),
    lambda random, shape: random.standard_normal(shape),
    lambda random, shape: random.uniform(0, 255, shape),
    lambda random, shape: 10 ** random.uniform(-2, 3, shape),
)
#: Integers may be indices into a vocabulary of unknown size.
_INTEGERS_BELOW = (2, 10, 100, 1000)


def made_up(specs: Specs) -> list[Instances]:
    """The same inputs in every run, of several distributions each, for the types of the signature; one if it has none.

    Raises:
        UserError: the signature does not give their shape.
    """
    if not specs:
        return [Instances({}, None)]
    random = np.random.default_rng(_SEED)
    return [Instances(_tensors(specs, kind, random), 1) for kind in range(len(_REALS)) for _ in range(_EACH)]


def _tensors(specs: Specs, kind: int, random: Generator) -> Tensors:
    # Without dimensions, numpy's generators return a single value instead of an array.
    return {spec.name: np.asarray(_tensor(spec, kind, random), spec.dtype) for spec in specs}


def _tensor(spec: TensorSpec, kind: int, random: Generator) -> Array:
    """A tensor for a batch of one, from the distribution `kind`."""
    shape = _shape(spec)
    match spec.dtype.kind:
        case "f" if spec.quantization:
            limits = np.iinfo(spec.stored)
            return spec.quantization.real(random.integers(limits.min, limits.max, shape, spec.stored, endpoint=True))
        case "f":
            return _REALS[kind](random, shape)
        case "b":
            return random.random(shape) < (kind + 1) / (len(_REALS) + 1)
        case "u" | "i" if spec.dtype.itemsize == 1:
            limits = np.iinfo(spec.dtype)
            return random.integers(limits.min, limits.max, shape, endpoint=True)
        case "u" | "i":
            return random.integers(0, _INTEGERS_BELOW[kind], shape)
        case "O":
            return np.array(
                [_WORDS[index].encode() for index in random.integers(0, len(_WORDS), shape).flat], object
            ).reshape(shape)
    raise UserError(f"no inputs of {spec.dtype} can be made up for {spec.name}: give some with --samples")


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    if spec.shape is None:
        raise UserError(f"the signature leaves the shape of {spec.name} open: give inputs with --samples")
    any_length = _OPEN_PIXELS if len(spec.shape) == 4 else _OPEN
    first = spec.shape[:1] == (None,)
    return tuple(
        1 if first and index == 0 else any_length if length is None else length
        for index, length in enumerate(spec.shape)
    )


def rows(instances: Instances, specs: Specs) -> list[Instances]:
    """Each row of an input as a separate input, if the signature's number of rows is open or 1."""
    if rows_of(specs, None) not in (Rows.SINGLE, Rows.OPEN):
        return [instances]
    return [Instances(row, 1) for row in split([instances.tensors])] or [instances]


def split(given: Sequence[Tensors]) -> list[Tensors]:
    """The rows of tensors with equally many in every input; each row becomes tensors of one row."""
    rows = []
    for tensors in given:
        lengths = {array.shape[:1] for array in tensors.values()}
        if len(lengths) == 1 and (length := lengths.pop()):
            rows += [{name: array[row : row + 1] for name, array in tensors.items()} for row in range(*length)]
    return rows


def different_rows(given: Sequence[Tensors], specs: Specs, crossed: int, made_up: int) -> Iterator[Tensors]:
    """Different rows of one shape: the given ones, then others in case these are too few.

    Args:
        given: rows, which may differ in shape; those of the most common shape are used.
        specs: the signature's inputs.
        crossed: how many to combine from the elements of two given rows each, whose values the model knows.
        made_up: how many to make up from the signature, which must give their shape unless rows are given.

    Raises:
        UserError: it does not.
    """
    random = np.random.default_rng(_SEED)
    shapes = [_shapes(row) for row in given]
    usual = max(shapes, key=shapes.count, default=None)
    alike = [row for row, shape in zip(given, shapes, strict=True) if shape == usual]
    kinds = itertools.islice(itertools.cycle(range(len(_REALS))), made_up)
    others = itertools.chain.from_iterable(split([_tensors(specs, kind, random)]) for kind in kinds)
    seen: set[bytes] = set()
    try:
        for row in itertools.chain(alike, _crossed(alike, crossed, random), others):
            usual = usual or _shapes(row)
            identity = _identity(row)
            if _shapes(row) == usual and identity not in seen:
                seen.add(identity)
                yield row
    except UserError:
        if not given:
            raise


def _crossed(given: Sequence[Tensors], count: int, random: Generator) -> Iterator[Tensors]:
    """Rows whose elements come from two given rows, or from anywhere in one that is alone."""
    for _ in range(count if given else 0):
        one, other = (given[index] for index in random.integers(0, len(given), 2))
        if len(given) == 1:
            other = {name: random.permutation(array.reshape(-1)).reshape(array.shape) for name, array in one.items()}
        yield {name: np.where(random.random(one[name].shape) < 0.5, one[name], other[name]) for name in one}


def _shapes(row: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in row.items()}


def _identity(row: Tensors) -> bytes:
    digest = hashlib.sha256()
    for array in row.values():
        digest.update(repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes())
    return digest.digest()


def fields(
    specs: Specs, samples: Sequence[Path], config: InputConfig, pixels: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The `input` of a registry entry for a model with these inputs; None if it is not needed.

    Args:
        specs: the signature's inputs.
        samples: files with inputs.
        config: what the registry's defaults say.
        pixels: those of `scale`, `mean` and `std` of images that are given; they replace all three.

    Raises:
        UserError: pixels are given but it takes no images, or the samples contradict each other.
    """
    if found := image_fields(specs):
        kept = found if not pixels else {name: value for name, value in found.items() if name not in _NORMALIZED}
        return {**kept, **pixels}
    if pixels:
        raise UserError(
            f"{', '.join(f'--{name}' for name in pixels)}: the model does not take images: expected one input of "
            "height, width and channels, or of channels, height and width"
        )
    if len(specs) == 1 and specs[0].dtype.kind == "O":
        # A string per row, which may also contain bytes: an encoded picture, a serialized tf.Example.
        is_single = specs[0].instance_size == 1 and rows_of(specs, None) is not Rows.FIXED
        return (
            {"format": "text" if all(_is_text(sample, config) for sample in samples) else "raw"} if is_single else None
        )
    if len(specs) == 1 and not config.columns and (columns := _columns(specs[0], samples, config)):
        return {"columns": columns}
    return None


#: The fields of `input` that transform pixels.
_NORMALIZED = ("scale", "mean", "std")


def _is_text(sample: Path, config: InputConfig) -> bool:
    """Whether a sample is text, or its suffix selects a decoder."""
    if decoders.selects(sample.name):
        return True
    try:
        _content(sample, config).decode()
    except UnicodeDecodeError:
        return False
    return True


def _content(sample: Path, config: InputConfig) -> bytes:
    """The content of a sample; nothing if it cannot be read, since decoding it then says why."""
    try:
        return decoders.content(sample.name, sample.read_bytes(), config.limits)
    except (OSError, InputError):
        return b""


def _columns(spec: TensorSpec, samples: Sequence[Path], config: InputConfig) -> list[str]:
    """The names of the columns, if CSV samples have a header with as many names as the input takes."""
    named: dict[Path, list[str]] = {}
    for sample in samples:
        if sample.name.lower().removesuffix(".gz").endswith(".csv"):
            cells = csv.column_names(_content(sample, config).decode("utf-8-sig", "replace"), config, spec)
            if cells and "" not in cells and len({*cells}) == len(cells):
                named[sample] = cells
    if not named:
        return []
    first, columns = next(iter(named.items()))
    for sample, others in named.items():
        if others != columns:
            raise UserError(
                f"the samples {first} and {sample} have different headers, so the order of the model's columns is "
                "unknown: give samples whose columns are in the model's order"
            )
    return columns if spec.instance_size in (None, len(columns)) else []


def image_fields(specs: Specs) -> dict[str, Any] | None:
    """The `input` of a registry entry for a model that takes pictures; None if the signature does not look like one.

    It has only what is certain: no signature says how pixels become the numbers that a model was trained on. A
    quantized model takes the pixels themselves.
    """
    if len(specs) != 1 or rows_of(specs, None) not in (Rows.SINGLE, Rows.OPEN) or specs[0].dtype.kind not in "fiu":
        return None
    instance = specs[0].instance
    if instance is None or len(instance) != 3:
        return None
    first = instance[0] in _MODES and instance[2] not in _MODES
    channels, height, width = instance if first else (instance[2], *instance[:2])
    if channels not in _MODES or 1 in (height, width):
        return None
    size = {"size": [height, width]} if height and width else {}
    layout = {"layout": "NCHW"} if first else {}
    return {"format": "image", **size, "mode": _MODES[channels], **_stored_pixels(specs[0], channels), **layout}


def _stored_pixels(spec: TensorSpec, channels: int) -> dict[str, Any]:
    """The `scale` and `mean` with which a tensor stores pixels unchanged or, if it is int8, minus 128."""
    if not spec.holds_bytes:
        return {}
    scale, zero_point = (spec.quantization.scale, spec.quantization.zero_point) if spec.quantization else (1.0, 0)
    mean = (zero_point - np.iinfo(spec.stored).min) * scale
    fields: dict[str, Any] = {"scale": _shortest(scale)} if scale != 1 else {}
    return fields | ({"mean": [_shortest(mean)] * channels} if mean else {})


def _shortest(number: float) -> float:
    """The shortest number that is the same in float32."""
    return float(str(np.float32(number)))


#: Pillow's name for pixels by number of channels.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def save(file: Path, tensors: Sequence[Mapping[str, Array]]) -> None:
    """Write the tensors of several inputs, or of several answers, to an `.npz` file; strings as bytes.

    Their number is written too: the inputs of a model without inputs have no tensors.
    """
    arrays = {f"{index}/{name}": array for index, named in enumerate(tensors) for name, array in named.items()}
    with file.open("wb") as stream:
        plain = {name: _plain(array) for name, array in arrays.items()}
        np.savez(stream, allow_pickle=False, count=len(tensors), **plain)


def load(file: Path) -> list[Tensors]:
    """Read what `save` wrote."""
    with np.load(file) as arrays:
        tensors: list[Tensors] = [{} for _ in range(arrays["count"])]
        for key in arrays.files:
            if key == "count":
                continue
            index, name = key.split("/", 1)
            array = arrays[key]
            tensors[int(index)][name] = _strings(array) if array.dtype.kind == "S" else array
    return tensors


def _plain(array: Array) -> Array:
    """Strings in a type that needs no pickle. It cuts off zero bytes at the end, so each string gets another end."""
    if array.dtype.kind != "O":
        return array
    flat = [element if isinstance(element, bytes) else str(element).encode() for element in array.flat]
    return np.array([element + b"." for element in flat], "S").reshape(array.shape)


def _strings(array: Array) -> Array:
    """The strings that `_plain` was given."""
    return np.array([element[:-1] for element in array.flat], object).reshape(array.shape)
