"""Checkpoints: nested plain values and arrays as one model file without functions.

Arrays are the file's states, named by their paths (`optimizer.state.0.exp_avg`). Everything else,
and where the arrays belong, is a text in the file's remarks: JSON in which `{"$name": value}` is
what JSON has no form for. Long lists of numbers are kept as arrays too. So the file is checked in
every byte when it is read, is written whole or not at all, and nothing in it is ever run."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import DType, dtype_named, dtype_of
from intaglio.compiler.errors import DTypeError, FormatError
from intaglio.compiler.ir import Program, State
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array
from intaglio.runtime.datasets import DataError
from intaglio.runtime.file import limits

REMARK: Final = "checkpoint"
"""The remark that holds the text; what is longer goes on in `checkpoint.1` and so on."""
REMARK_CHARACTERS: Final = 1 << 20
TEXTS: Final = limits.ABOUT_BYTES - (1 << 16)
"""Characters of all the remarks."""
LONG: Final = 32
"""Numbers from which on a list is kept as an array."""
LONG_TEXT: Final = 1 << 16
"""Characters, or bytes, from which on a text is kept as an array."""
LONG_NAME: Final = 1 << 10
"""Characters of a state's name; what is longer is cut off."""
NESTING: Final = 64
TIED: Final = ("parameter", "buffer")
"""Kinds of states that are one by several names where they share their memory."""
_EXACT: Final = (bool, int, float, str, type(None), list, tuple, set, frozenset)
_INT64: Final = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, eq=False)
class Held:
    """An array that is a state of the file: a tensor of the caller's (then it is one again when it
    is read), or an array of NumPy's. `kind` is the state's."""

    array: Array
    kind: str = "constant"
    is_tensor: bool = True


def write_checkpoint(path: str | os.PathLike[str], parts: Mapping[str, Any]) -> None:
    """Write nested values by name: numbers, text, bytes, None, dtypes, dicts, lists, tuples, sets,
    arrays, and `Held` arrays. Raises `DataError` that names what can't be kept."""
    from intaglio.runtime.file import write

    writer = _Writer()
    text = json.dumps({name: writer.value(value, (name,), 0) for name, value in parts.items()})
    _check_sizes(text, len(writer.values))
    chunks = [text[k : k + REMARK_CHARACTERS] for k in range(0, len(text), REMARK_CHARACTERS)]
    remarks = {_remark(k): chunk for k, chunk in enumerate(chunks)}
    write(path, Program({}, writer.states()), writer.values, remarks)


def _check_sizes(text: str, arrays: int) -> None:
    """Raise `DataError` for what is more than a model file holds."""
    most = limits.TABLES["state"]
    if arrays > most:
        raise DataError(
            f"{arrays} arrays and lists of numbers are more than the {most} that a checkpoint"
            " holds: stack some of them"
        )
    if len(text) > TEXTS:
        raise DataError(
            f"numbers, texts and keys take {len(text)} characters, more than the {TEXTS} that a"
            " checkpoint holds besides its arrays: make arrays of what is long"
        )


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_checkpoint` wrote: tensors as `Held` over read-only arrays, arrays as writable
    copies. Raises `FormatError` for what is no whole file, `DataError` for a file that is no
    checkpoint."""
    from intaglio.runtime.file import read

    found = read(path)
    name = os.fsdecode(path)
    if REMARK not in found.metadata:
        raise DataError(f"{name} is a model, and no checkpoint: ig.load reads it")
    return decoded(found.program, found.values, found.metadata, name)


def decoded(
    program: Program, values: Mapping[str, Array], metadata: Mapping[str, object], name: str
) -> dict[str, Any]:
    """The nested values of a checkpoint's parts."""
    text = ""
    for k in range(len(metadata)):
        text += str(metadata.get(_remark(k), ""))
    reader = _Reader(program, values)
    try:
        tree = json.loads(text)
        if not isinstance(tree, dict):
            raise ValueError("it is no object")
        return {part: reader.value(value, 0) for part, value in tree.items()}
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise FormatError(f"{name}: metadata['{REMARK}'] is damaged ({error})") from None


def _remark(k: int) -> str:
    return f"{REMARK}.{k}" if k else REMARK


# ------------------------------------------------------------------------------------------ writing


class _Writer:
    """Makes the text, and collects the states."""

    def __init__(self) -> None:
        self.values: dict[str, Array] = {}
        self._names: dict[str, tuple[list[str], str]] = {}
        self._taken: set[str] = set()
        self._same: dict[tuple[Any, ...], str] = {}

    def states(self) -> dict[str, State]:
        """The states in the order in which they were met."""
        made = {}
        for name, (names, kind) in self._names.items():
            array = self.values[name]
            type = TensorType(dtype_of(array.dtype.newbyteorder("=")), array.shape)
            made[name] = State(tuple(names), type, kind)
        return made

    def value(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """The JSON of a value."""
        if depth > NESTING:
            raise DataError(f"{'.'.join(path)}: nested deeper than {NESTING}")
        match value:
            case str() if len(value) >= LONG_TEXT:
                self._exact(value, path)
                data = np.frombuffer(value.encode("utf-8", "surrogatepass"), np.uint8)
                return {"$text": self.state(Held(data), path)}
            case None | bool() | str():
                self._exact(value, path)
                return value
            case np.generic():
                return {"$number": self.state(Held(np.asarray(value), is_tensor=False), path)}
            case int():
                self._exact(value, path)
                return value if value in _INT64 else {"$int": str(value)}
            case float():
                self._exact(value, path)
                return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}
            case bytes() if len(value) >= LONG_TEXT:
                return {"$data": self.state(Held(np.frombuffer(value, np.uint8)), path)}
            case bytes():
                return {"$bytes": value.hex()}
            case DType():
                return {"$dtype": value.name}
            case Held():
                return {"$tensor": self.state(value, path)}
            case np.ma.MaskedArray():
                raise DataError(f"{'.'.join(path)} is a masked array: give data and mask")
            case np.ndarray():
                return {"$array": self.state(Held(value, is_tensor=False), path)}
            case list() | tuple() | set() | frozenset():
                return self.sequence(value, path, depth)
            case Mapping():
                return self.mapping(value, path, depth)
        raise DataError(
            f"{'.'.join(path)} is a {type(value).__qualname__}, which a checkpoint can't keep: give"
            " tensors, arrays, numbers, text, lists and dicts, or objects with state_dict() and"
            " load_state_dict()"
        )

    def sequence(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """The JSON of a list, tuple or set."""
        self._exact(value, path)
        if isinstance(value, list | tuple):
            made = self.items(list(value), path, depth)
            return made if isinstance(value, list) else {"$tuple": made}
        mark = "$set" if isinstance(value, set) else "$frozenset"
        return {mark: self.items(sorted(value, key=repr), path, depth)}

    def items(self, values: list[Any], path: tuple[str, ...], depth: int) -> Any:
        """The JSON of a list; a long one of numbers becomes an array."""
        if len(values) >= LONG:
            kinds = set(map(type, values))
            if kinds == {int} and all(v in _INT64 for v in values):
                return {"$list": self.state(Held(np.array(values, np.int64)), path)}
            if kinds == {float}:
                return {"$list": self.state(Held(np.array(values, np.float64)), path)}
        return [self.value(v, (*path, str(k)), depth + 1) for k, v in enumerate(values)]

    def mapping(self, value: Mapping[Any, Any], path: tuple[str, ...], depth: int) -> Any:
        """The JSON of a dict: an object where its keys are texts that are no marks."""
        made = {k: self.value(v, (*path, str(k)), depth + 1) for k, v in value.items()}
        if all(type(key) is str and not key.startswith("$") for key in made):
            return made
        if not all(type(key) in (str, int, float, bool, type(None)) for key in made):
            raise DataError(f"{'.'.join(path)}: keys of a dict are texts or numbers")
        return {"$dict": [[self.value(k, path, depth), v] for k, v in made.items()]}

    def state(self, held: Held, path: tuple[str, ...]) -> str:
        """The name of an array's state. What shares all of its memory with one before is the same
        state by another name."""
        array, name = held.array, ".".join(path)[:LONG_NAME]
        name = name.encode("utf-8", "backslashreplace").decode()
        while name in self._taken:
            name += f"~{len(self._taken)}"
        self._taken.add(name)
        try:
            dtype_of(array.dtype.newbyteorder("="))
        except DTypeError as error:
            raise DataError(f"{name}: {error.args[0]}") from None
        place = array.__array_interface__["data"][0]
        key = (place, array.dtype, array.shape, array.strides)
        tied = held.kind in TIED and array.size
        first = self._same.setdefault(key, name) if tied else name
        if first != name:
            self._names[first][0].append(name)
        else:
            self.values[name] = array
            self._names[name] = [name], held.kind
        return name

    @staticmethod
    def _exact(value: Any, path: tuple[str, ...]) -> None:
        """Subclasses would come back as their base."""
        if type(value) not in _EXACT:
            raise DataError(
                f"{'.'.join(path)} is a {type(value).__qualname__}, which would come back as a"
                " plain value: convert it first"
            )


# ------------------------------------------------------------------------------------------ reading


class _Reader:
    """Makes values of the text."""

    def __init__(self, program: Program, values: Mapping[str, Array]) -> None:
        self.first = {n: (s.name, s.kind) for s in program.state.values() for n in s.names}
        self.values = values

    def array(self, name: str) -> Array:
        """The array of a state."""
        return self.values[self.first[name][0]]

    def value(self, data: Any, depth: int) -> Any:
        """The value of some JSON."""
        if depth > 2 * NESTING:
            raise ValueError("it nests too deep")
        if isinstance(data, list):
            return [self.value(v, depth + 1) for v in data]
        if not isinstance(data, dict):
            return data
        mark = next(iter(data), "")
        if not mark.startswith("$"):
            return {k: self.value(v, depth + 1) for k, v in data.items()}
        content = data[mark]
        match mark:
            case "$tensor":
                return Held(self.array(content), self.first[content][1])
            case "$array":
                return self.array(content).copy()
            case "$number":
                return self.array(content)[()]
            case "$list":
                return self.array(content).tolist()
            case "$dict":
                return {self.value(k, depth + 1): self.value(v, depth + 1) for k, v in content}
            case "$tuple":
                return tuple(self.value(content, depth + 1))
            case "$set":
                return set(self.value(content, depth + 1))
            case "$frozenset":
                return frozenset(self.value(content, depth + 1))
            case "$text":
                return self.array(content).tobytes().decode("utf-8", "surrogatepass")
            case "$data":
                return self.array(content).tobytes()
            case "$int":
                return int(content)
            case "$float":
                return struct.unpack(">d", bytes.fromhex(content))[0]
            case "$bytes":
                return bytes.fromhex(content)
            case "$dtype":
                return dtype_named(content)
        raise ValueError(f"{mark[:20]!r} is unknown")


# ------------------------------------------------------------------------------------- for readers


def outline(metadata: Mapping[str, object]) -> list[tuple[str, str]] | None:
    """A checkpoint's parts and what they are, in words; None for the remarks of a model."""
    if REMARK not in metadata:
        return None
    text = "".join(str(metadata.get(_remark(k), "")) for k in range(len(metadata)))
    try:
        tree = dict(json.loads(text))
        return [(json.dumps(part)[1:-1], _said(value)) for part, value in tree.items()]
    except (ValueError, TypeError, RecursionError):
        return None


def _said(value: Any) -> str:
    """One line about a part."""
    arrays = sum(1 for _ in _arrays(value, 0))
    if not arrays:
        text = json.dumps(value)
        return text if len(text) <= 60 else text[:57] + "..."
    if not isinstance(value, dict) or next(iter(value), "").startswith("$"):
        return "an array" if arrays == 1 else f"{arrays} arrays"
    more = ", ..." if len(value) > 4 else ""
    return f"{arrays} arrays ({', '.join(list(value)[:4])}{more})"


def _arrays(value: Any, depth: int) -> Iterator[str]:
    """The names of the states in some JSON."""
    if depth > 2 * NESTING:
        return
    if isinstance(value, list):
        for part in value:
            yield from _arrays(part, depth + 1)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in ("$tensor", "$array", "$number", "$list", "$text", "$data"):
                yield str(part)
            else:
                yield from _arrays(part, depth + 1)
