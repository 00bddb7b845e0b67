"""Tensors handed to other libraries, and tensors that are the bytes of a file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype
from intaglio._promote import get_default_dtype
from intaglio.compiler.errors import ArgumentError


def to_dlpack(input: Tensor) -> Any:
    """A DLPack capsule of the tensor's memory, for one reader: the array protocol's older form."""
    return input.__dlpack__()


def from_file(
    filename: str | os.PathLike[str],
    shared: bool | None = None,
    size: int | None = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """The first `size` elements of a file of raw numbers, as [size], read when they are wanted.

    With `shared` what is written into the tensor is written into the file, which is made or
    lengthened if need be; without, it stays in memory. Raises `ArgumentError` when the file is too
    short."""
    from intaglio._functions_create import from_numpy
    from intaglio._functions_device import on_device
    from intaglio._layouts import check_layout

    check_layout("from_file", layout)
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    count, bytes_there = (
        int(size or 0),
        os.path.getsize(filename) if os.path.exists(filename) else 0,
    )
    if count < 0:
        raise ArgumentError(f"from_file: {count} elements are fewer than none")
    if not shared and count * wanted.size > bytes_there:
        raise ArgumentError(
            f"from_file: {os.fspath(filename)} has {bytes_there} bytes, and {count} elements of"
            f" {wanted} are wanted"
        )
    if count == 0:
        return on_device(from_numpy(np.zeros((0,), wanted.numpy)), device)
    how: Any = "c" if not shared else "r+" if bytes_there else "w+"
    array = np.memmap(filename, wanted.numpy, how, shape=(count,))
    return on_device(from_numpy(np.asarray(array)), device)
