"""Which arrays a training run takes: `--data FILE` and `--data NAME=FILE`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click
import numpy as np

from intaglio.tools.show import safe

Array = np.ndarray[Any, Any]


def read_arrays(texts: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of all the files by name. `NAME=FILE` is one array, meant for that name; a file
    whose own name has an equals sign stays a file. Raises `DataError` for a name given twice."""
    from intaglio.runtime.datasets import DataError, read_named, read_one

    made: dict[str, Array] = {}
    for text in texts:
        name, path = named_path(text)
        found = {name: read_one(path, name)} if name else read_named(path)
        for key in found:
            if key in made:
                raise DataError(f"{text}: the data have {key!r} already")
        made |= found
    return made


def named_path(text: str) -> tuple[str, str]:
    """The name, empty without one, and the file of a text on the command line."""
    name, equals, path = text.partition("=")
    if equals and name and path and not os.path.exists(text):
        return name, path
    return "", text


def check_overwriting(data: Iterable[str], outputs: Iterable[str | None]) -> None:
    """A usage error where the run would write to a file that it reads its data from."""
    read = {os.path.realpath(named_path(text)[1]) for text in data}
    for path in filter(None, outputs):
        if os.path.realpath(path) in read:
            raise click.UsageError(f"{safe(path)} holds data: it would be overwritten")


def check_streams(*given: tuple[str, ...]) -> None:
    """A usage error where standard input would be read twice."""
    if sum(text.rpartition("=")[2] == "-" for texts in given for text in texts) > 1:
        raise click.UsageError("standard input can be read only once")
