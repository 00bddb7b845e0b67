"""torch.autograd.functional's names: derivatives of functions of one tensor or a tuple of them.

Results have the shape of what was given: a tensor for a tensor, a tuple for a tuple; a Jacobian of
several outputs by several inputs is a tuple of tuples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from intaglio._backward import grad
from intaglio._core import Tensor
from intaglio._func_core import basis, fresh, zeros
from intaglio._functions_join import stack
from intaglio._modes import enable_grad
from intaglio.compiler.errors import ArgumentError, DTypeError, GradientError

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = tuple[Tensor, ...]


def _tuple(value: Any, what: str, name: str) -> tuple[Tensors, bool]:
    """A tensor or a tuple of tensors as a tuple, and whether it was one."""
    many = isinstance(value, tuple | list)
    made = tuple(value) if many else (value,)
    for k, t in enumerate(made):
        if not isinstance(t, Tensor):
            raise DTypeError(
                f"{name}: {what} must be a tensor or a tuple of tensors; number {k} is"
                f" {type(t).__name__}"
            )
    return made, many


def _shown(values: Sequence[Any], many: bool) -> Any:
    return tuple(values) if many else values[0]


def _prepare(name: str, inputs: Any, create_graph: bool) -> tuple[Tensors, bool]:
    made, many = _tuple(inputs, "inputs", name)
    for k, x in enumerate(made):
        if x.dtype.kind != "f":
            raise GradientError(f"{name}: input {k}, {x._kind}, has no derivative; only floats do")
    return tuple(fresh(x if create_graph else x.detach()) for x in made), many


def _called(name: str, func: Callable[..., Any], xs: Tensors) -> tuple[Tensors, bool]:
    return _tuple(func(*xs), "what the function gives", name)


def _directions(name: str, v: Any, like: Tensors, what: str) -> Tensors:
    """The given vectors, checked; ones for a single number where none is given."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise GradientError(
                f"{name}: v can be left out only where the {what} is a single number"
            )
        return (zeros(like[0]) + 1,)
    made, _ = _tuple(v, "v", name)
    if len(made) != len(like):
        raise GradientError(f"{name}: v has {len(made)} tensors for {len(like)} {what}s")
    for k, (t, x) in enumerate(zip(made, like, strict=True)):
        if tuple(t.shape) != tuple(x.shape):
            raise GradientError(f"{name}: v {k} is {t._kind}, but {what} {k} is {x._kind}")
    return made


def _derived(
    name: str, ys: Tensors, xs: Tensors, weights: Sequence[Tensor | None], record: bool,
    strict: bool,
) -> Tensors:  # fmt: skip
    """Derivatives by `xs`; where there is none: zeros, or an error if `strict`."""
    pairs = [(y, w) for y, w in zip(ys, weights, strict=True) if y.requires_grad]
    if strict and len(pairs) < len(ys):
        raise GradientError(f"{name}: strict, but an output does not depend on the inputs")
    found: Sequence[Tensor | None] = [None] * len(xs)
    if pairs:
        found = grad(
            [y for y, _ in pairs], xs, [w for _, w in pairs], retain_graph=True,
            create_graph=record, allow_unused=True,
        )  # fmt: skip
    made = []
    for k, (d, x) in enumerate(zip(found, xs, strict=True)):
        if strict and d is None:
            raise GradientError(f"{name}: strict, but the outputs do not depend on input {k}")
        if strict and record and d is not None and not d.requires_grad:
            raise GradientError(
                f"{name}: strict, but the derivative by input {k} does not depend on the inputs"
            )
        made.append(zeros(x) if d is None else d)
    return tuple(made)


def _released(values: Sequence[Tensor], create_graph: bool) -> Tensors:
    return tuple(v if create_graph else v.detach() for v in values)


def _number(name: str, ys: Tensors, many: bool) -> None:
    if many or ys[0].numel() != 1:
        raise GradientError(f"{name}: the function must give one tensor with a single number")


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs of `func`, and `v` times its Jacobian, in the shape of `inputs`."""
    with enable_grad():
        xs, many = _prepare("vjp", inputs, create_graph)
        ys, several = _called("vjp", func, xs)
        found = _derived("vjp", ys, xs, _directions("vjp", v, ys, "output"), create_graph, strict)
    return (
        _shown(_released(ys, create_graph), several),
        _shown(_released(found, create_graph), many),
    )


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs of `func`, and its Jacobian times `v`, in the shape of the outputs."""
    with enable_grad():
        xs, _ = _prepare("jvp", inputs, create_graph)
        ys, several = _called("jvp", func, xs)
        directions = _directions("jvp", v, xs, "input")
        found = _pushed("jvp", ys, xs, directions, create_graph, strict)
    return (
        _shown(_released(ys, create_graph), several),
        _shown(_released(found, create_graph), several),
    )


def _pushed(
    name: str, ys: Tensors, xs: Tensors, directions: Tensors, record: bool, strict: bool
) -> Tensors:
    """Forward mode: the reverse mode transposed."""
    weights = tuple(fresh(zeros(y)) for y in ys)
    back = _derived(name, ys, xs, weights, True, False)
    if strict:
        _derived(name, ys, xs, weights, False, True)
    return _derived(name, back, weights, directions, record, False)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian, [*output.shape, *input.shape], for each output and input. `vectorize` is
    accepted: rows are computed one at a time."""
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(f"jacobian: strategy is reverse-mode or forward-mode, not {strategy!r}")
    with enable_grad():
        xs, many = _prepare("jacobian", inputs, create_graph)
        ys, several = _called("jacobian", func, xs)
        parts = []
        for y in ys:
            rows = [
                _derived("jacobian", (y,), xs, (seed,), create_graph, strict)
                for seed in basis("jacobian", y)
            ]
            found = [
                (stack([r[k] for r in rows]) if rows else zeros(y)).reshape(*y.shape, *x.shape)
                for k, x in enumerate(xs)
            ]
            parts.append(_shown(_released(found, create_graph), many))
    return _shown(parts, several)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives, [*input.shape, *input.shape] for each pair of inputs, of a function
    to a single number."""
    _, many = _tuple(inputs, "inputs", "hessian")

    def first(*xs: Tensor) -> Tensors:
        value, several = _called("hessian", func, xs)
        _number("hessian", value, several)
        return _derived("hessian", value, xs, (None,), True, strict)

    given = tuple(inputs) if many else (inputs,)
    found = jacobian(first, given, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if many else found[0][0]


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The value of `func` (a single number), and `v` times its Hessian."""
    with enable_grad():
        xs, many = _prepare("vhp", inputs, create_graph)
        ys, several = _called("vhp", func, xs)
        _number("vhp", ys, several)
        directions = _directions("vhp", v, xs, "input")
        first = _derived("vhp", ys, xs, (None,), True, strict)
        found = _derived("vhp", first, xs, directions, create_graph, strict)
    return _released(ys, create_graph)[0], _shown(_released(found, create_graph), many)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The value of `func` (a single number), and its Hessian times `v`."""
    with enable_grad():
        xs, many = _prepare("hvp", inputs, create_graph)
        ys, several = _called("hvp", func, xs)
        _number("hvp", ys, several)
        directions = _directions("hvp", v, xs, "input")
        first = _derived("hvp", ys, xs, (None,), True, strict)
        found = _pushed("hvp", first, xs, directions, create_graph, strict)
    return _released(ys, create_graph)[0], _shown(_released(found, create_graph), many)
