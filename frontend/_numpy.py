"""NumPy's protocols: functions of NumPy that are called on tensors run as intaglio's, so they are
differentiated, traced and compiled.

`np.sin(t)`, `np.add.reduce(t)`, `np.einsum("ij,jk", t, u)` and `np.linalg.solve(t, b)` arrive here.
An adapter takes the arguments as NumPy has them and calls the function of the same meaning. What
has none is refused by NumPy's own TypeError: a tensor is never turned into an array in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np

from intaglio._apply import constant, full
from intaglio._core import Tensor
from intaglio._kind import kind_of
from intaglio._promote import into, result_type

Function = Callable[..., Any]
_NO: Final[Any] = getattr(np, "_NoValue", None)  # what NumPy's defaults for "not given" are


def _root(name: str) -> Function | None:
    """intaglio's own function of a name, or None; "linalg.solve" is looked up in its module."""
    module, _, last = name.rpartition(".")
    try:
        found: Function | None = getattr(
            import_module(f"intaglio.{module}".rstrip(".")), last, None
        )
    except ImportError:
        return None
    return found if callable(found) else None


def _call(name: str, *args: Any, **kwargs: Any) -> Any:
    function = _root(name)
    if function is None:
        return NotImplemented
    return function(*args, **kwargs)


# ------------------------------------------------------------------------------------------- ufuncs

_UFUNCS: Final = {
    "true_divide": "div", "divide": "div", "power": "pow", "arctan2": "atan2", "absolute": "abs",
    "negative": "neg", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "invert": "bitwise_not", "equal": "eq",
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift", "rint": "round",
    "mod": "remainder", "fabs": "abs", "degrees": "rad2deg", "radians": "deg2rad",
    "conjugate": "clone", "isnat": "", "divmod": "", "modf": "", "spacing": "", "cbrt": "",
}  # fmt: skip
"""NumPy's names of elementwise functions that have another name here; "" where there is none."""
_REDUCTIONS: Final = {
    "add": "sum", "multiply": "prod", "maximum": "amax", "minimum": "amin", "logical_and": "all",
    "logical_or": "any",
}  # fmt: skip
_PREFIXES: Final = {"add": "cumsum", "multiply": "cumprod"}


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`np.sin(t)`, `np.add(t, a, out=u)`, `np.add.reduce(t, axis=1)`, `np.multiply.outer(t, u)`."""
    out = kwargs.pop("out", None)
    where, dtype = kwargs.pop("where", True), kwargs.pop("dtype", None)
    made = _ufunc(ufunc.__name__, method, inputs, kwargs) if where is True else NotImplemented
    if made is NotImplemented:
        return NotImplemented
    if dtype is not None:
        made = made.to(dtype)
    if out is None:
        return made
    target = out[0] if isinstance(out, tuple) else out
    if isinstance(target, Tensor):
        return into(target, made)
    np.copyto(target, made.detach().numpy())
    return target


def _ufunc(name: str, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if method == "reduce" and name in _REDUCTIONS:
        axis, keepdims = kwargs.pop("axis", 0), kwargs.pop("keepdims", False)
        if kwargs:
            return NotImplemented
        return _reduced(_REDUCTIONS[name], inputs[0], axis, keepdims)
    if method == "accumulate" and name in _PREFIXES:
        return _call(_PREFIXES[name], inputs[0], kwargs.pop("axis", 0), **kwargs)
    if method == "outer":
        a, b = _tensors(inputs)
        return _ufunc(name, "__call__", (a.reshape(*a.shape, *(1,) * b.ndim), b), kwargs)
    if method != "__call__":
        return NotImplemented
    return _call(_UFUNCS.get(name, name) or "no such function", *_tensors(inputs), **kwargs)


def _tensors(operands: Sequence[Any]) -> list[Any]:
    """Operands as tensors; numbers beside them take part in the dtype as numbers do."""
    dtype = None
    made: list[Any] = []
    for x in operands:
        if isinstance(x, np.ndarray):
            made.append(constant(x))
        elif isinstance(x, bool | int | float | np.generic):
            number = x.item() if isinstance(x, np.generic) else x
            if dtype is None:
                dtype = result_type(*(_free(y) for y in operands))
            floating = isinstance(number, float) or dtype.kind == "f"
            made.append(full(number, kind_of(dtype, ())) if floating or len(operands) > 1 else x)
        else:
            made.append(x)
    return made


def _free(operand: Any) -> Any:
    """An operand without NumPy's types, for the rules of dtypes."""
    if isinstance(operand, np.ndarray):
        return constant(operand)
    return operand.item() if isinstance(operand, np.generic) else operand


# ---------------------------------------------------------------------------------------- functions


def array_function(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """`np.einsum(...)`, `np.linalg.solve(t, b)`: by the adapter of that name."""
    module = (func.__module__ or "numpy").removeprefix("numpy").strip(".")
    name = f"{module}.{func.__name__}" if module in ("linalg", "fft") else func.__name__
    adapter = _ADAPTERS.get(name)
    if adapter is None:
        return NotImplemented
    given = {k: v for k, v in kwargs.items() if v is not _NO}
    out = given.pop("out", None)
    made = adapter(*args, **given)
    return made if out is None or made is NotImplemented else into(out, made)


def _same(*names: str) -> dict[str, Function]:
    """Functions whose arguments are the same in both libraries, by the same name."""
    return {name: (lambda *a, _name=name, **k: _call(_name, *a, **k)) for name in names}


def _renamed(name: str) -> Function:
    return lambda *args, **kwargs: _call(name, *args, **kwargs)


def _reduced(name: str, a: Any, axis: Any = None, keepdims: bool = False, **named: Any) -> Any:
    function = _root(name)
    if function is None:
        return NotImplemented
    if axis is None:
        made = function(a, **named)
        return made.reshape((1,) * a.ndim) if keepdims else made
    return function(a, axis, keepdim=keepdims, **named)


def _reduction(name: str) -> Function:
    def call(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        made = _reduced(name, a, axis, keepdims)
        return made if dtype is None or made is NotImplemented else made.to(dtype)

    return call


def _extreme(name: str) -> Function:
    return lambda a, axis=None, keepdims=False: _reduced(name, a, axis, keepdims)


def _position(name: str) -> Function:
    def call(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return _call(name, a, axis, keepdims)

    return call


def _spread(name: str) -> Function:
    def call(a: Any, axis: Any = None, dtype: Any = None, ddof: Any = 0, keepdims: Any = False,
             correction: Any = None) -> Any:  # fmt: skip
        amount = ddof if correction is None else correction
        made = _call(name, a, axis, correction=amount, keepdim=keepdims)
        return made if dtype is None else made.to(dtype)

    return call


def _cumulative(name: str) -> Function:
    def call(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        return _call(name, a.flatten() if axis is None else a, axis or 0, dtype=dtype)

    return call


def _joined(name: str) -> Function:
    def call(arrays: Sequence[Any], axis: Any = 0) -> Any:
        parts = _tensors(list(arrays))
        if axis is None:
            return _call("cat", [p.flatten() for p in parts], 0)
        return _call(name, parts, axis)

    return call


def _stacked(name: str) -> Function:
    return lambda tup: _call(name, _tensors(list(tup)))


def _transpose(a: Any, axes: Any = None) -> Any:
    order = tuple(reversed(range(a.ndim))) if axes is None else tuple(axes)
    return _call("permute", a, order)


def _reshape(a: Any, shape: Any = None, order: str = "C", newshape: Any = None) -> Any:
    if order != "C":
        return NotImplemented
    wanted = newshape if shape is None else shape
    return _call("reshape", a, wanted if isinstance(wanted, tuple | list) else (wanted,))


def _expand_dims(a: Any, axis: Any) -> Any:
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    rank = a.ndim + len(axes)
    for k in sorted(x % rank for x in axes):
        a = _call("unsqueeze", a, k)
    return a


def _squeeze(a: Any, axis: Any = None) -> Any:
    return _call("squeeze", a) if axis is None else _call("squeeze", a, axis)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    return _call("clamp", a, low, high)


def _where(condition: Any, *others: Any) -> Any:
    chosen = constant(condition) if isinstance(condition, np.ndarray) else condition
    return _call("where", chosen, *others)


def _sort(a: Any, axis: Any = -1, kind: Any = None, stable: Any = None) -> Any:
    made = a.flatten() if axis is None else a
    return _call("sort", made, -1 if axis is None else axis)[0]


def _argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, stable: Any = None
) -> Any:
    made = a.flatten() if axis is None else a
    return _call("argsort", made, -1 if axis is None else axis, stable=True)


def _quantile(name: str, scale: float) -> Function:
    def call(
        a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: Any = False
    ) -> Any:
        share = q * scale if isinstance(q, int | float | Tensor) else np.asarray(q) * scale
        if isinstance(share, np.ndarray):
            share = constant(share.astype(a.dtype.numpy))
        return _call(name, a, share, axis, keepdims, interpolation=method)

    return call


def _median(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's median: the mean of the two in the middle."""
    return _call("quantile", a, 0.5, axis, keepdims)


def _average(a: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Any:
    if weights is None:
        return _reduced("mean", a, axis, keepdims)
    w = constant(weights) if isinstance(weights, np.ndarray) else weights
    if w.ndim != a.ndim:
        shape = [1] * a.ndim
        shape[axis] = w.shape[0]
        w = w.reshape(*shape)
    return _reduced("sum", a * w, axis, keepdims) / _reduced("sum", w + a * 0, axis, keepdims)


def _take(a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    at = constant(np.asarray(indices)) if not isinstance(indices, Tensor) else indices
    if mode != "raise":
        return NotImplemented
    if axis is None:
        return _call("take", a, at)
    made = _call("index_select", a, axis, at.flatten())
    axis %= a.ndim
    return made.reshape(*a.shape[:axis], *at.shape, *a.shape[axis + 1 :])


def _pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    if mode != "constant":
        return NotImplemented
    widths = np.broadcast_to(np.asarray(pad_width), (array.ndim, 2))
    flat = [int(w) for pair in widths[::-1] for w in pair]
    return _call("nn.functional.pad", array, flat, "constant", constant_values)


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    return list(_call("tensor_split", ary, indices_or_sections, axis))


def _even_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if isinstance(indices_or_sections, int) and ary.shape[axis] % indices_or_sections:
        raise ValueError(
            f"split: {ary.shape[axis]} elements along axis {axis} have no {indices_or_sections}"
            " equal parts; array_split takes unequal ones"
        )
    return _split(ary, indices_or_sections, axis)


def _dot(a: Any, b: Any) -> Any:
    a, b = _tensors((a, b))
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim == 1:
        return _call("tensordot", a, b, ([a.ndim - 1], [0]))
    return _call("tensordot", a, b, ([a.ndim - 1], [b.ndim - 2]))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = _tensors((a, b))
    if not isinstance(axes, int):
        axes = tuple([x] if isinstance(x, int) else list(x) for x in axes)
    return _call("tensordot", a, b, axes)


def _einsum(subscripts: Any, *operands: Any, optimize: Any = False) -> Any:
    if not isinstance(subscripts, str):
        return NotImplemented
    return _call("einsum", subscripts, *_tensors(operands))


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    counts = constant(np.asarray(repeats)) if not isinstance(repeats, int | Tensor) else repeats
    return _call("repeat_interleave", a, counts, axis)


def _flip(m: Any, axis: Any = None) -> Any:
    axes = range(m.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return _call("flip", m, tuple(axes))


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return _call("diagonal", a, offset, axis1, axis2).sum(-1)


def _nonzero(a: Any) -> Any:
    return _call("nonzero", a, as_tuple=True)


def _round(a: Any, decimals: int = 0) -> Any:
    return _call("round", a, decimals=decimals)


def _like(name: str) -> Function:
    def call(a: Any, *args: Any, dtype: Any = None, **ignored: Any) -> Any:
        return _call(name, a, *args, dtype=dtype)

    return call


def _equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    a, b = _tensors((a1, a2))
    if a.shape != b.shape:
        return False
    same = (a == b) | ((a != a) & (b != b)) if equal_nan else a == b
    return bool(same.all())


def _look_at_memory(name: str) -> Function:
    def call(a: Any, b: Any, max_work: Any = None) -> bool:
        arrays = [x.detach().numpy() if isinstance(x, Tensor) else x for x in (a, b)]
        return bool(getattr(np, name)(*arrays))

    return call


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return _call("linalg.norm", x, ord, axis, keepdims)


def _result_type(*operands: Any) -> Any:
    return result_type(*map(_free, operands)).numpy


_ADAPTERS: Final[dict[str, Function]] = {
    **_same("kron", "outer", "inner", "diagonal", "diag", "tril", "triu", "fliplr", "flipud",
            "rot90", "tile", "swapaxes", "moveaxis", "ravel", "vdot", "count_nonzero", "isclose",
            "allclose", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "nan_to_num",
            "bincount", "diff", "cross", "cov", "corrcoef", "isin", "unravel_index", "sinc",
            "isposinf", "isneginf", "vander", "trapezoid", "nanmean", "nansum"),
    "sum": _reduction("sum"), "prod": _reduction("prod"), "mean": _reduction("mean"),
    "all": _extreme("all"), "any": _extreme("any"), "max": _extreme("amax"),
    "min": _extreme("amin"), "amax": _extreme("amax"), "amin": _extreme("amin"),
    "argmax": _position("argmax"), "argmin": _position("argmin"), "std": _spread("std"),
    "var": _spread("var"), "cumsum": _cumulative("cumsum"), "cumprod": _cumulative("cumprod"),
    "concatenate": _joined("cat"), "stack": _joined("stack"), "vstack": _stacked("vstack"),
    "hstack": _stacked("hstack"), "dstack": _stacked("dstack"),
    "column_stack": _stacked("column_stack"), "transpose": _transpose,
    "permute_dims": _transpose, "matrix_transpose": lambda x: x.mT, "reshape": _reshape,
    "expand_dims": _expand_dims, "squeeze": _squeeze, "clip": _clip, "where": _where,
    "sort": _sort, "argsort": _argsort, "quantile": _quantile("quantile", 1.0),
    "nanquantile": _quantile("nanquantile", 1.0), "percentile": _quantile("quantile", 0.01),
    "median": _median, "average": _average, "take": _take, "pad": _pad,
    "take_along_axis": lambda arr, indices, axis=-1: _call("take_along_dim", arr, indices, axis),
    "split": _even_split, "array_split": _split, "dot": _dot, "tensordot": _tensordot,
    "einsum": _einsum, "repeat": _repeat, "flip": _flip, "trace": _trace, "nonzero": _nonzero,
    "round": _round, "around": _round, "roll": lambda a, shift, axis=None: _call(
        "roll", a, shift, axis),
    "copy": lambda a, order="K", subok=False: a.clone(), "real": lambda val: val,
    "searchsorted": lambda a, v, side="left", sorter=None: _call(
        "searchsorted", a, v, side=side, sorter=sorter),
    "zeros_like": _like("zeros_like"), "ones_like": _like("ones_like"),
    "empty_like": _like("empty_like"), "full_like": _like("full_like"),
    "array_equal": _equal, "shape": lambda a: tuple(a.shape), "ndim": lambda a: a.ndim,
    "size": lambda a: a.numel(),
    "result_type": _result_type, "may_share_memory": _look_at_memory("may_share_memory"),
    "shares_memory": _look_at_memory("shares_memory"),
    "ptp": lambda a, axis=None, keepdims=False: (
        _reduced("amax", a, axis, keepdims) - _reduced("amin", a, axis, keepdims)),
    "linalg.norm": _norm,
    "linalg.svd": lambda a, full_matrices=True, compute_uv=True, hermitian=False: (
        _call("linalg.svd", a, full_matrices) if compute_uv else _call("linalg.svdvals", a)),
    "linalg.lstsq": lambda a, b, rcond=None: _call("linalg.lstsq", a, b, rcond=rcond),
    "linalg.trace": lambda x, offset=0: _trace(x, offset, -2, -1),
    "linalg.outer": _renamed("outer"), "linalg.tensordot": _tensordot,
    **{f"linalg.{name}": _renamed(f"linalg.{name}") for name in (
        "solve", "inv", "det", "slogdet", "cholesky", "qr", "eigh", "eigvalsh", "pinv",
        "matrix_power", "matrix_rank", "multi_dot", "cond", "svdvals", "tensorinv", "tensorsolve",
        "cross", "vecdot", "matrix_norm", "vector_norm", "diagonal", "eig", "eigvals", "matmul")},
}  # fmt: skip
"""By NumPy's name, functions that take NumPy's arguments."""
