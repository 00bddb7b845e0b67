"""Data files as arrays by name (.npz, .npy, .csv), and their fit to the types that a function
declares.

A `.csv` file has a header line with column names. A column `t` becomes the array `t`; columns
`x.0`, `x.1`, ... become the columns of one array `x`. A column of whole numbers is i64, any other
f64. Fitting casts f64 to f32, and other numbers where every value survives unchanged; each cast is
told, none is silent."""

from __future__ import annotations

import csv
import os
import re
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
_PART: Final = re.compile(r"(.+)\.(\d{1,9})")


class DataError(Error, ValueError):
    """A data file that can't be read, or arrays that do not fit the function they are for."""


def read_named(path: str) -> dict[str, Array]:
    """The arrays of a data file by name; a `.npy` file holds one array, called like the file."""
    ending = _ending(path)
    if ending == ".npz":
        return _read_npz(path)
    if ending == ".csv":
        return _read_csv(path)
    stem = os.path.splitext(os.path.basename(path))[0]
    return {stem: _read_npy(path)}


def read_one(path: str, name: str) -> Array:
    """The array of a file that is meant for the argument `name`: the only one, or the one called
    so."""
    arrays = read_named(path)
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if name in arrays:
        return arrays[name]
    raise DataError(f"{path} holds {_listed(arrays)}, and none of them is called {name!r}")


def _ending(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise DataError(f"{path}: data are read from {', '.join(ENDINGS)} files")
    return ending


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(map(repr, names)) or "no arrays"


def _read_npy(path: str) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is not a .npy file")
    return array


def _read_npz(path: str) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is not a .npz file")
            return {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> DataError:
    if "allow_pickle" in str(error) or "pickled" in str(error):
        return DataError(f"{path} is damaged or holds Python objects; arrays of numbers are wanted")
    return DataError(f"{path} can't be read: {error}")


# --------------------------------------------------------------------------------- csv


def _read_csv(path: str) -> dict[str, Array]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} can't be read: {error}") from None
    if len(rows) < 2:
        raise DataError(f"{path}: a header line with column names and a line of numbers are wanted")
    header = [name.strip() for name in rows[0][1]]
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{path}:{number}: {len(row)} fields where the header has {len(header)}"
            )
    if len(set(header)) != len(header) or "" in header:
        raise DataError(f"{path}:1: the column names must be there and differ")
    lines = [number for number, _ in rows[1:]]
    columns = {
        name: _column(path, name, [row[k] for _, row in rows[1:]], lines)
        for k, name in enumerate(header)
    }
    return _join_parts(path, columns)


def _column(path: str, name: str, texts: list[str], lines: list[int]) -> Array:
    try:
        return np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        pass
    values = np.empty(len(texts))
    for k, text in enumerate(texts):
        try:
            values[k] = float(text)
        except ValueError:
            told = f"{text!r} is not a number"
            if _is_header(name):
                told += "; line 1 must hold column names"
            raise DataError(f"{path}:{lines[k]}: column {name!r}: {told}") from None
    return values


def _is_header(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _join_parts(path: str, columns: Mapping[str, Array]) -> dict[str, Array]:
    """Columns `x.0`, `x.1`, ... as one array `x`; every other column as it is."""
    parts: dict[str, dict[int, Array]] = {}
    whole: dict[str, Array] = {}
    for name, column in columns.items():
        found = _PART.fullmatch(name)
        if found:
            parts.setdefault(found[1], {})[int(found[2])] = column
        else:
            whole[name] = column
    for name, numbered in parts.items():
        if sorted(numbered) != list(range(len(numbered))) or name in whole:
            raise DataError(f"{path}: the columns of {name!r} are not {name}.0, {name}.1, ...")
        whole[name] = np.stack([numbered[k] for k in range(len(numbered))], axis=1)
    return whole


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
