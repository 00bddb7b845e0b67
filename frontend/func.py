"""Functional transforms: functions from functions, in the manner of torch.func."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any

from intaglio._backward import grad as _grad
from intaglio._core import Tensor, wrap
from intaglio._functions_join import stack
from intaglio._functions_ranges import eye
from intaglio._modes import enable_grad
from intaglio._structure import flatten, unflatten
from intaglio.compiler.errors import ArgumentError, GradientError

Argnums = int | tuple[int, ...]


def _fresh(x: Any) -> Any:
    """The tensors of a nest as new leaves that require grad, still attached to what made them."""
    leaves, structure = flatten(x)
    return unflatten(structure, [_attached(t) for t in leaves])


def _attached(x: Any) -> Any:
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        return x
    if x.requires_grad:
        from intaglio._apply import one

        return one("reshape", x, shape=tuple(x.shape))
    made = wrap(x._data, x._kind)
    made.requires_grad = True
    return made


def _chosen(args: tuple[Any, ...], argnums: Argnums) -> tuple[list[Any], list[int]]:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise ArgumentError(f"argnums: {n} is not among {len(args)} arguments")
    prepared = list(args)
    for n in numbers:
        prepared[n] = _fresh(args[n])
    return prepared, [n % len(args) for n in numbers]


def _derivatives(output: Tensor, prepared: list[Any], numbers: list[int], weight: Any) -> list[Any]:
    nests = [flatten(prepared[n]) for n in numbers]
    leaves = [x for found, _ in nests for x in found if isinstance(x, Tensor)]
    made: tuple[Tensor | None, ...]
    if output.requires_grad:
        made = _grad(output, leaves, weight, create_graph=True, materialize_grads=True)
    else:
        made = tuple(_zeros(x) for x in leaves)
    following = iter(made)
    return [
        unflatten(s, [next(following) if isinstance(x, Tensor) else None for x in f])
        for f, s in nests
    ]


def _zeros(x: Tensor) -> Tensor:
    from intaglio._functions_create import zeros_like

    return zeros_like(x)


def _plain(x: Any) -> Any:
    """Detached, unless an outer transform differentiates through."""
    leaves, structure = flatten(x)
    return unflatten(structure, leaves)


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the derivative of `func` (to a single number) and its value."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            prepared, numbers = _chosen(args, argnums)
            made = func(*prepared, **kwargs)
            value, aux = made if has_aux else (made, None)
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise GradientError("grad: the function must give a tensor with a single number")
            found = _derivatives(value, prepared, numbers, None)
        result = found[0] if isinstance(argnums, int) else tuple(found)
        outer = _outer(args)
        result, value = _released(result, outer), _released(value, outer)
        return (result, (value, aux)) if has_aux else (result, value)

    return call


def _outer(args: Any) -> bool:
    """Whether something given is itself being differentiated."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in flatten(args)[0])


def _released(x: Any, outer: bool) -> Any:
    if outer:
        return x
    leaves, structure = flatten(x)
    return unflatten(structure, [t.detach() if isinstance(t, Tensor) else t for t in leaves])


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the derivative of `func`, which gives a single number, with respect to
    its arguments `argnums`."""
    both = grad_and_value(func, argnums, has_aux)

    def call(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return call


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The results of `func`, and a function from weights of them to derivatives of `primals`."""
    with enable_grad():
        prepared = [_fresh(p) for p in primals]
        made = func(*prepared)
    value, aux = made if has_aux else (made, None)
    outputs, structure = flatten(value)
    nests = [flatten(p) for p in prepared]
    leaves = [x for found, _ in nests for x in found if isinstance(x, Tensor)]

    def pull(*weights: Any) -> Any:
        given = flatten(weights[0] if len(weights) == 1 else weights)[0]
        pairs = [(y, w) for y, w in zip(outputs, given, strict=True) if y.requires_grad]
        with enable_grad():
            if pairs:
                found = _grad(
                    [y for y, _ in pairs], leaves, [w for _, w in pairs], create_graph=True,
                    retain_graph=True, materialize_grads=True,
                )  # fmt: skip
            else:
                found = tuple(_zeros(x) for x in leaves)
        following = iter(found)
        return tuple(
            _released(
                unflatten(s, [next(following) if isinstance(x, Tensor) else None for x in f]),
                _outer(primals) or _outer(weights),
            )
            for f, s in nests
        )

    shown = unflatten(structure, [_released(y, _outer(primals)) for y in outputs])
    return (shown, pull, aux) if has_aux else (shown, pull)


def jvp(
    func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """The results of `func` and their change along `tangents`, by transposing the vjp twice."""
    with enable_grad():
        prepared = [_fresh(p) for p in primals]
        outputs, structure = flatten(func(*prepared))
        leaves = flatten(prepared)[0]
        changes = flatten(tuple(tangents))[0]
        weights = [_attached(_zeros(y)) for y in outputs]
        live = [k for k, y in enumerate(outputs) if y.requires_grad]
        made: list[Any] = [_zeros(y) for y in outputs]
        if live:
            back = _grad(
                [outputs[k] for k in live], leaves, [weights[k] for k in live], create_graph=True,
                materialize_grads=True,
            )  # fmt: skip
            pairs = [
                (b, t)
                for b, t in zip(back, changes, strict=True)
                if b is not None and b.requires_grad
            ]
            if pairs:
                found = _grad(
                    [b for b, _ in pairs], [weights[k] for k in live], [t for _, t in pairs],
                    create_graph=True, materialize_grads=True,
                )  # fmt: skip
                for k, change in zip(live, found, strict=True):
                    made[k] = change
    outer = _outer(primals) or _outer(tangents)
    shown = unflatten(structure, [_released(y, outer) for y in outputs])
    return shown, unflatten(structure, [_released(y, outer) for y in made])


def jacrev(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that gives the Jacobian, [*output.shape, *input.shape], row by row in reverse."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            prepared, numbers = _chosen(args, argnums)
            output = func(*prepared, **kwargs)
            if not isinstance(output, Tensor):
                raise ArgumentError("jacrev: the function must give one tensor")
            flat = output.reshape(-1)
            inputs = [prepared[n] for n in numbers]
            rows: list[list[Tensor]] = [[] for _ in inputs]
            for k in range(flat.numel()):
                for row, d in zip(rows, _row(flat[k], inputs), strict=True):
                    row.append(d)
            made = [
                stack(r).reshape(*output.shape, *x.shape) for r, x in zip(rows, inputs, strict=True)
            ]
        outer = _outer(args)
        found = tuple(_released(m, outer) for m in made)
        return found[0] if isinstance(argnums, int) else found

    return call


def _row(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    if not y.requires_grad:
        return [_zeros(x) for x in inputs]
    found = _grad(y, inputs, create_graph=True, retain_graph=True, materialize_grads=True)
    return [d for d in found if d is not None]


def jacfwd(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that gives the Jacobian, [*output.shape, *input.shape], column by column
    forward."""

    def call(*args: Any, **kwargs: Any) -> Any:
        x = args[argnums]
        basis = eye(x.numel(), dtype=x.dtype)
        columns = []
        output: Any = None
        for k in range(x.numel()):

            def of_one(v: Tensor) -> Any:
                return func(*args[:argnums], v, *args[argnums + 1 :], **kwargs)

            output, change = jvp(of_one, (x,), (basis[k].reshape(*x.shape),))
            columns.append(change.reshape(-1))
        made = stack(columns, 1)
        return made.reshape(*output.shape, *x.shape)

    return call


def hessian(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that gives the second derivatives, [*input.shape, *input.shape], of a function to
    a single number."""
    return jacrev(jacrev(func, argnums), argnums)


@contextmanager
def _swapped(module: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The module with other tensors in the place of its parameters and buffers."""
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for path, tensor in tensors.items():
            owner_path, _, name = path.rpartition(".")
            owner = module.get_submodule(owner_path)
            for registry in (owner._parameters, owner._buffers):
                if name in registry:
                    before.append((registry, name, registry[name]))
                    registry[name] = tensor
                    break
            else:
                raise ArgumentError(f"functional_call: there is no parameter or buffer {path!r}")
        yield
    finally:
        for registry, name, value in reversed(before):
            registry[name] = value


def functional_call(
    module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: Any = None
) -> Any:
    """Call a module with these tensors in the place of its own, by name."""
    given = parameter_and_buffer_dicts
    tensors: dict[str, Tensor] = {}
    for part in given if isinstance(given, tuple | list) else (given,):
        tensors.update(part)
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, tensors):
        return module(*arguments, **(kwargs or {}))
