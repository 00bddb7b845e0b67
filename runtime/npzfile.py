"""Arrays of a `.npz` archive, mapped where they are stored as they are: data may be larger than
memory.

A `.npz` is a zip archive of `.npy` files. `numpy.savez` stores them uncompressed, so that an array
is a range of the archive's bytes behind the member's local header and its own. Such ranges are
checked against the archive's checksum and mapped read-only; compressed and small members are
read."""

from __future__ import annotations

import io
import math
import mmap
import struct
import zipfile
import zlib
from typing import Any, Final

import numpy as np

from intaglio.runtime.datasets import DataError

Array = np.ndarray[Any, Any]
MAPPED_FROM: Final = 1 << 20
"""Arrays of fewer bytes are read: a mapping is for what is large."""
CHUNK: Final = 1 << 22
LOCAL: Final = struct.Struct("<4s22xHH")
"""A member's local header: its mark, and the lengths of name and extra field."""
MARK: Final = b"PK\x03\x04"
HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: str) -> dict[str, Array]:
    """The arrays of an archive by name. Raises what `zipfile` and NumPy raise, and `DataError` for
    a member that is damaged, no array, or there twice."""
    made: dict[str, Array] = {}
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        whole: memoryview | None = None
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                raise DataError(f"{path}: {name!r} is no array")
            if name in made:
                raise DataError(f"{path}: {name!r} is there twice")
            if member.file_size >= MAPPED_FROM and _plain(member):
                if whole is None:
                    whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                found = _mapped(whole, member, path)
                if found is not None:
                    made[name] = found
                    continue
            with archive.open(member) as part:
                made[name] = np.lib.format.read_array(part, allow_pickle=False)
    return made


def _plain(member: zipfile.ZipInfo) -> bool:
    """Whether a member's bytes stand in the archive as they are."""
    stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
    return stored and member.compress_size == member.file_size


def _mapped(whole: memoryview, member: zipfile.ZipInfo, path: str) -> Array | None:
    """The array that a member holds, over the bytes of the archive; None for a form that is not
    known."""
    start = member.header_offset
    mark, name, extra = LOCAL.unpack_from(whole, start)
    start += LOCAL.size + name + extra
    data = whole[start : start + member.file_size]
    if mark != MARK or len(data) != member.file_size:
        raise DataError(f"{path}: {member.filename!r} is cut off")
    checksum = 0
    for k in range(0, len(data), CHUNK):
        checksum = zlib.crc32(data[k : k + CHUNK], checksum)
    if checksum != member.CRC:
        raise DataError(f"{path}: {member.filename!r} is damaged: its checksum differs")
    head = io.BytesIO(data[:MAPPED_FROM])
    read_header = HEADERS.get(np.lib.format.read_magic(head))
    if read_header is None:
        return None
    shape, by_columns, dtype = read_header(head)
    if dtype.hasobject or not dtype.itemsize:
        return None
    content = data[head.tell() :]
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise DataError(f"{path}: {member.filename!r} has not the size that its shape tells")
    flat = np.frombuffer(content, np.uint8).view(dtype)
    return flat.reshape(shape, order="F" if by_columns else "C")
