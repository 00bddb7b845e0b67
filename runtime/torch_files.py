"""Reads torch's `.pt` and `.pth` files without running anything that they say.

Such a file is a zip archive: a stream that describes the values (`torch_opcodes`, `torch_values`)
and one member per storage. Members must be stored, not compressed, and lie apart; storages are
mapped, so that opening takes no memory and reading takes only what is read. Files from before torch
1.6 are streams one after the other, with the storages' bytes behind them."""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from intaglio.runtime.arrays import Array
from intaglio.runtime.datasets import DataError
from intaglio.runtime.torch_opcodes import Machine
from intaglio.runtime.torch_values import Finish, Storage, build, call, find, storage

TORCH_ENDINGS: Final = (".pt", ".pth", ".bin", ".ckpt")
MAGIC: Final = 0x1950A86A20F9469CFC6C
"""The number that begins a file from before torch 1.6."""
VERSION: Final = 1001
LOCAL: Final = struct.Struct("<4s22xHH")
"""What is wanted of a zip member's own header: signature, lengths of name and extra field."""
ENCRYPTED: Final = 1


def load_torch(path: str | os.PathLike[str]) -> Any:
    """What a file of `torch.save` holds: dicts, lists, tuples, numbers, text, and tensors as
    read-only arrays, which are mapped. So `load_torch(path)["optimizer"]` may go to an optimizer's
    `load_state_dict`.

    Nothing in the file is run: a fixed table of names is known, and all others are refused. Raises
    `DataError` for what is damaged, of another kind, or holds other objects."""
    path = os.fspath(path)
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder, and a file of torch's is wanted")
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise DataError(f"{path} is empty")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        if mapped[:4] == b"PK\3\4":
            return read_archive(path, mapped)
        return read_streams(mapped)
    except DataError as error:
        raise DataError(f"{path} can't be read as torch's: {error.args[0]}") from None


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def state_dict_in(
    path: str, value: Any, key: str | None, is_array: Callable[[object], bool] = _is_array
) -> dict[str, Any]:
    """The arrays by name that `value`, what the file `path` holds, is itself or (in a checkpoint)
    has under a `key`, which may be dotted. Raises `DataError` that says which keys there are."""
    for part in key.split(".") if key is not None else ():
        if not isinstance(value, dict) or part not in value:
            raise DataError(f"{path} has no {key!r}{_hint(value, None, is_array)}")
        value = value[part]
    if not _is_state_dict(value, is_array):
        held = f"{key!r} of {path}" if key is not None else path
        raise DataError(f"{held} is no state_dict of arrays by name{_hint(value, key, is_array)}")
    return dict(value)


def _is_state_dict(value: object, is_array: Callable[[object], bool]) -> bool:
    """Whether a value is arrays by name."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and is_array(array) for name, array in value.items()
    )


def _hint(value: object, key: str | None, is_array: Callable[[object], bool]) -> str:
    """Which key to give, or what is there."""
    if not isinstance(value, dict):
        return f" but a {type(value).__name__}"
    before = "" if key is None else f"{key}."
    good = [k for k, v in value.items() if isinstance(k, str) and _is_state_dict(v, is_array) and v]
    if good:
        choices = " or ".join(f"key={before + name!r}" for name in good[:5])
        return f", but holds state_dicts: give {choices}"
    return f"; its keys are {', '.join(map(repr, list(value)[:5]))}: ig.load_torch reads it whole"


# ---------------------------------------------------------------------------------- zip archives


def read_archive(path: str, mapped: mmap.mmap) -> Any:
    """The value of an archive."""
    members = directory(path, mapped)
    described = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if len(described) != 1:
        raise DataError("it holds no data.pkl, as files of torch.save do")
    folder = described[0].removesuffix("data.pkl")
    if folder + "constants.pkl" in members:
        raise DataError("it is a TorchScript program; save its state_dict() instead")
    start, stop, crc = members[described[0]]
    stream = memoryview(mapped)[start:stop]
    if crc and zlib.crc32(stream) != crc:
        raise DataError("data.pkl is damaged: its checksum is another")
    swap = _other_order(mapped, members.get(folder + "byteorder"))
    storages: dict[str, Storage] = {}

    def declared(key: Any) -> Storage:
        """The storage that a persistent id names, held against its member."""
        made = storage(key)
        place = members.get(f"{folder}data/{made.key}")
        if place is None:
            raise DataError(f"its storage {made.key[:40]!r} is missing")
        item = 1 if made.dtype is None else made.dtype.itemsize
        if not 0 <= place[1] - place[0] - made.nbytes < item:
            raise DataError(
                f"its storage {made.key[:40]!r} has {place[1] - place[0]} bytes, and "
                f"{made.nbytes} are declared"
            )
        return storages.setdefault(made.key, made)

    read = Machine(stream, 0, find, call, build, declared).run()

    @functools.cache
    def data(held: Storage) -> Array:
        start, stop, _ = members[f"{folder}data/{held.key}"]
        return _bytes(mapped, start, stop, held, swap)

    return Finish(data, len(mapped)).value(read)[0]


def directory(path: str, mapped: mmap.mmap) -> dict[str, tuple[int, int, int]]:
    """Where each member's bytes begin and end, and their checksum (0: none was made)."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError) as error:
        raise DataError(f"the archive's directory is damaged ({error})") from None
    found: dict[str, tuple[int, int, int]] = {}
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise DataError(f"its member {entry.filename[:80]!r} is compressed")
        if entry.flag_bits & ENCRYPTED or entry.filename in found:
            raise DataError(f"its member {entry.filename[:80]!r} is encrypted or there twice")
        at = entry.header_offset
        if not 0 <= at <= len(mapped) - LOCAL.size:
            raise DataError(f"its member {entry.filename[:80]!r} lies outside of it")
        signature, name, extra = LOCAL.unpack_from(mapped, at)
        start = at + LOCAL.size + name + extra
        stop = start + entry.file_size
        if signature != b"PK\3\4" or stop > len(mapped):
            raise DataError(f"its member {entry.filename[:80]!r} lies outside of it")
        found[entry.filename] = start, stop, entry.CRC
    places = sorted((start, stop) for start, stop, _ in found.values())
    for (_, stop), (start, _) in zip(places, places[1:], strict=False):
        if start < stop:
            raise DataError("two of its members overlap")
    return found


def _other_order(mapped: mmap.mmap, place: tuple[int, int, int] | None) -> bool:
    """Whether the storages' bytes are in the other order than this machine's."""
    order = "little" if place is None else bytes(mapped[place[0] : min(place[1], place[0] + 9)])
    name = order if isinstance(order, str) else order.decode("ascii", "replace").strip()
    if name not in ("little", "big"):
        raise DataError(f"its order of bytes is {name!r}")
    return name != sys.byteorder


def _bytes(mapped: mmap.mmap, start: int, stop: int, held: Storage, swap: bool) -> Array:
    """A storage's bytes, aligned and in the machine's order: mapped where they are so, else
    copied."""
    whole = np.frombuffer(mapped, np.uint8, stop - start, start)
    item = 1 if held.dtype is None else held.dtype.itemsize
    if swap and held.dtype is None:
        raise DataError("a storage of bytes in the other order of bytes")
    if swap and item > 1:
        return whole[: held.nbytes].view(f"u{item}").byteswap().view(np.uint8)
    return whole if start % 8 == 0 else whole.copy()


# ------------------------------------------------------------------- files from before torch 1.6


def read_streams(mapped: mmap.mmap) -> Any:
    """The value of a file whose streams follow each other: a number, a version, a description of
    the system, the value, the keys of the storages, and the storages' counts and bytes."""
    with contextlib.closing(_Streams(memoryview(mapped))) as streams:
        if mapped[:1] != b"\x80" or streams.plain() != MAGIC:
            raise DataError("it begins neither as an archive nor as torch's older files do")
        if streams.plain() != VERSION:
            raise DataError("its version is unknown")
        system = streams.plain()
        little = system.get("little_endian") if isinstance(system, dict) else None
        if little is not True or sys.byteorder != "little":
            raise DataError("its order of bytes is not this machine's")
        read = streams.value()
        keys = streams.plain()
        places = dict(streams.places(keys))

    @functools.cache
    def data(held: Storage) -> Array:
        start = places.get(held.key)
        if start is None:
            raise DataError(f"its storage {held.key[:40]!r} is missing")
        return _bytes(mapped, start, start + held.nbytes, held, False)

    return Finish(data, len(mapped)).value(read)[0]


class _Streams:
    """The streams of an older file, one after the other."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.position = data, 0
        self.storages: dict[str, Storage] = {}

    def close(self) -> None:
        """Let go of the file's bytes."""
        self.data.release()

    def value(self, stored: Callable[[Any], Any] | None = None) -> Any:
        """The next stream's value."""
        machine = Machine(self.data, self.position, find, call, build, stored or self.stored)
        made = machine.run()
        self.position = machine.position
        return made

    def plain(self) -> Any:
        """The next stream's value, in which no storage is named."""
        return self.value(_no_storage)

    def stored(self, key: Any) -> Storage:
        """The storage of a persistent id; its bytes come later."""
        made = storage(key)
        known = self.storages.setdefault(made.key, made)
        if (known.dtype, known.count) != (made.dtype, made.count):
            raise DataError(f"its storage {made.key[:40]!r} is declared in two ways")
        return known

    def places(self, keys: object) -> Iterator[tuple[str, int]]:
        """Where each storage's bytes begin."""
        if not isinstance(keys, list) or any(type(key) is not str for key in keys):
            raise DataError("its list of storages is none")
        for key in keys:
            held = self.storages.get(key)
            if held is None or self.position + 8 > len(self.data):
                raise DataError(f"its storage {key[:40]!r} is unknown or missing")
            (count,) = struct.unpack_from("<q", self.data, self.position)
            start = self.position + 8
            if count != held.count or start + held.nbytes > len(self.data):
                raise DataError(f"its storage {key[:40]!r} is not as long as declared")
            self.position = start + held.nbytes
            yield key, start


def _no_storage(key: Any) -> Mapping[str, Any]:
    raise DataError("a storage where none may be")
