"""Derivatives along directions: `vjp`, `jvp` and `linearize`.

Forward mode transposes the reverse mode: the map from cotangents to cotangents is linear, and the
derivative of that linear map, taken backwards, maps tangents to tangents. The values of the
cotangents are never used, so a branch masked by `where` brings no NaN, as in true forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from intaglio._core import Tensor
from intaglio._func_core import (
    depends_on_others,
    fresh,
    pulled,
    regrouped,
    released,
    tensors_of,
    zeros,
)
from intaglio._modes import enable_grad, modes
from intaglio._structure import flatten, unflatten
from intaglio.compiler.errors import ArgumentError, GradientError


def split_aux(name: str, made: Any, has_aux: bool) -> tuple[Any, Any]:
    """The result and what came with it."""
    if not has_aux:
        return made, None
    if not (isinstance(made, tuple) and len(made) == 2):
        raise ArgumentError(f"{name}: with has_aux the function gives a tuple (output, aux)")
    return made


def _outputs(name: str, output: Any) -> tuple[list[Tensor], Any]:
    leaves, structure = flatten(output)
    if not leaves or not all(isinstance(y, Tensor) for y in leaves):
        raise ArgumentError(f"{name}: the function must give tensors, not {type(output).__name__}")
    return leaves, structure


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The results of `func` and a function from their derivatives to those of the `primals` (a
    tuple of them for several); with `has_aux` also what came with the results."""
    outer = modes.grad
    with enable_grad():
        prepared = [fresh(p) for p in primals]
        output, aux = split_aux("vjp", func(*prepared), has_aux)
        leaves = tensors_of(prepared)
        ys, structure = _outputs("vjp", output)
        keep = outer and depends_on_others(ys, leaves)

    def pull(*cotangents: Any) -> Any:
        given = flatten(cotangents[0] if len(cotangents) == 1 else cotangents)[0]
        _check("vjp", ys, given, "cotangent", "output")
        record = keep or (modes.grad and any(w.requires_grad for w in given))
        with enable_grad():
            found = pulled(ys, leaves, given, record)
        return tuple(released(regrouped(found, prepared), record))

    shown = unflatten(structure, [released(y, keep) for y in ys])
    return (shown, pull, released(aux, keep)) if has_aux else (shown, pull)


def _check(name: str, wanted: Sequence[Tensor], given: Sequence[Any], what: str, of: str) -> None:
    if len(wanted) != len(given):
        raise ArgumentError(f"{name}: {len(given)} {what}s for {len(wanted)} {of}s")
    for k, (x, t) in enumerate(zip(wanted, given, strict=True)):
        if not isinstance(t, Tensor) or tuple(t.shape) != tuple(x.shape):
            shown = t._kind if isinstance(t, Tensor) else type(t).__name__
            raise GradientError(
                f"{name}: {what} {k} is {shown}, but {of} {k} is {x._kind}: the shapes must be"
                " equal"
            )


class Linear:
    """A function at a point: its results, and the linear map from changes of the arguments to
    changes of the results."""

    def __init__(
        self, name: str, func: Callable[..., Any], primals: Sequence[Any], has_aux: bool = False
    ) -> None:
        self.name, outer = name, modes.grad
        with enable_grad():
            prepared = [fresh(p) for p in primals]
            output, aux = split_aux(name, func(*prepared), has_aux)
            self.leaves = tensors_of(prepared)
            self.ys, self._structure = _outputs(name, output)
            self._keep = outer and depends_on_others(self.ys, self.leaves)
            self._live = [k for k, y in enumerate(self.ys) if y.requires_grad]
            self._weights = [fresh(zeros(self.ys[k])) for k in self._live]
            self._back = pulled([self.ys[k] for k in self._live], self.leaves, self._weights, True)
        self.output = unflatten(self._structure, [released(y, self._keep) for y in self.ys])
        self.aux = released(aux, self._keep)

    def push(self, tangents: Any) -> Any:
        """The change of the results along a change of the arguments."""
        given = flatten(tangents)[0]
        _check(self.name, self.leaves, given, "tangent", "primal")
        record = self._keep or (modes.grad and any(t.requires_grad for t in given))
        made = [zeros(y) for y in self.ys]
        with enable_grad():
            pairs = [(b, t) for b, t in zip(self._back, given, strict=True) if b.requires_grad]
            if pairs:
                found = pulled([b for b, _ in pairs], self._weights, [t for _, t in pairs], record)
                for k, change in zip(self._live, found, strict=True):
                    made[k] = change
        return unflatten(self._structure, [released(y, record) for y in made])


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """The results of `func` at `primals` and their change along `tangents`; with `has_aux` also
    what came with the results. With `strict` a result that depends on nothing is an error."""
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise ArgumentError("jvp: primals and tangents are tuples, one member per argument")
    linear = Linear("jvp", func, primals, has_aux)
    if strict and not all(y.requires_grad for y in linear.ys):
        raise GradientError("jvp: strict, but a result does not depend on the primals")
    change = linear.push(tangents)
    return (linear.output, change, linear.aux) if has_aux else (linear.output, change)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The results of `func` at `primals`, and the function from tangents to their change; `func`
    itself runs once, however often that is called."""
    linear = Linear("linearize", func, primals)
    return linear.output, lambda *tangents: linear.push(tangents)
