"""Functions that state their own derivative: `custom_vjp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from intaglio._apply import apply, full
from intaglio._core import Tensor
from intaglio._kind import Kind, kind_of_type
from intaglio._modes import modes
from intaglio._places import place_of
from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.ir import Graph


def _as_tuple(made: Any) -> tuple[Tensor, ...]:
    return tuple(made) if isinstance(made, tuple | list) else (made,)


_BODIES: Final[dict[Any, tuple[Graph, Graph, bool]]] = {}


def custom_vjp(
    forward: Callable[..., Any], backward: Callable[..., Any], name: str = ""
) -> Callable[..., Any]:
    """A function of tensors with a derivative of its own.

    `forward(*xs, **options)` gives a tensor or a tuple; `backward(xs, ys, dys, **options)` gives
    one derivative per floating-point operand, in order (None: zero). Both are written with
    intaglio's functions of their arguments alone; `options` are plain values. Derivatives of
    `backward` follow from its own ops, so any order works."""
    label = name or forward.__name__.strip("_").removesuffix("_forward")

    def call(*xs: Tensor, **options: Any) -> Any:
        kinds = tuple([x._kind for x in xs])
        key = (forward, backward, kinds, *options.items())
        made = _BODIES.get(key) if modes.trace is None else None
        if made is None:
            made = _record(forward, backward, kinds, options)
            if modes.trace is None:
                if len(_BODIES) > 2_000:
                    _BODIES.clear()
                _BODIES[key] = made
        body, derivative, single = made
        attributes: dict[str, Any] = {"body": body, "backward": derivative, "scope": label}
        ys = apply("custom_vjp", xs, attributes)
        return ys[0] if single else ys

    call.__name__, call.__doc__ = label, forward.__doc__
    return call


def _record(
    forward: Callable[..., Any], backward: Callable[..., Any], kinds: Sequence[Kind], options: Any
) -> tuple[Graph, Graph, bool]:
    """The graphs of both functions for operands of these kinds."""
    from intaglio._trace import record_block

    single: list[bool] = []
    results: list[Kind] = []

    def body(*xs: Tensor) -> tuple[Tensor, ...]:
        made = forward(*xs, **options)
        single.append(not isinstance(made, tuple | list))
        return _as_tuple(made)

    graph = record_block(body, kinds)
    place = place_of(kinds)
    results = [kind_of_type(v.type, place) for v in graph.outputs]
    floats = [k for k in kinds if k.dtype.kind == "f"]

    def derivative(*values: Tensor) -> tuple[Tensor, ...]:
        n, m = len(kinds), len(results)
        xs, ys, dys = values[:n], values[n : n + m], values[n + m :]
        found = _as_tuple(backward(xs, ys, dys, **options))
        if len(found) != len(floats):
            raise ArgumentError(
                f"custom_vjp: {backward.__name__} gave {len(found)} derivatives for"
                f" {len(floats)} floating-point operands"
            )
        return tuple(full(0, k) if d is None else d for d, k in zip(found, floats, strict=True))

    return graph, record_block(derivative, [*kinds, *results, *results]), single[0]
