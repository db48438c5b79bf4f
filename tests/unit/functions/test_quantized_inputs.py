"""Inputs of quantized models: what numbers, arrays, bytes and pictures mean, as LiteRT's own interpreter takes them."""

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference import config as configuration
from inference import decoders, direct
from inference.predictor import Predictor
from inference.runtimes import Array, TensorSpec
from modelctl.importing.inputs import image_fields
from unit.functions.conftest import document_of
from unit.functions.tflite_files import bare_answer, dequantizing

#: Every value of a pixel once per channel, in another order in each.
PIXELS = np.stack(
    [np.random.default_rng(channel).permutation(256).reshape(16, 16) for channel in range(3)], axis=-1
).astype(np.uint8)


class Served:
    """A model of `dequantizing` as the function serves it."""

    def __init__(self, root: Path, *quantization: Any, shape: tuple[int, ...], **fields: Any) -> None:
        (root / "model").mkdir()
        self.folder = dequantizing(root / "model", quantization[0], shape, *quantization[1:])
        document = document_of("model", "litert", input={"format": "json", **fields})
        self._config = configuration.read(
            {"MODELYARD_MODEL": json.dumps(document), "MODELYARD_WEIGHTS": str(root), "MODELYARD_RESULTS": "results"}
        )
        self.predictor = Predictor(self._config)

    def upload(self, name: str, body: bytes) -> Any:
        """The predictions of an upload."""
        instances = decoders.decode(name, body, self._config.input, self.predictor.inputs)
        return json.loads(self.predictor.predict(instances).json)

    def call(self, **request: Any) -> Any:
        """The answer to a direct call."""
        return direct.serve(request, self._config, self.predictor, cold_start=False)


def png(pixels: Array) -> bytes:
    """A picture without loss."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(array: Array) -> bytes:
    """The array as numpy writes it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def exactly(found: Any, expected: Array) -> bool:
    """Whether predictions are the same float32 numbers."""
    return np.array_equal(np.array(found, np.float32), expected)


@pytest.mark.parametrize(
    ("quantization", "fields"),
    [
        # Those of EfficientNet-Lite0.
        (("uint8", 0.012566, 131), {"scale": 0.012566, "mean": [1.646146] * 3}),
        (("uint8", 1 / 255, 0), {"scale": 0.003921569}),
        (("uint8", 1, 0), {}),
        # Of models that learned from pixels of -1 to 1, of 0 to 1, and of 0 to 255.
        (("int8", 1 / 127.5, -1), {"scale": 0.007843138, "mean": [0.9960785] * 3}),
        (("int8", 1 / 255, -128), {"scale": 0.003921569}),
        (("int8", 1, 0), {"mean": [128.0] * 3}),
    ],
    ids=str,
)
@pytest.mark.parametrize("written", [True, False], ids=["with the imported entry", "without scale and mean"])
def test_a_model_gets_a_pictures_pixels_as_the_bare_interpreter_does(
    quantization: tuple[str, float, int], fields: dict[str, Any], written: bool, tmp_path: Path
) -> None:
    shape = (1, *PIXELS.shape)
    served = Served(tmp_path, *quantization, shape=shape, format="image", **(fields if written else {}))
    entry = image_fields(served.predictor.inputs)
    assert entry == {"format": "image", "size": [16, 16], "mode": "RGB", **fields}
    stored = PIXELS if quantization[0] == "uint8" else PIXELS.astype(int) - 128
    expected = bare_answer(served.folder, stored)[0]
    assert len(np.unique(expected)) == 256, "the interpreter has to tell all pixels apart"
    assert exactly(served.upload("digits/a.png", png(PIXELS))[0], expected)


def test_an_int8_input_that_is_not_quantized_has_room_for_pixels() -> None:
    specs = (TensorSpec("x", (None, 16, 16, 3), np.dtype(np.int8)),)
    assert image_fields(specs) == {"format": "image", "size": [16, 16], "mode": "RGB", "mean": [128.0] * 3}
    for mean in ((), (128.0,) * 3):
        config = configuration.InputConfig("image", mean=mean)
        (array,) = decoders.decode("a.png", png(PIXELS), config, specs).tensors["x"]
        assert array.dtype == np.int8
        assert np.array_equal(array, PIXELS.astype(int) - 128)


ROWS = {"uint8": [[0, 1, 131], [130, 254, 255]], "int8": [[-128, -1, 0], [5, 126, 127]]}


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_bytes_and_arrays_of_its_type_are_stored_and_all_other_numbers_real(dtype: str, tmp_path: Path) -> None:
    zero_point = {"uint8": 131, "int8": 3}[dtype]
    served = Served(tmp_path, dtype, 0.5, zero_point, shape=(1, 3), format="raw")
    stored = np.array(ROWS[dtype], dtype)
    real = (stored.astype(int) - zero_point) / 2
    assert real.tolist() == [bare_answer(served.folder, row)[0].tolist() for row in stored]
    encoded = [{"b64": base64.b64encode(row.tobytes()).decode()} for row in stored]
    archive = io.BytesIO()
    np.savez(archive, x=stored)
    as_stored = {"a.npy": npy(stored), "a.npz": archive.getvalue(), "a.json": json.dumps(encoded).encode()}
    as_real = {
        "a.npy": npy(real.astype(np.float32)),
        "b.npy": npy(real),
        "a.json": json.dumps(real.tolist()).encode(),
        "a.csv": "\n".join(",".join(map(str, row)) for row in real).encode(),
    }
    for name, body in (*as_stored.items(), *as_real.items()):
        assert served.upload(f"digits/{name}", body) == real.tolist(), name
    assert served.upload("digits/a.bin", stored[1].tobytes()) == [real[1].tolist()]
    for instances in (encoded, real.tolist()):
        assert served.call(instances=instances) == {"predictions": real.tolist()}
    assert served.call(inputs=encoded[:1]) == {"outputs": real[:1].tolist()}
    # Whole numbers of another type are not bytes of the file, but numbers like all others.
    other = np.array([[0, 1, 2]], np.uint16)
    assert served.upload("digits/a.npy", npy(other)) == other.tolist()
    assert served.upload("digits/a.json", b"[0, 1, 2]") == other.tolist()


@pytest.mark.parametrize(("numpy_type", "gives"), [("uint8", [-65.5, -65, 62]), ("float32", [0, 1, 62])])
def test_arrays_of_a_hook_are_stored_or_real_by_their_type(numpy_type: str, gives: list[float], tmp_path: Path) -> None:
    served = Served(tmp_path, "uint8", 0.5, 131, shape=(1, 3))
    (served.folder / ".hooks.py").write_text(
        "import numpy as np\n\n"
        f"def preprocess(body, key):\n    return np.frombuffer(body, np.uint8)[None].astype({numpy_type!r})\n"
    )
    hook = served.predictor.preprocess
    assert hook
    assert json.loads(served.predictor.predict(hook(bytes([0, 1, 255]), "a.bin")).json) == [gives]


def test_a_single_quantized_number_is_an_array_too(tmp_path: Path) -> None:
    served = Served(tmp_path, "uint8", 0.5, 10, shape=())
    assert served.call(inputs=3.5) == {"outputs": 3.5}
    assert served.call(inputs={"b64": base64.b64encode(b"\x0f").decode()}) == {"outputs": 2.5}


def test_where_most_numbers_are_beyond_what_an_input_holds_the_log_says_so_once_per_input(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "inference.predictor")
    served = Served(tmp_path, "uint8", 0.5, 131, shape=(1, 4))
    # From -65.5 to 62, and half a step more on both sides.
    fitting = [[-65.7, 62.2, 0, 1], [63, 63, 62, 62]]
    served.call(instances=fitting)
    assert caplog.messages == []
    served.call(instances=[[63, 64, -66, 0], [0, 64, 255, 255]])
    served.upload("digits/a.json", b"[255, 255, 255, 255]")
    assert caplog.messages == [
        f"the input x is quantized and can represent numbers from -65.5 to 62, but {count} are outside that range, so "
        "they are clipped to it: check input.scale, mean and std, or the numbers that were sent"
        for count in ("6 of 8", "4 of 4")
    ]
