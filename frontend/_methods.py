"""Attaches the functions to Tensor as methods, operators and in-place forms."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import numpy as np

from intaglio import (
    _functions_compare as compare,
    _functions_data as data,
    _functions_device as placing,
    _functions_diagonal as diagonals,
    _functions_elementwise as elementwise,
    _functions_gather as gathering,
    _functions_index as index,
    _functions_join as join,
    _functions_matmul as matmul,
    _functions_movement as movement,
    _functions_prefix as prefix,
    _functions_questions as questions,
    _functions_reduce as reduce,
    _functions_scatter as scattering,
    _functions_sort as sorting,
    _functions_strided as striding,
)
from intaglio._apply import binary, full
from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype
from intaglio._inplace import in_place, reshaped_in_place, write
from intaglio._layouts import strided
from intaglio._numpy import array_function, array_ufunc
from intaglio._promote import as_tensor_like, cast, expand_to, fitting, size_tensor as size_tensor
from intaglio.compiler import dtypes
from intaglio.compiler.dims import Dim
from intaglio.compiler.errors import ShapeError

# Names of functions that are methods too, by the module that holds them.
_METHODS: Final[tuple[tuple[ModuleType, str], ...]] = (
    (elementwise, """
        exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan tanh sinh cosh asin
        acos atan arcsin arccos arctan sigmoid erf erfc reciprocal floor ceil trunc fix
        round neg negative positive abs absolute sign sgn square relu frac add sub
        subtract mul multiply div divide true_divide floor_divide remainder fmod pow
        float_power atan2 arctan2 copysign maximum minimum fmax fmin clamp clip
        clamp_min clamp_max lerp addcmul addcdiv deg2rad rad2deg logit isnan isinf
        isfinite nan_to_num stop_gradient"""),
    (compare, """
        eq ne not_equal lt less le less_equal gt greater ge greater_equal equal isclose
        allclose logical_and logical_or logical_xor logical_not bitwise_and bitwise_or
        bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift"""),
    (reduce, """
        sum prod mean var std max min amax amin aminmax argmax argmin any all
        count_nonzero nansum nanmean logsumexp norm dist"""),
    (movement, """
        reshape view view_as reshape_as flatten ravel unflatten permute transpose
        swapaxes swapdims movedim moveaxis t adjoint squeeze unsqueeze expand expand_as
        broadcast_to repeat tile repeat_interleave narrow unbind select flip fliplr
        flipud rot90 clone contiguous detach to"""),
    (diagonals, "tril triu diagonal diag diag_embed diagflat diagonal_scatter fill_diagonal_"),
    (striding, """
        as_strided as_strided_scatter unfold resize_ resize_as_ set_ is_set_to
        storage_offset"""),
    (questions, """
        is_complex is_nonzero is_same_size is_signed get_device is_inference is_conj
        is_neg is_pinned pin_memory to_dense const_data_ptr"""),
    (prefix, "cumsum cumprod cummax cummin logcumsumexp"),
    (sorting, "argsort sort msort topk kthvalue median"),
    (join, "split chunk tensor_split hsplit vsplit dsplit roll"),
    (matmul, """
        matmul mm bmm mv dot vdot inner outer ger addmm addmv addr baddbmm addbmm
        matrix_power kron"""),
    (index, "index_put"),
    (gathering, """
        index_select take take_along_dim gather index_add index_copy index_fill
        masked_fill put"""),
    (scattering, "scatter scatter_add scatter_reduce index_reduce masked_scatter"),
    (data, "nonzero nonzero_static argwhere masked_select unique unique_consecutive bincount"),
)  # fmt: skip

# Likewise, of modules that most programs never need: they are imported when one is first wanted.
_LATE: Final[tuple[tuple[str, str], ...]] = (
    ("_functions_number", """
        angle conj conj_physical frexp gcd heaviside isneginf isposinf isreal lcm ldexp
        nextafter resolve_conj resolve_neg signbit sinc"""),
    ("_functions_special_gamma", "digamma lgamma mvlgamma"),
    ("_functions_special_modified", "i0"),
    ("_functions_special_incomplete", "igamma igammac"),
    ("_functions_special_logs", """
        acosh arccosh arcsinh arctanh asinh atanh hypot logaddexp logaddexp2"""),
    ("_functions_special_erf", "erfinv xlogy"),
    ("_functions_copies", """
        narrow_copy select_scatter slice_scatter split_with_sizes unsafe_chunk
        unsafe_split unsafe_split_with_sizes"""),
    ("_functions_python", "apply_ map_ map2_ dim_order"),
    ("_functions_calculus", "diff"),
    ("_functions_search", "isin"),
    ("_functions_statistics", "quantile nanquantile nanmedian mode renorm"),
    ("_functions_histogram", "histc histogram"),
    ("_functions_linalg", "det inverse logdet matrix_exp pinverse slogdet triangular_solve"),
    ("_functions_linalg_factor", "cholesky cholesky_inverse cholesky_solve geqrf orgqr ormqr"),
    ("_functions_linalg_product", "corrcoef cov"),
    ("_functions_linalg_root", "cross lu lu_solve qr svd"),
)  # fmt: skip

# Methods that have a form with a trailing underscore, which writes the result into the tensor.
_IN_PLACE: Final = """
    abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr arccos arccosh arcsin
    arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh baddbmm bitwise_and
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp
    clamp_max clamp_min clip conj_physical copysign cos cosh cumprod cumsum deg2rad digamma div
    divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac gcd ge
    greater
    greater_equal gt heaviside hypot i0 igamma igammac index_add index_copy index_fill index_put
    index_reduce lcm ldexp le lerp less less_equal lgamma log log10 log1p log2 logical_and
    logical_not logical_or logical_xor logit lt masked_fill masked_scatter mul multiply mvlgamma
    nan_to_num ne neg negative nextafter not_equal polygamma pow put rad2deg reciprocal relu
    remainder renorm round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc
    sinh sqrt square sub subtract tan tanh tril triu true_divide trunc xlogy"""

_FILLED: Final = (
    "uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "geometric_",
    "log_normal_",
)  # fmt: skip

# What a tensor here never is; `is_sparse` and so on are properties that say so.
_NEVER: Final = "sparse sparse_csr quantized meta mps xpu xla nested mkldnn"

_OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "__add__": elementwise.add, "__sub__": elementwise.sub, "__mul__": elementwise.mul,
    "__truediv__": elementwise.div, "__floordiv__": elementwise.floor_divide,
    "__mod__": elementwise.remainder, "__pow__": elementwise.pow, "__matmul__": matmul.matmul,
    "__and__": compare.bitwise_and, "__or__": compare.bitwise_or, "__xor__": compare.bitwise_xor,
    "__lshift__": compare.bitwise_left_shift, "__rshift__": compare.bitwise_right_shift,
    "__eq__": compare.eq, "__ne__": compare.ne, "__lt__": compare.lt, "__le__": compare.le,
    "__gt__": compare.gt, "__ge__": compare.ge,
}  # fmt: skip
_REFLECTED: Final = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and",
"or",
                     "xor")  # fmt: skip
_OPERANDS: Final = (Tensor, int, float, np.ndarray, np.generic, Dim)
_CASTS: Final = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16,
    "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.boolean,
}  # fmt: skip
_attached: list[bool] = []


class _Later:
    """A method whose module is imported when it is first wanted, and which it then replaces."""

    def __init__(self, name: str, home: str, source: str) -> None:
        self.name, self.home, self.source = name, home, source

    def method(self) -> Any:
        """What takes this one's place."""
        return getattr(import_module(f"intaglio.{self.home}"), self.source)

    def __get__(self, instance: Tensor | None, owner: type[Tensor]) -> Any:
        found = self.method()
        setattr(Tensor, self.name, found)
        return found.__get__(instance, owner)


class _LaterInPlace(_Later):
    """The in-place form of such a method."""

    def __init__(self, name: str) -> None:
        super().__init__(name + "_", "", name)

    def method(self) -> Any:
        """What takes this one's place."""
        return in_place(getattr(Tensor, self.source), self.name)


def attach() -> None:
    """Attach everything; doing it again does nothing."""
    if _attached:
        return
    _attached.append(True)
    for module, names in _METHODS:
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for home, names in _LATE:
        for name in names.split():
            setattr(Tensor, name, _Later(name, home, name))
    Tensor.polygamma = _Later(  # type: ignore[attr-defined]
        "polygamma", "_functions_special_gamma", "polygamma_method"
    )
    for name in _IN_PLACE.split():
        late = isinstance(Tensor.__dict__[name], _Later)
        form = _LaterInPlace(name) if late else in_place(getattr(Tensor, name), name + "_")
        setattr(Tensor, name + "_", form)
    for name, function in _OPERATORS.items():
        setattr(Tensor, name, _operator(function))
    for word, op in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div")):
        setattr(Tensor, f"__{word}__", _fast_operator(op, _OPERATORS[f"__{word}__"]))
    for word in _REFLECTED:
        setattr(Tensor, f"__r{word}__", _reflected(_OPERATORS[f"__{word}__"]))
    for word in (*_REFLECTED, "lshift", "rshift"):
        setattr(Tensor, f"__i{word}__", in_place(getattr(Tensor, f"__{word}__"), f"{word}_"))
    for name, dtype in _CASTS.items():
        setattr(Tensor, name, _cast_to(dtype, name))
    _attach_rest()


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as an operator: other classes get their turn where the operand is unknown."""

    def operator(self: Tensor, other: Any) -> Any:
        if type(other) is not Tensor and not isinstance(other, _OPERANDS):
            return NotImplemented
        return function(self, other)

    return operator


def _fast_operator(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """As `_operator`; operands of one floating-point type go straight to the op."""
    general = _operator(function)

    def operator(self: Tensor, other: Any) -> Any:
        if type(other) is Tensor and other._kind is self._kind and self._kind.floating:
            return binary(op, self, other)
        if (type(other) is float or type(other) is int) and self._kind.floating:
            return binary(op, self, full(other, self._kind))
        return general(self, other)

    return operator


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        return function(other if not isinstance(other, np.ndarray) else _wrap(other), self)

    return operator


def _wrap(array: Any) -> Tensor:
    from intaglio._apply import constant

    return constant(array)


def _cast_to(dtype: dtypes.DType, name: str) -> Callable[..., Tensor]:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return cast(self, dtype)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"This tensor as {dtype.long_name}."
    return method


def _attach_rest() -> None:
    here: dict[str, Any] = {
        "__neg__": elementwise.neg, "__pos__": elementwise.positive, "__abs__": elementwise.abs,
        "__invert__": compare.bitwise_not, "__getitem__": index.getitem,
        "__setitem__": index.setitem, "T": property(movement.reversed_dims),
        "mT": property(movement.matrix_transpose), "H": property(movement.reversed_dims),
        "mH": property(movement.matrix_transpose), "where": _where_method, "copy_": copy_, "zero_":
        zero_,
        "fill_": fill_, "detach_": detach_, "type": type_of, "type_as": type_as, "cpu":
        placing.cpu, "cuda": placing.cuda, "sum_to_size": sum_to_size, "trace": diagonals.trace_of,
        "real": property(_part("real")), "imag": property(_part("imag")),
        "bernoulli": _random("bernoulli"), "multinomial": _random("multinomial"),
        "hardshrink": _functional("hardshrink"), "prelu": _functional("prelu"),
        "softmax": _normalized("softmax"), "log_softmax": _normalized("log_softmax"),
        "__array_ufunc__": array_ufunc, "__array_function__": array_function,
        "layout": property(lambda _: strided), "is_cpu": property(lambda x: not x.is_cuda),
        "requires_grad_": Tensor.requires_grad_, "share_memory_": _share_memory,
    }  # fmt: skip
    for name in _NEVER.split():
        here[f"is_{name}"] = property(lambda _: False)
    for name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "as_strided"):
        here[f"{name}_"] = reshaped_in_place(getattr(Tensor, name), f"{name}_")
    for name in _FILLED:
        here[name] = _random(name)
    for name in (
        "new_zeros",
        "new_ones",
        "new_empty",
        "new_full",
        "new_tensor",
        "new_empty_strided",
        "new",
    ):
        here[name] = _creation(name)
    for name, value in here.items():
        setattr(Tensor, name, value)
    Tensor.__hash__ = object.__hash__  # type: ignore[assignment]  # __eq__ is elementwise


def _part(name: str) -> Callable[[Tensor], Any]:
    def part(self: Tensor) -> Any:
        return getattr(import_module("intaglio._functions_number"), name)(self)

    return part


def _normalized(name: str) -> Callable[..., Any]:
    def method(self: Tensor, dim: int, dtype: Any = None) -> Any:
        return getattr(import_module("intaglio.nn.functional"), name)(self, dim, dtype=dtype)

    return method


def _functional(name: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module("intaglio.nn.functional"), name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`nn.functional.{name}` of this tensor."
    return method


def _random(name: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        from intaglio import _functions_random, _functions_sampling

        home = _functions_random if name == "bernoulli" else _functions_sampling
        return getattr(home, name)(self, *args, **kwargs)

    return method


def _creation(name: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        from intaglio import _functions_create

        return getattr(_functions_create, name)(self, *args, **kwargs)

    return method


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Any:
    return elementwise.where(condition, self, other)


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """The elements of `src`, broadcast and cast, written into this tensor."""
    value = (
        as_tensor_like(src, self.dtype) if not isinstance(src, Tensor) else cast(src, self.dtype)
    )
    return write(self, expand_to(value, tuple(self.shape)), "copy_")


def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element set to a number."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"fill_: a number is wanted, not {value._kind}")
    number = (
        value
        if isinstance(value, Tensor)
        else full(fitting("fill_", value, self.dtype), self._kind)
    )
    return copy_(self, number)


def zero_(self: Tensor) -> Tensor:
    """Every element set to 0."""
    return fill_(self, 0)


def detach_(self: Tensor) -> Tensor:
    """Taken off the tape: from now on a tensor as if made by the user."""
    self._node, self.requires_grad = None, False
    return self


def type_of(self: Tensor, dtype: Any = None) -> Any:
    """torch's name of the dtype, or this tensor in another dtype."""
    names = {"f32": "Float", "f64": "Double", "f16": "Half", "bf16": "BFloat16", "i64": "Long",
             "i32": "Int", "i16": "Short", "i8": "Char", "u8": "Byte", "bool": "Bool", "u32":
             "UInt32"}  # fmt: skip
    if dtype is None:
        return f"torch.{names[self.dtype.name]}Tensor"
    named = {f"{word}Tensor": name for name, word in names.items()}
    if isinstance(dtype, str) and (found := named.get(dtype.rpartition(".")[2])) is not None:
        return cast(self, dtypes.dtype_named(found))
    return cast(self, as_dtype(getattr(dtype, "dtype", dtype)))


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of another."""
    return cast(self, other.dtype)


def _share_memory(self: Tensor) -> Tensor:
    share = import_module("intaglio.multiprocessing").share_memory
    shared: Tensor = share(self)
    return shared


def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Summed over the dimensions that broadcasting from `size` would have repeated."""
    target = movement.sizes(size)
    more = self.ndim - len(target)
    axes = list(range(more)) + [
        k + more for k, s in enumerate(target) if s == 1 and self.shape[k + more] != 1
    ]
    made = reduce.sum(self, axes or None, True) if axes or not target else self
    return movement.reshape(made, *target)
