"""Stored plans: what lowering made of a graph, kept in the build cache so that a warm start skips
passes and printing.

A plan is a tree of dataclasses, tuples, numbers, texts, dtypes, sizes and small arrays, written as
JSON. Reading follows the classes' annotations and refuses whatever does not fit them, so a stored
plan gives the same objects as lowering, or none. The cache's own digest has been checked before."""

from __future__ import annotations

import base64
import json
import types as python_types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from intaglio.compiler.dims import Dim, Symbol, parse_size, symbols
from intaglio.compiler.dtypes import DType, dtype_named
from intaglio.compiler.errors import Error
from intaglio.compiler.ir import Literal
from intaglio.runtime.cache import open_cache
from intaglio.runtime.settings import LOG
from intaglio.runtime.toolchain import digest_of

T = TypeVar("T")
ENDING: Final = ".plan"
LARGEST: Final = 16 << 20
"""Bytes beyond which a plan is not stored."""


class PlanError(Error):
    """A stored plan that does not fit its classes; it is made anew."""


def stored(
    kind: type[T], parts: tuple[str, ...], sizes: Mapping[str, Symbol], make: Callable[[], T]
) -> T:
    """The plan of class `kind` that was stored for these key parts, else `make()`, stored for next
    time. `sizes` are the symbols that may occur in it."""
    key = digest_of("plan", kind.__qualname__, *parts)
    cache = open_cache()
    content = cache.read(key, ENDING)
    if content is not None:
        try:
            made: T = decode(kind, json.loads(content), _dims(sizes))
            return made
        except (PlanError, Error, ValueError, KeyError, TypeError) as error:
            LOG.warning("the stored plan %s can't be read (%s); it is made again", key[:12], error)
    fresh = make()
    try:
        content = json.dumps(encode(fresh), separators=(",", ":")).encode("ascii")
        if len(content) <= LARGEST:
            cache.write(key, ENDING, content)
    except (OSError, PlanError) as error:
        LOG.debug("the plan is not stored: %s", error)
    return fresh


def _dims(sizes: Mapping[str, Symbol]) -> dict[str, Dim]:
    return {name: Dim(name, s.low, s.high) for name, s in sizes.items()}


# --------------------------------------------------------------------------------------- writing


def encode(value: Any) -> Any:
    """A value as JSON's types."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, Dim):
        if any(s.extent is not None for s in symbols(value).values()):
            raise PlanError(f"{value} holds a loop variable")
        return {"size": str(value)}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if isinstance(value, Literal):
        return _encode_array(value.array)
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, Mapping):
        return {"map": [[encode(k), encode(v)] for k, v in value.items()]}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    raise PlanError(f"a {type(value).__name__} has no stored form")


def _encode_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.nbytes > LARGEST:
        raise PlanError("a constant is too large to be stored with a plan")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"array": data, "dtype": array.dtype.str, "shape": list(array.shape)}


# --------------------------------------------------------------------------------------- reading


@lru_cache(maxsize=256)
def _field_readers(kind: type) -> dict[str, Reader]:
    hints = get_type_hints(kind, None, {"Dim": Dim})  # the alias `Size` names it in quotes
    return {f.name: _reader(hints[f.name]) for f in fields(kind)}


Reader = Callable[[Any, Mapping[str, Dim]], Any]
"""Makes a value of what JSON holds and the symbols."""


def decode(hint: Any, data: Any, dims: Mapping[str, Dim]) -> Any:
    """The value of an annotated type that JSON holds; raises `PlanError` where they do not fit."""
    return _reader(hint)(data, dims)


@lru_cache(maxsize=1024)
def _reader(hint: Any) -> Reader:
    """What reads values of an annotated type."""
    origin = get_origin(hint)
    if origin is Union or origin is python_types.UnionType:
        return _union_reader(hint)
    if hint is object:
        return _read_plain
    if origin is tuple:
        return _tuple_reader(hint, get_args(hint))

    def read(data: Any, dims: Mapping[str, Dim]) -> Any:
        if type(data) is hint and hint is not dict:
            return data
        if origin is not None and isinstance(data, dict) and "map" in data:
            key, item = map(_reader, get_args(hint))
            return {key(k, dims): item(v, dims) for k, v in data["map"]}
        if isinstance(data, dict):
            return _decode_object(hint, data, dims)
        if data is None and hint is type(None):
            return None
        raise PlanError(f"{str(data)[:40]!r} is no {hint}")

    return read


def _read_plain(data: Any, dims: Mapping[str, Dim]) -> Any:
    """An attribute of an op, which tells itself what it is."""
    if data is None or isinstance(data, bool | int | str):
        return data
    if isinstance(data, list):
        return tuple([_read_plain(item, dims) for item in data])
    if isinstance(data, dict):
        for hint, name in ((float, "float"), (Dim, "size"), (DType, "dtype"), (Literal, "array")):
            if name in data and (len(data) == 1 or hint is Literal):
                return _decode_object(hint, data, dims)
    raise PlanError(f"{str(data)[:40]!r} is no attribute")


def _union_reader(hint: Any) -> Reader:
    options = [_reader(option) for option in get_args(hint)]
    plain = {option for option in get_args(hint) if option in (int, str, bool, type(None))}

    def read(data: Any, dims: Mapping[str, Dim]) -> Any:
        if type(data) in plain:
            return data
        for option in options:
            try:
                return option(data, dims)
            except (PlanError, KeyError):
                continue
        raise PlanError(f"{str(data)[:40]!r} is no {hint}")

    return read


def _tuple_reader(hint: Any, items: tuple[Any, ...]) -> Reader:
    repeated = _reader(items[0]) if len(items) == 2 and items[1] is Ellipsis else None
    plain = items[0] if repeated is not None and items[0] in (int, str) else None
    readers = [] if repeated is not None else [_reader(item) for item in items]

    def read(data: Any, dims: Mapping[str, Dim]) -> Any:
        if not isinstance(data, list):
            raise PlanError(f"{str(data)[:40]!r} is no tuple")
        if plain is not None and {type(item) for item in data} <= {plain}:
            return tuple(data)
        if repeated is not None:
            return tuple([repeated(item, dims) for item in data])
        if len(data) != len(readers):
            raise PlanError(f"{len(data)} items where {len(readers)} are wanted")
        return tuple([one(item, dims) for one, item in zip(readers, data, strict=True)])

    return read


def _decode_object(hint: Any, data: Mapping[str, Any], dims: Mapping[str, Dim]) -> Any:
    if hint is float:
        return float.fromhex(data["float"])
    if hint is Dim:
        size = parse_size(data["size"], dims)
        if not isinstance(size, Dim) or str(size) != data["size"]:
            raise PlanError(f"{data['size']!r} is no symbolic size")
        return size
    if hint is DType:
        return dtype_named(data["dtype"])
    if hint is Literal or get_origin(hint) is np.ndarray or hint is np.ndarray:
        raw = base64.b64decode(data["array"], validate=True)
        array = np.frombuffer(raw, np.dtype(data["dtype"])).reshape(data["shape"])
        return Literal(array) if hint is Literal else array
    if is_dataclass(hint) and isinstance(hint, type):
        readers = _field_readers(hint)
        if readers.keys() != data.keys():
            raise PlanError(f"{hint.__name__} has other fields")
        return hint(**{name: read(data[name], dims) for name, read in readers.items()})
    raise PlanError(f"a stored object is no {hint}")
