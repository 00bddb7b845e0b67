"""One line per public function that has a derivative: how to call it, at which numbers, and what
NumPy or SciPy gives there.

A name is that of the function below `ig` (`F.` stands for `nn.functional.`); one row serves all
names of the same function. `EXEMPT` holds the public functions without a derivative to check, by
reason. Inputs are tiny, and lie away from kinks, ties and integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import linalg, special

try:
    import scipy.special as sp
except ImportError:
    sp = None

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Row:
    """`call(*tensors)` at `inputs`; `reference(*arrays)` gives the value. `second`: it has a second
    derivative that agrees with finite differences; `native`: it compiles to machine code alone;
    `traced`: the shape of the result is known without the data."""

    call: Callable[..., Any]
    inputs: tuple[Array, ...]
    reference: Callable[..., Any] | None = None
    second: bool = True
    native: bool = True
    traced: bool = True


def real(*shape: int, low: float = -1.4, high: float = 1.6) -> Array:
    """Numbers between `low` and `high`, all different, no two shapes alike."""
    rng = np.random.default_rng([len(shape), *shape, int(100 * (high - low))])
    return rng.uniform(low, high, shape)


def above(*shape: int, low: float = 0.3, high: float = 2.2) -> Array:
    """Positive numbers."""
    return real(*shape, low=low, high=high)


def unit(*shape: int) -> Array:
    """Numbers between 0 and 1, not near either."""
    return real(*shape, low=0.1, high=0.9)


def spd(n: int) -> Array:
    """A symmetric positive definite matrix."""
    a = real(n, n)
    return a @ a.T + n * np.eye(n)


def regular(*shape: int) -> Array:
    """Matrices far from singular, with singular values far from each other."""
    return real(*shape) + 2 * np.arange(1, shape[-1] + 1) * np.eye(*shape[-2:])


def lower(n: int) -> Array:
    """A lower triangular matrix with a positive diagonal."""
    return np.tril(real(n, n), -1) + np.diag(above(n) + 1)


def np_softmax(x: Array, axis: int) -> Array:
    """exp(x) as parts of 1 along an axis."""
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


X, Y, Z, P, Q, V, W = (
    real(2, 3), real(2, 3, low=-1.2), real(2, 3, low=-0.9), above(2, 3), above(2, 3, high=1.9),
    real(4), real(5),
)  # fmt: skip
LINE, IMAGE, VOLUME = real(1, 2, 6), real(1, 2, 4, 4), real(1, 2, 4, 4, 4)
INDEX = ig.tensor([[1, 0, 1]])
PICK = ig.tensor([1, 0, 1])
CLASSES = ig.tensor([2, 0])
MASK = ig.tensor([[True, False, True], [False, True, True]])


def rows_of(module: Any, names: str, *inputs: Array, second: bool = True) -> dict[str, Row]:
    """Rows of functions of the given operands alone; references are NumPy's and SciPy's of the
    same name."""
    prefix = {F: "F.", linalg: "linalg.", special: "special."}.get(module, "")
    made = {}
    for name in names.split():
        theirs = {"acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh",
                  "atan": "arctan", "atanh": "arctanh", "atan2": "arctan2", "rad2deg": "rad2deg",
                  "pow": "power"}.get(name, name)  # fmt: skip
        reference = getattr(np, theirs, None) or getattr(sp, theirs, None)
        made[prefix + name] = Row(getattr(module, name), inputs, reference, second)
    return made


ELEMENTWISE = {
    **rows_of(ig, """abs asinh atan cos cosh deg2rad erf erfc exp exp2 expm1 neg rad2deg relu
        sigmoid sin sinh square tan tanh positive conj_physical clone i0 sinc nan_to_num selu celu
        hardshrink alias_copy conj""", X),
    **rows_of(ig, """log log10 log1p log2 sqrt rsqrt reciprocal lgamma digamma acosh""", P + 1),
    **rows_of(ig, "acos asin atanh erfinv logit", unit(2, 3)),
    **rows_of(ig, "ceil floor fix frac round sgn", X),
    **rows_of(ig, "add sub mul maximum minimum fmax fmin logaddexp logaddexp2 hypot atan2", X, Y),
    **rows_of(ig, "copysign rsub", X, Y),
    **rows_of(ig, "div true_divide fmod remainder xlogy", X, P),
    **rows_of(ig, "pow float_power", P, X),
    **rows_of(ig, "igamma igammac", P, Q),
    "floor_divide": Row(ig.floor_divide, (X, P), np.floor_divide),
    "ldexp": Row(lambda x: ig.ldexp(x, ig.tensor(2)), (X,), lambda x: np.ldexp(x, 2)),
    "heaviside": Row(lambda x: ig.heaviside(x, ig.ones_like(x)) + x, (X,)),
    "clamp": Row(lambda x: ig.clamp(x, -1, 1), (X,), lambda x: np.clip(x, -1, 1)),
    "clamp_min": Row(lambda x: ig.clamp_min(x, 0.2), (X,), lambda x: np.maximum(x, 0.2)),
    "clamp_max": Row(lambda x: ig.clamp_max(x, 0.2), (X,), lambda x: np.minimum(x, 0.2)),
    "lerp": Row(ig.lerp, (X, Y, Z), lambda x, y, w: x + w * (y - x)),
    "addcmul": Row(
        lambda x, y, z: ig.addcmul(x, y, z, value=2), (X, Y, Z), lambda x, y, z: x + 2 * y * z
    ),
    "addcdiv": Row(
        lambda x, y, z: ig.addcdiv(x, y, z, value=2), (X, Y, P), lambda x, y, z: x + 2 * y / z
    ),
    "where": Row(lambda x, y: ig.where(MASK, x, y), (X, Y)),
    "masked_fill": Row(lambda x: ig.masked_fill(x, MASK, 3.0), (X,)),
    "polygamma": Row(lambda x: ig.polygamma(1, x), (P,), sp and (lambda x: sp.polygamma(1, x))),
    "mvlgamma": Row(lambda x: ig.mvlgamma(x, 2), (P + 1,),
                    sp and (lambda x: np.vectorize(lambda v: sp.multigammaln(v, 2))(x))),
    "frexp": Row(lambda x: ig.frexp(x)[0], (X,), lambda x: np.frexp(x)[0]),
    "angle": Row(lambda x: ig.angle(x) + x, (X,)),
    "threshold": Row(lambda x: ig.threshold(x, 0.1, -2.0), (X,)),
    "prelu": Row(ig.prelu, (real(2, 3), np.array([0.3])), lambda x, w: np.where(x > 0, x, w * x)),
}  # fmt: skip

POLYNOMIALS = """
    chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
    hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
    shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
    shifted_chebyshev_polynomial_w"""
SPECIAL = {
    **rows_of(special, """airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 entr erfcx i0e i1 i1e
        log_ndtr modified_bessel_k0 modified_bessel_k1 ndtr scaled_modified_bessel_k0
        scaled_modified_bessel_k1 spherical_bessel_j0""", P),
    **{
        f"special.{name}": Row((lambda f: lambda x: f(x, 3))(getattr(special, name)),
                               (unit(2, 3),))
        for name in POLYNOMIALS.split()
    },
    **rows_of(special, "ndtri", unit(2, 3)),
    **rows_of(special, "xlog1py", X, P),
    "special.zeta": Row(lambda q: special.zeta(ig.tensor(2.5, dtype=ig.float64), q), (P + 1,),
                        sp and (lambda q: sp.zeta(2.5, q))),
}  # fmt: skip

REDUCTIONS = {
    "sum": Row(lambda x: ig.sum(x, 1), (X,), lambda x: x.sum(1)),
    "mean": Row(lambda x: ig.mean(x, 0), (X,), lambda x: x.mean(0)),
    "prod": Row(lambda x: ig.prod(x, 1), (X,), lambda x: x.prod(1)),
    "nansum": Row(lambda x: ig.nansum(x, 1), (X,), lambda x: x.sum(1)),
    "nanmean": Row(lambda x: ig.nanmean(x, 1), (X,), lambda x: x.mean(1)),
    "var": Row(lambda x: ig.var(x, 1), (X,), lambda x: x.var(1, ddof=1)),
    "std": Row(lambda x: ig.std(x, 1), (X,), lambda x: x.std(1, ddof=1)),
    "var_mean": Row(lambda x: ig.var_mean(x, 1), (X,)),
    "std_mean": Row(lambda x: ig.std_mean(x, 1), (X,)),
    "max": Row(lambda x: ig.max(x, 1).values, (X,), lambda x: x.max(1)),
    "min": Row(lambda x: ig.min(x, 1).values, (X,), lambda x: x.min(1)),
    "amax": Row(lambda x: ig.amax(x, 1), (X,), lambda x: x.max(1)),
    "amin": Row(lambda x: ig.amin(x, 1), (X,), lambda x: x.min(1)),
    "aminmax": Row(lambda x: tuple(ig.aminmax(x, dim=1)), (X,)),
    "logsumexp": Row(lambda x: ig.logsumexp(x, 1), (X,), lambda x: np.log(np.exp(x).sum(1))),
    "norm": Row(lambda x: ig.norm(x, 2, 1), (X,), lambda x: np.linalg.norm(x, axis=1)),
    "norm_except_dim": Row(lambda x: ig.norm_except_dim(x, 2, 0), (X,)),
    "dist": Row(ig.dist, (X, Y), lambda x, y: np.linalg.norm(x - y)),
    "median": Row(lambda x: ig.median(x, 1).values, (X,), lambda x: np.median(x, 1)),
    "nanmedian": Row(lambda x: ig.nanmedian(x, 1).values, (X,), lambda x: np.median(x, 1)),
    "mode": Row(lambda x: ig.mode(x, 1).values, (X,), lambda x: x.min(1)),
    "kthvalue": Row(lambda x: ig.kthvalue(x, 2, 1).values, (X,), lambda x: np.sort(x, 1)[:, 1]),
    "quantile": Row(lambda x: ig.quantile(x, 0.3, 1), (X,), lambda x: np.quantile(x, 0.3, 1)),
    "nanquantile": Row(lambda x: ig.nanquantile(x, 0.3, 1), (X,),
                       lambda x: np.quantile(x, 0.3, 1)),
    "trace": Row(ig.trace, (real(3, 3),), np.trace),
    "renorm": Row(lambda x: ig.renorm(x, 2, 0, 0.5), (X,)),
    "frobenius_norm": Row(lambda x: ig.frobenius_norm(x, [0, 1]), (X,), np.linalg.norm),
    "nuclear_norm": Row(ig.nuclear_norm, (regular(3, 3),), lambda x: np.linalg.norm(x, "nuc"),
                        native=False),
}  # fmt: skip

PREFIXES = {
    "cumsum": Row(lambda x: ig.cumsum(x, 1), (X,), lambda x: x.cumsum(1)),
    "cumprod": Row(lambda x: ig.cumprod(x, 1), (X,), lambda x: x.cumprod(1)),
    "cummax": Row(lambda x: ig.cummax(x, 1).values, (X,), lambda x: np.maximum.accumulate(x, 1)),
    "cummin": Row(lambda x: ig.cummin(x, 1).values, (X,), lambda x: np.minimum.accumulate(x, 1)),
    "logcumsumexp": Row(lambda x: ig.logcumsumexp(x, 1), (X,),
                        lambda x: np.logaddexp.accumulate(x, 1)),
    "sort": Row(lambda x: ig.sort(x, 1).values, (X,), lambda x: np.sort(x, 1)),
    "msort": Row(ig.msort, (X,), lambda x: np.sort(x, 0)),
    "topk": Row(lambda x: ig.topk(x, 2, 1).values, (X,), lambda x: -np.sort(-x, 1)[:, :2]),
    "diff": Row(ig.diff, (X,), np.diff),
    "gradient": Row(lambda x: ig.gradient(x), (real(3, 4),), np.gradient),
    "trapezoid": Row(lambda x: ig.trapezoid(x, dim=1), (X,),
                     getattr(np, "trapezoid", None) or getattr(np, "trapz", None)),
    "cumulative_trapezoid": Row(lambda x: ig.cumulative_trapezoid(x, dim=1), (X,)),
    "scan": Row(lambda x: ig.scan(lambda c, v: (c * v, c + v), ig.ones(3, dtype=ig.float64), x),
                (X,)),
}  # fmt: skip

MOVEMENTS = {
    name: Row(call, (X,), reference)
    for name, call, reference in (
        ("reshape", lambda x: ig.reshape(x, (3, 2)), lambda x: x.reshape(3, 2)),
        ("permute", lambda x: ig.permute(x, (1, 0)), np.transpose),
        ("permute_copy", lambda x: ig.permute_copy(x, (1, 0)), np.transpose),
        ("transpose", lambda x: ig.transpose(x, 0, 1), np.transpose),
        ("transpose_copy", lambda x: ig.transpose_copy(x, 0, 1), np.transpose),
        ("t", ig.t, np.transpose), ("t_copy", ig.t_copy, np.transpose),
        ("adjoint", ig.adjoint, np.transpose),
        ("movedim", lambda x: ig.movedim(x, 0, 1), np.transpose),
        ("flatten", ig.flatten, np.ravel), ("ravel", ig.ravel, np.ravel),
        ("unflatten", lambda x: ig.unflatten(x, 1, (3, 1)), lambda x: x[..., None]),
        ("squeeze", lambda x: ig.squeeze(x[:1]), lambda x: x[0]),
        ("squeeze_copy", lambda x: ig.squeeze_copy(x[:1]), lambda x: x[0]),
        ("unsqueeze", lambda x: ig.unsqueeze(x, 1), lambda x: x[:, None]),
        ("unsqueeze_copy", lambda x: ig.unsqueeze_copy(x, 1), lambda x: x[:, None]),
        ("broadcast_to", lambda x: ig.broadcast_to(x, (2, 2, 3)), lambda x: np.stack([x, x])),
        ("expand_copy", lambda x: ig.expand_copy(x, (2, 2, 3)), lambda x: np.stack([x, x])),
        ("broadcast_tensors", lambda x: ig.broadcast_tensors(x, x[:1]), None),
        ("tile", lambda x: ig.tile(x, (2, 1)), lambda x: np.tile(x, (2, 1))),
        ("repeat_interleave", lambda x: ig.repeat_interleave(x, 2, 1), lambda x: x.repeat(2, 1)),
        ("flip", lambda x: ig.flip(x, (1,)), lambda x: x[:, ::-1]),
        ("fliplr", ig.fliplr, np.fliplr), ("flipud", ig.flipud, np.flipud),
        ("rot90", ig.rot90, np.rot90),
        ("roll", lambda x: ig.roll(x, 1, 1), lambda x: np.roll(x, 1, 1)),
        ("narrow", lambda x: ig.narrow(x, 1, 1, 2), lambda x: x[:, 1:]),
        ("narrow_copy", lambda x: ig.narrow_copy(x, 1, 1, 2), lambda x: x[:, 1:]),
        ("select", lambda x: ig.select(x, 1, 2), lambda x: x[:, 2]),
        ("select_copy", lambda x: ig.select_copy(x, 1, 2), lambda x: x[:, 2]),
        ("slice", lambda x: ig.slice(x, 1, 1, 3), lambda x: x[:, 1:]),
        ("slice_copy", lambda x: ig.slice_copy(x, 1, 1, 3), lambda x: x[:, 1:]),
        ("unbind", ig.unbind, None), ("unbind_copy", ig.unbind_copy, None),
        ("split", lambda x: ig.split(x, 2, 1), None),
        ("split_copy", lambda x: ig.split_copy(x, 2, 1), None),
        ("split_with_sizes", lambda x: ig.split_with_sizes(x, [1, 2], 1), None),
        ("split_with_sizes_copy", lambda x: ig.split_with_sizes_copy(x, [1, 2], 1), None),
        ("unsafe_split", lambda x: ig.unsafe_split(x, 2, 1), None),
        ("unsafe_split_with_sizes", lambda x: ig.unsafe_split_with_sizes(x, [1, 2], 1), None),
        ("chunk", lambda x: ig.chunk(x, 2, 1), None),
        ("unsafe_chunk", lambda x: ig.unsafe_chunk(x, 2, 1), None),
        ("tensor_split", lambda x: ig.tensor_split(x, 2, 1), None),
        ("hsplit", lambda x: ig.hsplit(x, 3), None), ("vsplit", lambda x: ig.vsplit(x, 2), None),
        ("dsplit", lambda x: ig.dsplit(x.reshape(1, 3, 2), 2), None),
        ("as_strided", lambda x: ig.as_strided(x * 1, (2, 2), (3, 2)), lambda x: x[:, ::2]),
        ("as_strided_copy", lambda x: ig.as_strided_copy(x * 1, (2, 2), (3, 2)),
         lambda x: x[:, ::2]),
        ("unfold_copy", lambda x: ig.unfold_copy(x, 1, 2, 1), None),
        ("view_copy", lambda x: ig.view_copy(x, (3, 2)), lambda x: x.reshape(3, 2)),
        ("atleast_1d", ig.atleast_1d, None), ("atleast_2d", ig.atleast_2d, None),
        ("atleast_3d", ig.atleast_3d, np.atleast_3d),
        ("tril", ig.tril, np.tril), ("triu", ig.triu, np.triu),
        ("diagonal", ig.diagonal, np.diagonal),
        ("diagonal_copy", ig.diagonal_copy, np.diagonal),
        ("diag", ig.diag, np.diag), ("diag_embed", ig.diag_embed, None),
        ("diagflat", ig.diagflat, np.diagflat),
        ("fill", lambda x: ig.fill(x, 2.0) + x, None),
        ("constant_pad", lambda x: ig.constant_pad(x, (1, 0), 2.0), None),
        ("pad_by_index", lambda x: ig.pad_by_index(x, (1, 1), "reflect"),
         lambda x: np.pad(x, ((0, 0), (1, 1)), "reflect")),
        ("meshgrid", lambda x: ig.meshgrid(x[0], x[1], indexing="ij"), None),
        ("cartesian_prod", lambda x: ig.cartesian_prod(x[0], x[1]), None),
        ("combinations", lambda x: ig.combinations(x[0]), None),
        ("vander", lambda x: ig.vander(x[0]), lambda x: np.vander(x[0])),
        ("dynamic_slice", lambda x: ig.dynamic_slice(x, ig.tensor([0, 1]), (2, 2)),
         lambda x: x[:, 1:]),
        ("linalg.diagonal", linalg.diagonal, np.diagonal),
        ("linalg.vander", lambda x: linalg.vander(x[0]),
         lambda x: np.vander(x[0], increasing=True)),
    )
}  # fmt: skip

JOINS: dict[str, Row] = {
    name: Row((lambda f: lambda x, y: f((x, y)))(getattr(ig, name)), (X, Y),
              (lambda f: lambda x, y: f((x, y)))(reference) if reference else None)
    for name, reference in (
        ("cat", np.concatenate), ("stack", np.stack), ("hstack", np.hstack), ("vstack", np.vstack),
        ("dstack", np.dstack), ("column_stack", np.column_stack),
    )
} | {"block_diag": Row(ig.block_diag, (X, Y))}  # fmt: skip

INDEXING = {
    "gather": Row(lambda x: ig.gather(x, 0, INDEX), (X,)),
    "take": Row(lambda x: ig.take(x, PICK), (X,), lambda x: x.ravel()[[1, 0, 1]]),
    "take_along_dim": Row(lambda x: ig.take_along_dim(x, INDEX, 0), (X,)),
    "take_rows": Row(lambda x: ig.take_rows(x, PICK), (X,), lambda x: x[[1, 0, 1]]),
    "index_select": Row(lambda x: ig.index_select(x, 0, PICK), (X,), lambda x: x[[1, 0, 1]]),
    "index_add": Row(lambda x, y: ig.index_add(x, 1, PICK, y), (X, Y)),
    "index_copy": Row(lambda x, y: ig.index_copy(x, 1, PICK[:2], y[:, :2]), (X, Y)),
    "index_fill": Row(lambda x: ig.index_fill(x, 1, PICK, 2.0), (X,)),
    "index_put": Row(lambda x, y: ig.index_put(x, (PICK,), y[:1].expand(3, 3), accumulate=True),
                     (X, Y)),
    "index_reduce": Row(lambda x, y: ig.index_reduce(x, 1, PICK, y, "mean"), (X, Y)),
    "masked_scatter": Row(lambda x, y: ig.masked_scatter(x, MASK, y), (X, Y)),
    "put": Row(lambda x, y: ig.put(x, PICK[:2], y[0, :2]), (X, Y)),
    "scatter": Row(lambda x, y: ig.scatter(x, 0, INDEX, y[:1]), (X, Y)),
    "scatter_add": Row(lambda x, y: ig.scatter_add(x, 0, INDEX, y[:1]), (X, Y)),
    "scatter_reduce": Row(lambda x, y: ig.scatter_reduce(x, 0, INDEX, y[:1], "amax"), (X, Y)),
    "segment_reduce": Row(
        lambda x: ig.segment_reduce(x, "sum", lengths=ig.tensor([1, 1]), axis=0), (X,)),
    "select_scatter": Row(lambda x, y: ig.select_scatter(x, y[0], 0, 1), (X, Y)),
    "slice_scatter": Row(lambda x, y: ig.slice_scatter(x, y[:, :2], 1, 0, 2), (X, Y)),
    "diagonal_scatter": Row(lambda x, y: ig.diagonal_scatter(x, y[0, :2]), (X, Y)),
    "as_strided_scatter": Row(
        lambda x, y: ig.as_strided_scatter(x * 1, y[:, :2] * 1, (2, 2), (3, 2)), (X, Y)),
    "dynamic_update_slice": Row(
        lambda x, y: ig.dynamic_update_slice(x, y[:1, :2], ig.tensor([1, 1])), (X, Y)),
    "embedding": Row(lambda w: ig.embedding(w, PICK), (X,), lambda w: w[[1, 0, 1]]),
    "F.embedding": Row(lambda w: F.embedding(PICK, w), (X,), lambda w: w[[1, 0, 1]]),
    "masked_select": Row(lambda x: ig.masked_select(x, MASK), (X,), traced=False),
    "F.embedding_bag": Row(lambda w: F.embedding_bag(ig.tensor([[1, 0], [1, 1]]), w), (X,)),
}  # fmt: skip
