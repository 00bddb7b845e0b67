"""Weights as files that other programs read too: arrays by name in `.safetensors` or `.npz`, and
read from torch's `.pt` (see `torch_files`).

A `.safetensors` file is a length, a JSON header (for each name dtype, shape, place) and the raw
tensors. The package `safetensors` checks the header, every place included; the arrays are then
views of the mapped file, so that opening takes no memory and reading takes only what is read.

NumPy's format has no bf16: in an `.npz` it is two raw bytes an element (`V2`), which is read back
as bf16."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ml_dtypes
import numpy as np

from intaglio.compiler.errors import MissingExtra
from intaglio.runtime.arrays import Array
from intaglio.runtime.datasets import DataError, read_named, write_npz
from intaglio.runtime.torch_files import TORCH_ENDINGS, load_torch, state_dict_in

ENDINGS: Final = (".safetensors", ".npz")
READ: Final = (*ENDINGS, *TORCH_ENDINGS)
MODEL: Final = ".ig"
BF16: Final = np.dtype(ml_dtypes.bfloat16)
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_), "U8": np.dtype("u1"), "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"), "I16": np.dtype("<i2"), "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"), "U64": np.dtype("<u8"), "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"), "BF16": BF16, "F32": np.dtype("<f4"), "F64": np.dtype("<f8"),
}  # fmt: skip
"""The element types of a `.safetensors` file that have a NumPy dtype."""
LENGTH_BYTES: Final = 8


def load_weights(path: str | os.PathLike[str], key: str | None = None) -> dict[str, Array]:
    """The arrays of a `.safetensors`, `.npz`, torch `.pt` (`.pth`, `.bin`, `.ckpt`) or `.ig` file
    by name, in the file's order; bf16 as ml_dtypes' bfloat16. Hand them to
    `Module.load_state_dict`.

    `key` picks the state dict within a checkpoint, torch's or intaglio's, as `"model"`. Nothing in
    a file is run. The arrays of all but `.npz` files may be mapped, and are read-only. Of a model
    these are its parameters and buffers. Raises `DataError` for a file that is damaged or of
    another kind, `MissingExtra` where the package safetensors is not installed."""
    path = os.fspath(path)
    ending = weights_ending(path, (*READ, MODEL))
    if ending == MODEL:
        return _read_model(path, key)
    if ending in TORCH_ENDINGS:
        return dict(state_dict_in(path, load_torch(path), key))
    if key is not None:
        raise DataError(f"{path} holds arrays by name, and no key={key!r} within it")
    if ending == ".safetensors":
        return _read_safetensors(path)
    return {name: _as_bf16(array) for name, array in read_named(path).items()}


def _read_model(path: str, key: str | None) -> dict[str, Array]:
    """The arrays of a checkpoint, or the parameters and buffers of a model."""
    from intaglio.runtime import checkpoints
    from intaglio.runtime.file import read

    found = read(path)
    states = found.program.state.values()
    if checkpoints.REMARK in found.metadata:
        if key is None:
            return {n: found.values[s.name] for s in states for n in s.names}
        parts = checkpoints.decoded(found.program, found.values, found.metadata, path)
        return {n: held.array for n, held in state_dict_in(path, parts, key, _is_held).items()}
    if key is not None:
        raise DataError(f"{path} is a model and no checkpoint: it has no key={key!r}")
    kinds = ("parameter", "buffer")
    return {n: found.values[s.name] for s in states if s.kind in kinds for n in s.names}


def _is_held(value: object) -> bool:
    from intaglio.runtime.checkpoints import Held

    return isinstance(value, Held)


def save_weights(path: str | os.PathLike[str], weights: Mapping[str, object]) -> None:
    """Write arrays (or tensors) by name, such as a `state_dict()`, as `.safetensors` or `.npz`,
    whole or not at all. Raises `DataError` for what such a file can't hold."""
    path = os.fspath(path)
    arrays = {name: _plain(name, value) for name, value in weights.items()}
    if weights_ending(path) == ".npz":

        def write(temporary: str) -> None:
            with open(temporary, "wb") as file:
                write_npz(file, arrays)

    else:
        save_file = _package().numpy.save_file

        def write(temporary: str) -> None:
            save_file(arrays, temporary)

    _replace(path, write)


def weights_ending(path: str, endings: Sequence[str] = ENDINGS) -> str:
    """The path's ending, one of these; raises `DataError` for any other."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in endings:
        done = "kept in" if endings is ENDINGS else "read from"
        remedy = ""
        if ending in TORCH_ENDINGS:
            named = os.path.splitext(path)[0]
            remedy = f"; torch's own files are read, not written: call it {named}{endings[-1]}"
        raise DataError(
            f"{path}: weights are {done} {', '.join(endings[:-1])} and {endings[-1]} files{remedy}"
        )
    return ending


def _package() -> Any:
    """The package safetensors, loaded when it is wanted."""
    try:
        import safetensors.numpy
    except ImportError:
        raise MissingExtra("safetensors", "safetensors", "a .safetensors file") from None
    return safetensors


def _read_safetensors(path: str) -> dict[str, Array]:
    package = _package()
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder, and a .safetensors file is wanted")
    try:
        with package.safe_open(path, framework="np"):
            pass  # its checks are what is wanted
    except package.SafetensorError as error:
        raise DataError(f"{path} can't be read: {error}") from None
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    begin = LENGTH_BYTES + int.from_bytes(mapped[:LENGTH_BYTES], "little")
    header: dict[str, dict[str, Any]] = json.loads(mapped[LENGTH_BYTES:begin])
    header.pop("__metadata__", None)
    places = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    return {name: _view(path, name, mapped, begin, place) for name, place in places}


def _view(path: str, name: str, mapped: mmap.mmap, begin: int, place: Mapping[str, Any]) -> Array:
    """One tensor of the mapped file."""
    dtype = DTYPES.get(place["dtype"])
    if dtype is None:
        raise DataError(f"{path}: {name!r} holds {place['dtype']}, which no array here can")
    shape = tuple(place["shape"])
    count = 1
    for size in shape:
        count *= size
    flat = np.frombuffer(mapped, dtype, count, begin + place["data_offsets"][0]) if count else None
    return np.zeros(shape, dtype) if flat is None else flat.reshape(shape)


def _as_bf16(array: Array) -> Array:
    """What `.npz` holds of a bf16 array as such."""
    return array.view(BF16) if array.dtype == np.dtype("V2") else array


def _plain(name: str, value: Any) -> Array:
    """A dense little-endian array of numbers; what lies on a device is copied."""
    if hasattr(value, "to_host"):
        value = value.to_host()
    elif getattr(value, "is_cuda", False):
        value = value.detach().cpu()
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<") if array.dtype.kind in "iuf" else array.dtype
    if dtype not in DTYPES.values():
        raise DataError(f"{name!r} holds {array.dtype}, which files of weights can't")
    return np.asarray(array, dtype, order="C")


def _replace(path: str, write: Callable[[str], None]) -> None:
    """Let a temporary file beside it, written by `write`, take the place of `path`."""
    target = os.path.realpath(path)
    temporary = os.path.join(os.path.dirname(target), f".intaglio-{secrets.token_hex(8)}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
