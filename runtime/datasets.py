"""Data files as arrays by name (.npz, .npy, .csv), and their fit to the types that a function
declares.

A `.npy` file is mapped, not read, and so are the large arrays of a `.npz` that are stored
uncompressed. What stands on standard input, called `-`, is known by its first
bytes. Fitting casts f64 to f32, and other numbers where every value survives unchanged; each cast
is told, none is silent."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import numpy as np

from intaglio.compiler.dtypes import float32, float64
from intaglio.compiler.errors import Error
from intaglio.compiler.types import TensorType

Array = np.ndarray[Any, Any]
Tell = Callable[[str], None]
"""Takes one line for the user."""

ENDINGS: Final = (".npz", ".npy", ".csv")
STANDARD: Final = "-"
"""The path that stands for standard input or output."""
_STDIN: Final = "standard input"


class DataError(Error, ValueError):
    """A data file that can't be read, or arrays that do not fit the function they are for."""


def read_named(path: str, unnamed: str | None = None) -> dict[str, Array]:
    """The arrays of a data file by name; one that has no name is called like the file, or
    `unnamed`."""
    if path == STANDARD:
        return _read_stream(sys.stdin.buffer.read(), unnamed or STANDARD)
    stem = unnamed or os.path.splitext(os.path.basename(path))[0]
    ending = _ending(path)
    if ending == ".npz":
        return _read_npz(path, path)
    if ending == ".csv":
        from intaglio.runtime.csvdata import read_csv

        with open(path, newline="", encoding="utf-8-sig") as file:
            return read_csv(file, path, stem)
    return {stem: _read_npy(path, path, mapped=True)}


def read_one(path: str, name: str) -> Array:
    """The array of a file that is meant for the argument `name`: the only one, or the one called
    so, or all columns of a table."""
    from intaglio.runtime.csvdata import all_columns

    arrays = read_named(path, name)
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if name in arrays:
        return arrays[name]
    if path != STANDARD and _ending(path) == ".csv":
        table = all_columns(arrays)
        if table is not None:
            return table
    raise DataError(f"{path} holds {_listed(arrays)}, and none of them is called {name!r}")


def _read_stream(data: bytes, unnamed: str) -> dict[str, Array]:
    """The arrays of what was written to standard input: `.npy`, `.npz` or `.csv`."""
    if data.startswith(np.lib.format.MAGIC_PREFIX):
        return {unnamed: _read_npy(io.BytesIO(data), _STDIN)}
    if data.startswith(b"PK"):
        return _read_npz(io.BytesIO(data), _STDIN)
    from intaglio.runtime.csvdata import read_csv

    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="") as text:
        return read_csv(text, _STDIN, unnamed)


def _ending(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise DataError(f"{path}: data are read from {', '.join(ENDINGS)} files")
    return ending


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(map(repr, names)) or "no arrays"


def _read_npy(source: str | BinaryIO, path: str, mapped: bool = False) -> Array:
    try:
        array = np.load(source, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:
        raise _unreadable(path, error) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is not a .npy file")
    return array


def _read_npz(source: str | BinaryIO, path: str) -> dict[str, Array]:
    try:
        if isinstance(source, str):
            from intaglio.runtime.npzfile import read_npz

            return read_npz(source)
        with np.load(source, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is not a .npz file")
            return {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> Exception:
    """What to raise for an error that reading met: what the system says of a file as it is, all
    else as `DataError`. NumPy, `zipfile` and its decompressors raise a dozen kinds for what is
    damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if "allow_pickle" in str(error) or "pickled" in str(error):
        return DataError(f"{path} is damaged or holds Python objects; arrays of numbers are wanted")
    return DataError(f"{path} can't be read: {error}")


# --------------------------------------------------------------------------------- fit


def fit(array: Array, type: TensorType, name: str, tell: Tell) -> Array:
    """The array in the dtype of `type`, cast where no value is lost (f64 to f32: rounded), saying
    so; one column fits a type without columns. Raises `DataError`."""
    if array.ndim == 2 and type.rank == 1 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != type.rank:
        shape = ",".join(map(str, array.shape))
        raise DataError(f"{name} has the shape [{shape}], and {type} is wanted")
    wanted = type.dtype.numpy
    if array.dtype == wanted:
        return array
    if array.dtype.kind == "V" and array.dtype.itemsize == wanted.itemsize == 2:
        return array.view(wanted)  # how NumPy stores bf16
    if array.dtype.newbyteorder("=") == wanted:
        return array.astype(wanted)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype}, and {type} is wanted")
    made = _cast(array, type)
    if made is None:
        raise DataError(
            f"{name} is {array.dtype}, and {type} is wanted: some values do not fit {type.dtype}"
        )
    tell(f"{name}: cast from {array.dtype} to {type.dtype.long_name}")
    return made


def _cast(array: Array, type: TensorType) -> Array | None:
    """The array in another dtype, or None when a value would change (f64 to f32 may round)."""
    wanted = type.dtype.numpy
    with np.errstate(all="ignore"):
        made = array.astype(wanted)
    if array.dtype == float64.numpy and type.dtype is float32:
        overflown = np.isinf(made) & ~np.isinf(array)
        return None if overflown.any() else made
    if array.dtype.kind == "f" and type.dtype.kind != "f":
        return None
    back = made.astype(array.dtype)
    same = (back == array) | ((back != back) & (array != array))
    if array.dtype.kind in "iu" and type.dtype.kind in "iu":
        same &= (made < 0) == (array < 0)
    return made if same.all() else None


def as_scalar(text: str, type: TensorType, name: str) -> Array:
    """A number written on the command line, as a 0-d array of the type's dtype."""
    if type.rank:
        raise DataError(f"{name} is {type}: only single numbers can be set")
    lowered = text.strip().lower()
    value: bool | int | float
    try:
        if type.dtype.kind == "b":
            value = {"true": True, "1": True, "false": False, "0": False}[lowered]
        else:
            value = float(text) if type.dtype.kind == "f" else int(text)
        return np.array(value, type.dtype.numpy)
    except (ValueError, KeyError, OverflowError):
        raise DataError(f"{name}={text}: a number that fits {type} is wanted") from None


def for_files(array: Array, name: str, tell: Tell) -> Array:
    """The array as `.npy` files can hold it: bf16 widened to f32, saying so."""
    if array.dtype.kind != "V":
        return array
    tell(f"{name}: bfloat16 written as float32")
    return array.astype(np.float32)


def write_npz(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write a `.npz` archive. `numpy.savez` takes names as keywords, so some names are not for
    it."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, array, allow_pickle=False)
