"""Arrays as numpy writes them: one (.npy) or several by name (.npz)."""

import io
import zipfile

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.errors import DecodeError, TooLargeError
from inference.runtimes import Array, Specs
from inference.tensors import Instances

#: The most bytes of a zip's directory, which has 46 and a name per file; parsed, it needs many times that memory.
_MAX_ZIP_DIRECTORY = 2**20


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One array or several, by the content: an .npz file is a zip."""
    return (decode_npz if body.startswith(b"PK") else decode_npy)(body, config, specs)


def decode_npy(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One array for a model with one input."""
    if len(specs) != 1:
        raise DecodeError("an .npy file contains one array, but the model has several inputs: use .npz")
    return tensors.stack({specs[0].name: _read_npy(body)}, specs, config)


def decode_npz(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One array per input, by name; if there is one array and one input, the array's name does not matter."""
    _check_zip_directory(body)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        found = archive.infolist()
        if len(found) == len(specs) == 1:
            members = {specs[0].name: found[0]}
        else:
            members = {info.filename.removesuffix(".npy"): info for info in found}
        missing = [spec.name for spec in specs if spec.name not in members]
        if missing:
            raise DecodeError(f"it lacks the arrays {', '.join(missing)}")
        most = config.limits.decompressed_bytes
        if sum(members[spec.name].file_size for spec in specs) > most:
            raise TooLargeError(f"its arrays take more than {most} bytes (limits.decompressed_bytes)")
        arrays = {spec.name: _read_npy(_read_member(archive, members[spec.name])) for spec in specs}
    return tensors.stack(arrays, specs, config)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a zip's member; unpacking stops after the size that the zip declares."""
    # numpy writes only these; other methods unpack whole chunks, which may be of any size.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DecodeError(
            f"{member.filename[:40]!r} is compressed in a way that numpy does not use; expected stored or deflated"
        )
    with archive.open(member) as file:
        # Without a length, the reader would unpack everything and truncate it afterwards.
        return file.read(member.file_size + 1)


def _check_zip_directory(body: bytes) -> None:
    """Refuse a zip whose list of contents is long enough to fill the memory.

    Its size is in the zip's last record, or in an earlier record that only zips beyond 4 GB need.
    https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3.15 and 4.3.16)
    """
    end = body.rfind(b"PK\x05\x06")
    if end < 0:
        raise DecodeError("its zip archive has no end: the file is cut off")
    size = int.from_bytes(body[end + 12 : end + 16], "little")
    if size > _MAX_ZIP_DIRECTORY or b"PK\x06\x07" in body[max(0, end - 20) : end]:
        raise TooLargeError(f"its zip archive lists more files than fit into {_MAX_ZIP_DIRECTORY} bytes")


def _read_npy(body: bytes) -> Array:
    """The array in an .npy file, never a pickle.

    numpy's own reader allocates what the header claims before it reads: a file of 80 bytes can claim a terabyte.
    """
    file = io.BytesIO(body)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran_order, dtype = read_header(file)
    except MemoryError as error:
        # A header has at most 10,000 characters, so it is the depth of Python's parser that ran out, not memory.
        raise DecodeError("its header is nested too deeply") from error
    if dtype.kind not in "fiub":
        raise DecodeError(f"arrays of {dtype} are not accepted; expected numbers or booleans")
    held = len(body) - file.tell()
    if held != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise DecodeError(f"the header promises {_size(shape)} elements of {dtype}, but the file contains {held} bytes")
    array = np.frombuffer(body, dtype, offset=file.tell())
    if dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise DecodeError("its booleans are neither 0 nor 1")
    return array.reshape(shape, order="F" if fortran_order else "C")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape) or "1"
