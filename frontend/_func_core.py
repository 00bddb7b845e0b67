"""What the functional transforms are made of: fresh leaves, derivatives of nests of tensors, and
the question whether a result must stay on the tape.

A transform differentiates with respect to leaves of its own. Its results stay on the tape exactly
when they depend on something else that requires grad as well: an argument that an outer transform
or the caller differentiates, or a tensor that the function closes over. That is read off the tape:
results that lead to the transform's own leaves alone are let go, and then the derivative is taken
without recording it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from intaglio._apply import one
from intaglio._backward import grad
from intaglio._core import Tensor, wrap
from intaglio._functions_create import zeros_like
from intaglio._functions_ranges import eye
from intaglio._structure import flatten, unflatten
from intaglio.compiler.errors import ArgumentError, GradientError, TraceError

Argnums = int | tuple[int, ...]


def tensors_of(nest: Any) -> list[Tensor]:
    """The tensors of a nest, in order."""
    return [x for x in flatten(nest)[0] if isinstance(x, Tensor)]


def fresh(nest: Any) -> Any:
    """The tensors of a nest as tensors of their own that require grad, still attached to what made
    them."""
    leaves, structure = flatten(nest)
    return unflatten(structure, [_attached(t) for t in leaves])


def _attached(x: Any) -> Any:
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        return x
    if x.requires_grad:
        return one("reshape", x, shape=tuple(x.shape))
    made = wrap(x._data, x._kind)
    made.requires_grad = True
    return made


def chosen(name: str, args: tuple[Any, ...], argnums: Argnums) -> tuple[list[Any], list[int]]:
    """The arguments with those numbered `argnums` fresh, and their numbers."""
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    if not numbers:
        raise ArgumentError(f"{name}: argnums is empty: nothing to differentiate by")
    for n in numbers:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            raise GradientError(f"{name}: argnums: {n} is not among {len(args)} arguments")
    numbers = [n % len(args) for n in numbers]
    if len(set(numbers)) != len(numbers):
        raise ArgumentError(f"{name}: argnums {tuple(argnums)} names an argument twice")  # type: ignore[arg-type]  # an int is not twice
    prepared = list(args)
    for n in numbers:
        prepared[n] = fresh(args[n])
    return prepared, numbers


def zeros(x: Tensor) -> Tensor:
    """Zeros of the kind of a tensor."""
    return zeros_like(x)


def depends_on_others(outputs: Iterable[Tensor], own: Iterable[Tensor]) -> bool:
    """Whether outputs lead on the tape to something other than `own`."""
    if any(t._node is not None for t in own):  # an argument is itself differentiated outside
        return True
    mine = {id(t) for t in own}
    stack: list[Any] = []
    for y in outputs:
        if y.requires_grad:
            stack.append(y if y._node is None else y._node)
    seen: set[int] = set()
    while stack:
        at = stack.pop()
        if id(at) in seen:
            continue
        seen.add(id(at))
        if isinstance(at, Tensor):
            if id(at) not in mine:
                return True
            continue
        stack += [edge[0] for edge in at.edges if edge is not None]
    return False


def released(nest: Any, keep: bool) -> Any:
    """The nest, off the tape unless it is to be kept there."""
    if keep:
        return nest
    leaves, structure = flatten(nest)
    return unflatten(structure, [t.detach() if isinstance(t, Tensor) else t for t in leaves])


def pulled(
    outputs: Sequence[Tensor],
    leaves: Sequence[Tensor],
    weights: Sequence[Tensor | None],
    record: bool,
) -> tuple[Tensor, ...]:
    """The derivatives of the leaves from those of the outputs; zeros where there are none."""
    for k, x in enumerate(leaves):
        if not x.requires_grad:
            raise GradientError(
                f"tensor {k} to differentiate by, {x._kind}, has no derivative; only floats do"
            )
    pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    if not pairs or not leaves:
        return tuple(zeros(x) for x in leaves)
    found = grad(
        [y for y, _ in pairs], list(leaves), [w for _, w in pairs], create_graph=record,
        retain_graph=True, materialize_grads=True,
    )  # fmt: skip
    return tuple(d for d in found if d is not None)


def regrouped(values: Sequence[Any], nests: Sequence[Any]) -> list[Any]:
    """Values for the tensors of some nests, in nests of the same shape (None for what is none)."""
    following = iter(values)
    made = []
    for nest in nests:
        leaves, structure = flatten(nest)
        filled = [next(following) if isinstance(x, Tensor) else None for x in leaves]
        made.append(unflatten(structure, filled))
    return made


def basis(name: str, x: Tensor) -> list[Tensor]:
    """The tensors of the kind of `x` that are 1 in one element, in order."""
    count = x.numel()
    if not isinstance(count, int):
        raise TraceError(
            f"{name}: {x._kind} has {count} elements: a Jacobian needs sizes that are known; trace"
            " with a fixed size"
        )
    rows = eye(count, dtype=x.dtype, device=x.device)
    return [rows[k].reshape(*x.shape) for k in range(count)]
