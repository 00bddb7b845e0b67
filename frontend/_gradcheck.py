"""Compares derivatives with finite differences, as torch's gradcheck does.

Slowly: the whole Jacobian, row by row in reverse and column by column by central differences. In
`fast_mode`: one number per output, the Jacobian between a random direction of the inputs and one of
the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio._backward import grad
from intaglio._core import Array, Tensor, wrap
from intaglio._modes import enable_grad, no_grad
from intaglio.compiler.errors import ArgumentError, GradientError


def _tuple(made: Any) -> tuple[Tensor, ...]:
    parts = made if isinstance(made, tuple | list) else (made,)
    return tuple(p for p in parts if isinstance(p, Tensor) and p.dtype.kind == "f")


def _array(y: Tensor) -> Array:
    return np.array(y._data, np.float64).reshape(-1)


def _numeric(function: Callable[[], tuple[Tensor, ...]], x: Tensor, eps: float) -> list[Array]:
    """Jacobians [outputs, inputs] by central differences, one input element at a time."""
    data = x._data
    flat = data.reshape(-1)
    columns: list[list[Array]] = []
    for k in range(flat.size):
        before = flat[k]
        sides = []
        for step in (eps, -eps):
            flat[k] = before + step
            sides.append([_array(y) for y in function()])
        flat[k] = before
        columns.append([(a - b) / (2 * eps) for a, b in zip(*sides, strict=True)])
    if not columns:
        return []
    return [np.stack([c[m] for c in columns], -1) for m in range(len(columns[0]))]


def _analytic(outputs: tuple[Tensor, ...], x: Tensor) -> list[Array]:
    jacobians = []
    for y in outputs:
        rows = []
        for k in range(y.numel()):
            seed = np.zeros(tuple(y.shape), y.dtype.numpy)
            seed.reshape(-1)[k] = 1
            rows.append(_pulled(y, x, seed))
        jacobians.append(np.stack(rows) if rows else np.zeros((0, x.numel())))
    return jacobians


def _pulled(y: Tensor, x: Tensor, seed: Array) -> Array:
    if not y.requires_grad:
        return np.zeros(x.numel())
    (dx,) = grad(y, x, wrap(seed, y._kind), retain_graph=True, allow_unused=True)
    if dx is not None and dx._kind is not x._kind:
        raise GradientError(f"gradcheck: the derivative of {x._kind} is {dx._kind}")
    return np.zeros(x.numel()) if dx is None else _array(dx)


@dataclass(frozen=True)
class _Check:
    """How derivatives are compared, and what is said when they differ."""

    eps: float
    atol: float
    rtol: float
    raises: bool
    nondet: float

    def equal(self, what: str, ours: Array, numeric: Array) -> bool:
        """Whether two arrays agree; raises where that is wanted."""
        if np.allclose(ours, numeric, rtol=self.rtol, atol=self.atol):
            return True
        difference = np.abs(ours - numeric).max()
        return self.failed(
            f"{what} differs from finite differences by {difference:.3g}\nours:\n{ours}\n"
            f"numeric:\n{numeric}"
        )

    def failed(self, text: str) -> bool:
        """False, or the error."""
        if self.raises:
            raise GradientError(f"gradcheck: {text}")
        return False

    def whole(
        self, number: int, x: Tensor, outputs: tuple[Tensor, ...], run: Callable[[], Any]
    ) -> bool:
        """Compare all Jacobians by one input."""
        found = _analytic(outputs, x)
        numeric = _numeric(run, x, self.eps)
        for m, (ours, theirs) in enumerate(zip(found, numeric, strict=False)):
            if not self.equal(f"d output {m} / d input {number}", ours, theirs):
                return False
        again = _analytic(outputs, x)
        for m, (a, b) in enumerate(zip(found, again, strict=True)):
            if a.size and not np.allclose(a, b, rtol=0, atol=self.nondet, equal_nan=True):
                return self.failed(
                    f"d output {m} / d input {number} came out differently a second time, by"
                    f" {np.abs(a - b).max():.3g} (nondet_tol={self.nondet:g})"
                )
        return True

    def projected(
        self, wanted: Sequence[Tensor], outputs: tuple[Tensor, ...], run: Callable[[], Any]
    ) -> bool:
        """Compare one number per output."""
        generator = np.random.Generator(np.random.Philox(1))
        steps = [_unit(generator, x.numel()) for x in wanted]
        before = [x._data.copy() for x in wanted]
        sides = []
        for sign in (self.eps, -self.eps):
            for x, start, step in zip(wanted, before, steps, strict=True):
                x._data[...] = start + sign * step.reshape(start.shape)
            sides.append([_array(y) for y in run()])
        for x, start in zip(wanted, before, strict=True):
            x._data[...] = start
        for m, (y, high, low) in enumerate(zip(outputs, *sides, strict=True)):
            u = _unit(generator, y.numel())
            seed = u.reshape(tuple(y.shape)).astype(y.dtype.numpy)
            pairs = zip(wanted, steps, strict=True)
            ours = np.array(sum(float(_pulled(y, x, seed) @ step) for x, step in pairs))
            numeric = np.array(u @ (high - low) / (2 * self.eps))
            if not self.equal(f"a projection of d output {m} / d inputs", ours, numeric):
                return False
        return True

    def forward(
        self, func: Callable[..., Any], args: Sequence[Any], run: Callable[[], Any]
    ) -> bool:
        """Compare forward mode along each input's elements."""
        from intaglio._func_core import basis
        from intaglio._func_linear import Linear

        places = [k for k, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]

        def of_wanted(*xs: Tensor) -> Any:
            given = list(args)
            for k, x in zip(places, xs, strict=True):
                given[k] = x
            return _tuple(func(*given))

        linear = Linear("gradcheck", of_wanted, [args[k].detach() for k in places])
        for n, k in enumerate(places):
            numeric = _numeric(run, args[k], self.eps)
            for column, direction in enumerate(basis("gradcheck", args[k].detach())):
                zeros = [args[p].detach() * 0 for p in places]
                zeros[n] = direction
                for m, change in enumerate(linear.push(zeros)):
                    what = f"forward mode: d output {m} / d input {k}"
                    if not self.equal(what, _array(change), numeric[m][:, column]):
                        return False
        return True


def _unit(generator: np.random.Generator, count: int) -> Array:
    """A random direction."""
    made = generator.standard_normal(count)
    return made / (np.linalg.norm(made) or 1.0)


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    *,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the derivatives of `func` at float64 `inputs` that require grad agree with central
    differences; raises `GradientError` with the first difference, or gives False.

    `eps` is the step, `atol` and `rtol` bound the difference; derivatives taken twice may differ by
    `nondet_tol`. `fast_mode` compares random projections, `check_forward_ad` forward mode too.
    Outputs are differentiated one at a time, so derivatives that are not given are checked anyway,
    and so are dtypes; batched derivatives are not there."""
    if check_batched_grad or check_batched_forward_grad:
        raise ArgumentError("gradcheck: batched derivatives are not there, nor is vmap")
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    copies = tuple(_contiguous(a) if isinstance(a, Tensor) else a for a in args)
    wanted = [x for x in copies if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ArgumentError("gradcheck: at least one input must require grad")
    check = _Check(eps, atol, rtol, raise_exception, nondet_tol)

    def run() -> tuple[Tensor, ...]:
        with enable_grad():  # the function may take derivatives itself
            return _tuple(func(*copies))

    if check_backward_ad:
        outputs = run()
        if fast_mode:
            if not check.projected(wanted, outputs, run):
                return False
        else:
            leaves = [(n, x) for n, x in enumerate(copies) if any(x is w for w in wanted)]
            if not all(check.whole(number, x, outputs, run) for number, x in leaves):
                return False
    return not check_forward_ad or check.forward(func, copies, run)


def _contiguous(x: Tensor) -> Tensor:
    made = wrap(np.array(x._data, order="C"), x._kind)
    made.requires_grad = x.requires_grad
    return made


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Any = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    *,
    gen_non_contig_grad_outputs: bool = False,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the derivative of `func` weighted by `grad_outputs` (drawn at random where
    none are given), by the inputs and by those weights."""
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    with no_grad():
        outputs = _tuple(func(*args))
    generator = np.random.Generator(np.random.Philox(0))
    weights = [_weight(generator, y, gen_non_contig_grad_outputs) for y in outputs]
    if grad_outputs is not None:
        weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first(*given: Any) -> tuple[Tensor, ...]:
        xs, ws = given[: len(args)], given[len(args) :]
        made = _tuple(func(*xs))
        pairs = [(y, w) for y, w in zip(made, ws, strict=True) if y.requires_grad]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        if not pairs:
            return ()
        found = grad(
            [y for y, _ in pairs], wanted, [w for _, w in pairs], create_graph=True,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return tuple(d for d in found if d is not None)

    return gradcheck(
        first, (*args, *weights), eps, atol, rtol, raise_exception, nondet_tol=nondet_tol,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, fast_mode=fast_mode,
    )  # fmt: skip


def _weight(generator: np.random.Generator, y: Tensor, spread: bool) -> Tensor:
    """A random weight of an output that requires grad; every other element of memory if wanted."""
    shape = tuple(y.shape)
    room = (*shape[:-1], 2 * shape[-1]) if spread and shape else shape
    drawn = np.asarray(generator.standard_normal(room)).astype(y.dtype.numpy)
    made = wrap(drawn[..., ::2] if spread and shape else drawn, y._kind)
    made.requires_grad = True
    return made
