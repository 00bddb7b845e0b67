"""Functional transforms: functions from functions, in the manner of torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio._core import Tensor
from intaglio._func_core import (
    Argnums,
    chosen,
    depends_on_others,
    pulled,
    regrouped,
    released,
    tensors_of,
)
from intaglio._func_jacobian import hessian, jacfwd, jacrev
from intaglio._func_linear import jvp, linearize, split_aux, vjp
from intaglio._func_modules import functional_call, stack_module_state
from intaglio._modes import enable_grad, modes
from intaglio.compiler.errors import Error, GradientError

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "stack_module_state", "vjp", "vmap",
]  # fmt: skip


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the derivative of `func` (to a single number) by the arguments
    numbered `argnums`, and its value; with `has_aux`, `(derivative, (value, aux))`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        outer = modes.grad
        with enable_grad():
            prepared, numbers = chosen("grad", args, argnums)
            value, aux = split_aux("grad", func(*prepared, **kwargs), has_aux)
            if not isinstance(value, Tensor) or value.numel() != 1 or value.ndim:
                shown = value._kind if isinstance(value, Tensor) else type(value).__name__
                raise GradientError(
                    f"grad: the function must give a tensor without dimensions, not {shown};"
                    " reduce it, say by sum()"
                )
            nests = [prepared[n] for n in numbers]
            leaves = tensors_of(nests)
            keep = outer and depends_on_others([value], leaves)
            found = regrouped(pulled([value], leaves, [None], keep), nests)
        result = released(found[0] if isinstance(argnums, int) else tuple(found), keep)
        value = released(value, keep)
        return (result, (value, released(aux, keep))) if has_aux else (result, value)

    return call


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the derivative of `func` (to a single number) by the arguments
    numbered `argnums`; with `has_aux`, `(derivative, aux)`."""
    both = grad_and_value(func, argnums, has_aux)

    def call(*args: Any, **kwargs: Any) -> Any:
        found, rest = both(*args, **kwargs)
        return (found, rest[1]) if has_aux else found

    return call


def vmap(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Not there: raises `intaglio.Error`."""
    raise Error(
        "vmap: functions are not batched by themselves; write the function for a batch (its ops"
        " broadcast over leading dimensions), or stack the results of a loop over x.unbind()"
    )
