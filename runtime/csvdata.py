"""Arrays as `.csv` text: columns of numbers, with a line of names above them or without.

A column `t` is the array `t`; columns `x.0`, `x.1`, ... are the columns of one array `x`. Lines
without names (every field of the first line is a number) are one array of rows and columns. A
column of whole numbers is i64, any other f64; writing uses as many digits as bring the same number
back."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

import numpy as np

from intaglio.runtime.datasets import DataError

Array = np.ndarray[Any, Any]
Lines = list[tuple[int, list[str]]]
"""Fields by line number."""

_PART: Final = re.compile(r"(.+)\.(\d{1,9})")


def read_csv(file: TextIO, path: str, unnamed: str) -> dict[str, Array]:
    """The arrays of a text by name; where it names no columns, one array f64 or i64[rows, columns]
    called `unnamed`. Raises `DataError`, which names `path` and the line."""
    try:
        lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} can't be read: {error}") from None
    if not lines:
        raise DataError(
            f"{path} is empty: lines of numbers are wanted, and column names above them"
        )
    _check_widths(path, lines)
    if all(_number(text) is not None for text in lines[0][1]):
        return {unnamed: _together(_columns(path, lines))}
    header = [name.strip() for name in lines[0][1]]
    if len(lines) < 2:
        raise DataError(f"{path}: there is a line of column names, and no line of numbers")
    if len(set(header)) != len(header) or "" in header:
        raise DataError(f"{path}:{lines[0][0]}: the column names must be there and differ")
    columns = _columns(path, lines[1:], header)
    return _join_parts(path, dict(zip(header, columns, strict=True)))


def _check_widths(path: str, lines: Lines) -> None:
    first, wanted = lines[0][0], len(lines[0][1])
    for number, row in lines:
        if len(row) != wanted:
            raise DataError(f"{path}:{number}: {len(row)} fields where line {first} has {wanted}")


def _number(text: str) -> float | None:
    """The number that a field holds; None where it holds none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _columns(path: str, lines: Lines, header: Sequence[str] = ()) -> list[Array]:
    """Every column of the lines as numbers."""
    return [
        _column(path, [(number, row[k]) for number, row in lines],
                f"column {header[k]!r}" if header else f"column {k + 1}")
        for k in range(len(lines[0][1]))
    ]  # fmt: skip


def _column(path: str, fields: Sequence[tuple[int, str]], name: str) -> Array:
    values = np.empty(len(fields))
    for k, (line, text) in enumerate(fields):
        value = _number(text)
        if value is None:
            told = f"{text!r} is not a number" if text.strip() else "the field is empty"
            raise DataError(f"{path}:{line}: {name}: {told}")
        values[k] = value
    try:
        return np.array([int(text) for _, text in fields], np.int64)
    except (ValueError, OverflowError):
        return values


def _together(columns: Sequence[Array]) -> Array:
    """Columns of equal length as one array [rows, columns]."""
    return np.stack(columns, axis=1)


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
        whole[name] = _together([numbered[k] for k in range(len(numbered))])
    return whole


def all_columns(arrays: Mapping[str, Array]) -> Array | None:
    """All columns of a table as one array [rows, columns], in their order; None where they are no
    columns of equal length."""
    columns = [c for a in arrays.values() for c in (a.T if a.ndim == 2 else [a])]
    if any(c.ndim != 1 or len(c) != len(columns[0]) for c in columns):
        return None
    return _together(columns)


def write_csv(file: TextIO, arrays: Mapping[str, Array]) -> None:
    """Write arrays with as many rows each (single numbers: one row) as columns under their names,
    as `read_csv` takes them. Raises `DataError` for arrays that make no table."""
    header: list[str] = []
    columns: list[Array] = []
    for name, array in arrays.items():
        if array.ndim > 2:
            shape = ",".join(map(str, array.shape))
            raise DataError(f"{name} [{shape}] is no table: write it to a .npy or .npz file")
        if array.ndim == 2:
            header += [f"{name}.{k}" for k in range(array.shape[1])]
            columns += list(array.T)
        else:
            header.append(name)
            columns.append(array.reshape(-1))
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        told = ", ".join(f"{n} {a.shape[0] if a.ndim else 1}" for n, a in arrays.items())
        raise DataError(f"the results differ in their rows ({told}): write them to a .npz file")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*map(_texts, columns), strict=True))


def _texts(column: Array) -> list[str]:
    """The numbers as text, with as many digits as their dtype needs."""
    if column.dtype.kind == "b":
        column = column.astype(np.int8)
    return [str(value) for value in column]
