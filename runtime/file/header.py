"""The fixed header of a model file: where everything is, and digests of it.

The file is: header, a table of chunk digests, then four sections, each padded with zeros to a
multiple of 64 bytes: what the file says about itself, the program, the large literals, the states'
values. The header holds the sections' lengths; every offset follows from them, so none can be
wrong. Each section is cut into chunks of 1 MiB from its own start; the table holds a SHA-256 of
each, and the header one of itself and the table. So every byte of the file is covered."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.errors import FormatError
from intaglio.runtime.file import limits

MAGIC: Final = b"\x89ig\r\n\x1a\n\0"
VERSION: Final = 0
"""The format version that is written, and the newest that is read."""
ALIGNMENT: Final = 64
CHUNK: Final = 1 << 20
DIGEST: Final = 32
SECTIONS: Final = ("about", "program", "literals", "state")

_FIELDS: Final = struct.Struct("<8sIIQ4Q32s32s32s40x")
SIZE: Final = _FIELDS.size


def padded(length: int) -> int:
    """The length up to the next multiple of the alignment."""
    return -(-length // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class Header:
    """The lengths of the sections in bytes without padding, and the digests of two of them."""

    lengths: tuple[int, ...]
    program_digest: bytes = bytes(DIGEST)
    weights_digest: bytes = bytes(DIGEST)
    seal: bytes = bytes(DIGEST)

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Offset and length of every chunk, in the order of the table."""
        found = []
        for start, length in self.sections:
            end = start + padded(length)
            found += [(at, min(CHUNK, end - at)) for at in range(start, end, CHUNK)]
        return found

    @property
    def table_bytes(self) -> int:
        """The bytes of the table of chunk digests, with its padding."""
        return padded(DIGEST * sum(-(-padded(n) // CHUNK) for n in self.lengths))

    @property
    def sections(self) -> list[tuple[int, int]]:
        """Offset and length (without padding) of each section."""
        at = SIZE + self.table_bytes
        found = []
        for length in self.lengths:
            found.append((at, length))
            at += padded(length)
        return found

    @property
    def file_bytes(self) -> int:
        """The length of the whole file."""
        return SIZE + self.table_bytes + sum(map(padded, self.lengths))

    def pack(self, table: bytes) -> bytes:
        """The header's bytes, sealed together with the table."""
        return self._pack(_seal(self._pack(bytes(DIGEST)), table))

    def _pack(self, seal: bytes) -> bytes:
        digests = self.program_digest, self.weights_digest, seal
        return _FIELDS.pack(MAGIC, VERSION, SIZE, self.file_bytes, *self.lengths, *digests)

    def check_seal(self, table: bytes) -> None:
        """Refuse a header or table with a changed byte."""
        if _seal(self._pack(bytes(DIGEST)), table) != self.seal:
            raise FormatError("header digest: the header or its table of digests is damaged")


def _seal(unsealed: bytes, table: bytes) -> bytes:
    return hashlib.sha256(unsealed + table).digest()


def parse(data: bytes, file_bytes: int) -> Header:
    """The header that starts a file of `file_bytes` bytes; nothing it says is believed beyond what
    that length allows."""
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise FormatError(
            "magic: this is not a model file (weights, .npz, .safetensors or torch's .pt:"
            " use load_weights)"
        )
    if len(data) >= 12:
        (version,) = struct.unpack_from("<I", data, 8)
        if version > VERSION:
            raise FormatError(
                f"format version: the file is of version {version}, this intaglio reads up to"
                f" version {VERSION}; install a newer intaglio"
            )
    if len(data) < SIZE:
        raise FormatError(f"header: the file ends after {len(data)} of the header's {SIZE} bytes")
    _, _, size, total, *rest = _FIELDS.unpack(data)
    header = Header(tuple(rest[:4]), *rest[4:])
    if size != SIZE:
        raise FormatError(f"header length: {size}, where version {VERSION} has {SIZE}")
    if total != file_bytes:
        raise FormatError(f"file length: the header says {total} bytes, the file has {file_bytes}")
    for name, length in zip(SECTIONS, header.lengths, strict=True):
        if length > file_bytes:
            raise FormatError(f"{name} length: {length} in a file of {file_bytes} bytes")
    if header.file_bytes != file_bytes:
        raise FormatError(
            f"section lengths: they make a file of {header.file_bytes} bytes, not of {file_bytes}"
        )
    if header._pack(header.seal) != data:
        raise FormatError("header: its reserved bytes are not zero")
    for name, length, limit in zip(
        SECTIONS, header.lengths, (limits.ABOUT_BYTES, limits.PROGRAM_BYTES), strict=False
    ):
        if length > limit:
            raise FormatError(f"{name} length: {length} is more than the limit of {limit}")
    return header


def weights_digest(header: Header, table: list[bytes]) -> bytes:
    """The digest of the states' values: of the chunk digests of their section and its length."""
    count = -(-padded(header.lengths[-1]) // CHUNK)
    mine = table[len(table) - count :]
    return hashlib.sha256(struct.pack("<Q", header.lengths[-1]) + b"".join(mine)).digest()
