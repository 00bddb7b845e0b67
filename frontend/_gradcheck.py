"""Compares derivatives with finite differences, as torch's gradcheck does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from intaglio._backward import grad
from intaglio._core import Array, Tensor, wrap
from intaglio._modes import enable_grad, no_grad
from intaglio.compiler.errors import GradientError


def _tuple(made: Any) -> tuple[Tensor, ...]:
    parts = made if isinstance(made, tuple | list) else (made,)
    return tuple(p for p in parts if isinstance(p, Tensor) and p.dtype.kind == "f")


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
            sides.append([np.array(y._data, np.float64).reshape(-1) for y in function()])
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
            dx = None
            if y.requires_grad:
                (dx,) = grad(y, x, wrap(seed, y._kind), retain_graph=True, allow_unused=True)
            rows.append(np.zeros(x.numel()) if dx is None else np.array(dx._data).reshape(-1))
        jacobians.append(np.stack(rows) if rows else np.zeros((0, x.numel())))
    return jacobians


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **_: Any,
) -> bool:
    """Whether the derivatives of `func` at float64 `inputs` that require grad agree with central
    differences; raises `GradientError` with the first difference, or gives False."""
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    copies = tuple(_contiguous(a) if isinstance(a, Tensor) else a for a in args)

    def run() -> tuple[Tensor, ...]:
        with enable_grad():  # the function may take derivatives itself
            return _tuple(func(*copies))

    with enable_grad():
        outputs = _tuple(func(*copies))
    for number, x in enumerate(copies):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        pairs = zip(_analytic(outputs, x), _numeric(run, x, eps), strict=False)
        for m, (ours, numeric) in enumerate(pairs):
            if not np.allclose(ours, numeric, rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                raise GradientError(
                    f"gradcheck: d output {m} / d input {number} differs from finite differences by"
                    f" {np.abs(ours - numeric).max():.3g}\nours:\n{ours}\nnumeric:\n{numeric}"
                )
    return True


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
    **_: Any,
) -> bool:
    """`gradcheck` of the derivative of `func` weighted by fixed `grad_outputs`."""
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    with no_grad():
        outputs = _tuple(func(*args))
    generator = np.random.Generator(np.random.Philox(0))
    weights = [
        wrap(np.asarray(generator.standard_normal(tuple(y.shape))).astype(y.dtype.numpy), y._kind)
        for y in outputs
    ]
    if grad_outputs is not None:
        weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first(*xs: Any) -> tuple[Tensor, ...]:
        made = _tuple(func(*xs))
        pairs = [(y, w) for y, w in zip(made, weights, strict=True) if y.requires_grad]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        if not pairs:
            return ()
        found = grad(
            [y for y, _ in pairs], wanted, [w for _, w in pairs], create_graph=True,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return tuple(d for d in found if d is not None)

    return gradcheck(first, args, eps, atol, rtol, raise_exception)
