"""Collate: one batch of a list of examples. Examples are nests of tensors, arrays, numbers and
texts; a batch is the same nest with a leading dimension on every leaf. Rules as in torch: tuples
become lists, named tuples and the types of dicts and lists stay, texts are listed.

Two of them walk the same way: `default_collate` makes tensors; `collate_arrays` makes NumPy arrays,
in memory that the caller may provide, and needs no tensor where the examples hold none."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from functools import reduce
from typing import Any

import numpy as np

from intaglio._core import Tensor, from_array
from intaglio._functions_create import as_tensor
from intaglio._functions_join import stack
from intaglio._places import to_host
from intaglio._promote import get_default_dtype, promote_types
from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import ArgumentError, DTypeError, GradientError, ShapeError
from intaglio.data._datasets import Rows

Array = np.ndarray[Any, Any]
Allocate = Callable[[tuple[int, ...], np.dtype[Any]], Array]
Leaf = Callable[[Sequence[Any]], Any]

_NO_NUMBERS = "SUaOMm"
_UNDERSTOOD = "tensors, arrays, numbers, texts, and dicts, lists and tuples of them are understood"


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch of a list of examples: tensors and arrays are stacked, numbers become a tensor (f64
    for floats, i64 for ints), texts a list; inside dicts, tuples and lists likewise."""
    if isinstance(batch, Rows):
        return list(batch.columns)
    return _collate(batch, _tensor_leaf)


def collate_arrays(batch: Sequence[Any], out: Allocate = np.empty) -> Any:
    """The same with NumPy arrays in the place of tensors. `out(shape, dtype)` gives the memory of
    each of them. Raises `GradientError` for tensors that require grad."""
    if isinstance(batch, Rows):
        _check_plain(batch.columns)
        return [_placed(to_host(column._data), out) for column in batch.columns]
    return _collate(batch, lambda values: _stacked(values, out))


def default_convert(data: Any) -> Any:
    """An example with its NumPy arrays and numbers as tensors, the rest as it is; tuples become
    lists."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray | np.generic):
        return data if data.dtype.kind in _NO_NUMBERS else as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(x) for x in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [default_convert(x) for x in data])
    return data


def _collate(batch: Sequence[Any], leaf: Leaf) -> Any:
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray | np.generic | int | float | complex):
        return leaf(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return _like_mapping(first, {k: _collate([x[k] for x in batch], leaf) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(_collate(column, leaf) for column in zip(*batch, strict=True)))
    if not isinstance(first, Sequence):
        raise DTypeError(f"collate: an example holds {type(first).__name__}; {_UNDERSTOOD}")
    if any(len(x) != len(first) for x in batch):
        lengths = sorted({len(x) for x in batch})
        raise ShapeError(
            f"collate: the examples hold sequences of several lengths: {lengths};"
            " give a collate_fn that pads them"
        )
    columns = [_collate(column, leaf) for column in zip(*batch, strict=True)]
    return columns if isinstance(first, tuple) else _like_sequence(first, columns)


def _like_mapping(sample: Mapping[Any, Any], made: dict[Any, Any]) -> Any:
    """The same kind of mapping with other values; a plain dict where it can't be made."""
    if type(sample) is dict:
        return made
    try:
        if isinstance(sample, MutableMapping):
            clone = copy.copy(sample)
            clone.update(made)
            return clone
        return type(sample)(made)  # type: ignore[call-arg]  # most kinds of mappings can
    except TypeError:
        return made


def _like_sequence(sample: Sequence[Any], made: list[Any]) -> Any:
    """The same kind of sequence with other elements; a plain list where it can't be made."""
    if type(sample) is list:
        return made
    try:
        if isinstance(sample, MutableSequence):
            clone = copy.copy(sample)
            for k, value in enumerate(made):
                clone[k] = value
            return clone
        return type(sample)(made)  # type: ignore[call-arg]  # most kinds of sequences can
    except TypeError:
        return made


def _tensor_leaf(values: Sequence[Any]) -> Any:
    first = values[0]
    if not isinstance(first, Tensor):
        return from_array(_stacked(values, np.empty))
    arrays = [x._data for x in values]
    if True in {x.requires_grad for x in values} or {type(a) for a in arrays} != {np.ndarray}:
        return stack(list(values))
    if len({x._kind for x in values}) == 1:  # so they are of one shape and dtype
        return from_array(_concatenated(arrays, np.empty))
    return from_array(_joined(arrays, np.empty))


def _stacked(values: Sequence[Any], out: Allocate) -> Array:
    """The values as one array with a leading dimension."""
    first = values[0]
    if isinstance(first, np.ndarray):
        return _joined(values, out)
    if isinstance(first, Tensor):
        _check_plain(values)
        arrays = [x._data for x in values]
        plain = {type(array) for array in arrays} == {np.ndarray}
        return _joined(arrays if plain else [to_host(array) for array in arrays], out)
    if isinstance(first, np.generic) and first.dtype.kind in _NO_NUMBERS:
        raise DTypeError(f"collate: an example holds {first.dtype}; {_UNDERSTOOD}")
    made = np.array(values, np.float64 if isinstance(first, float) else None)
    if made.dtype == np.float64 and isinstance(first, int):  # ints and floats
        made = made.astype(get_default_dtype().numpy)
    return _placed(made, out)


def _check_plain(tensors: Sequence[Tensor]) -> None:
    if True in {x.requires_grad for x in tensors}:
        raise GradientError(
            "collate: an example holds a tensor that requires grad, and its derivative can't leave"
            " the worker: detach() it"
        )


def _joined(arrays: Sequence[Array], out: Allocate) -> Array:
    first = arrays[0]
    if first.dtype.kind in _NO_NUMBERS:
        raise DTypeError(f"collate: an example holds an array of {first.dtype}; {_UNDERSTOOD}")
    shapes = {x.shape for x in arrays}
    if len(shapes) > 1:
        raise ShapeError(
            f"collate: the examples hold arrays of several shapes: {sorted(shapes)};"
            " give a collate_fn that pads or crops them"
        )
    dtypes = {x.dtype for x in arrays}
    if len(dtypes) > 1:
        common = reduce(promote_types, map(dtype_of, dtypes)).numpy
        arrays = [x.astype(common) for x in arrays]
    return _concatenated(arrays, out)


def _concatenated(arrays: Sequence[Array], out: Allocate) -> Array:
    """Arrays of one shape and dtype with a new dimension in front."""
    first = arrays[0]
    shape = first.shape
    made = out((len(arrays), *shape), first.dtype)
    if shape:  # one after the other along the first axis: what np.stack does, at half the cost
        np.concatenate(arrays, out=made.reshape(len(arrays) * shape[0], *shape[1:]))
    else:
        made[...] = arrays
    return made


def _placed(array: Array, out: Allocate) -> Array:
    if array.dtype.kind in _NO_NUMBERS:
        raise ArgumentError("collate: the examples hold numbers that do not fit one dtype")
    if out is np.empty:
        return array
    made = out(array.shape, array.dtype)
    made[...] = array
    return made
