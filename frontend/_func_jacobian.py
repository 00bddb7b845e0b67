"""Whole matrices of derivatives: `jacrev`, `jacfwd` and `hessian`.

For results and arguments in nests, the Jacobian is a nest of the results' shape whose members are
nests of the arguments' shape, each leaf [*output.shape, *input.shape]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio._core import Tensor
from intaglio._func_core import (
    Argnums,
    basis,
    chosen,
    depends_on_others,
    pulled,
    regrouped,
    released,
    tensors_of,
    zeros,
)
from intaglio._func_linear import Linear, split_aux
from intaglio._functions_join import stack
from intaglio._modes import enable_grad, modes
from intaglio._structure import flatten, unflatten
from intaglio.compiler.errors import ArgumentError


def _stacked(rows: list[Tensor], like: Tensor, shape: tuple[Any, ...], dim: int) -> Tensor:
    """Rows or columns put together; an empty Jacobian where there is none."""
    made = stack(rows, dim) if rows else zeros(like).reshape(-1)
    return made.reshape(*shape)


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that gives the Jacobian, [*output.shape, *input.shape], row by row in reverse.
    `chunk_size` is accepted: one row is computed at a time."""
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"jacrev: chunk_size must be positive, not {chunk_size}")

    def call(*args: Any, **kwargs: Any) -> Any:
        outer = modes.grad
        with enable_grad():
            prepared, numbers = chosen("jacrev", args, argnums)
            made, aux = split_aux("jacrev", func(*prepared, **kwargs), has_aux)
            nests = [prepared[n] for n in numbers]
            leaves = tensors_of(nests)
            outputs, structure = flatten(made)
            if not outputs or not all(isinstance(y, Tensor) for y in outputs):
                raise ArgumentError("jacrev: the function must give tensors")
            keep = outer and depends_on_others(outputs, leaves)
            parts = []
            for y in outputs:
                rows: list[list[Tensor]] = [[] for _ in leaves]
                for seed in basis("jacrev", y):
                    for row, d in zip(rows, pulled([y], leaves, [seed], keep), strict=True):
                        row.append(d)
                shaped = [
                    _stacked(r, x, (*y.shape, *x.shape), 0)
                    for r, x in zip(rows, leaves, strict=True)
                ]
                found = regrouped(shaped, nests)
                parts.append(found[0] if isinstance(argnums, int) else tuple(found))
        result = released(unflatten(structure, parts), keep)
        return (result, released(aux, keep)) if has_aux else result

    return call


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """A function that gives the Jacobian, [*output.shape, *input.shape], column by column forward;
    `func` runs once. `randomness` is accepted: nothing is drawn more than once."""
    if randomness not in ("error", "different", "same"):
        raise ArgumentError(f"jacfwd: randomness is error, different or same, not {randomness!r}")

    def call(*args: Any, **kwargs: Any) -> Any:
        _, numbers = chosen("jacfwd", args, argnums)

        def of_chosen(*xs: Any) -> Any:
            given = list(args)
            for n, x in zip(numbers, xs, strict=True):
                given[n] = x
            return func(*given, **kwargs)

        nests = [args[n] for n in numbers]
        linear = Linear("jacfwd", of_chosen, nests, has_aux)
        leaves = linear.leaves
        columns: list[list[list[Tensor]]] = [[[] for _ in leaves] for _ in linear.ys]
        for number, x in enumerate(leaves):
            for direction in basis("jacfwd", x):
                tangents = [direction if k == number else zeros(t) for k, t in enumerate(leaves)]
                for part, change in zip(columns, flatten(linear.push(tangents))[0], strict=True):
                    part[number].append(change.reshape(-1))
        parts = []
        for y, part in zip(linear.ys, columns, strict=True):
            shaped = [
                _stacked(c, y, (*y.shape, *x.shape), 1) for c, x in zip(part, leaves, strict=True)
            ]
            found = regrouped(shaped, nests)
            parts.append(found[0] if isinstance(argnums, int) else tuple(found))
        result = unflatten(flatten(linear.output)[1], parts)
        return (result, linear.aux) if has_aux else result

    return call


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives, [*output.shape, *input.shape, *input.shape];
    for a function to a single number its Hessian."""
    return jacrev(jacrev(func, argnums), argnums)
