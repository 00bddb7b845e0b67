"""Functions that state their own derivative: `custom_vjp`, and torch's `autograd.Function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from intaglio._apply import apply, full
from intaglio._core import Tensor, wrap
from intaglio._kind import Kind, kind_of_type
from intaglio._modes import modes, no_grad
from intaglio._places import place_of
from intaglio._scope import spot
from intaglio._tape import Entry
from intaglio.compiler.errors import ArgumentError, GradientError
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


# -------------------------------------------------------------------------------- autograd.Function


class Context:
    """What `forward` hands to `backward`: saved tensors, and any attributes."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._saved: list[Any] = []
        self._no_grad: set[int] = set()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, guarded against changes in place."""
        self._saved = [None if t is None else (t, t._version) for t in tensors]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`."""
        for pair in self._saved:
            if pair is not None and pair[0]._version != pair[1]:
                raise GradientError(
                    f"saved_tensors: {pair[0]._kind} was changed in place after it was saved"
                )
        return tuple(None if pair is None else pair[0] for pair in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These results have no derivative."""
        self._no_grad.update(map(id, tensors))

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These operands were changed in place (writes are noticed by themselves)."""

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for results that nothing used."""
        self._materialize = value


class FunctionEntry(Entry):
    """The application of an `autograd.Function`."""

    __slots__ = ("context", "function")
    context: Context
    function: type[Function]

    @property
    def name(self) -> str:  # type: ignore[override]  # a constant elsewhere
        """The function's name."""
        return self.function.__name__

    def backward_name(self) -> str:
        """The name as torch spells it."""
        return f"{self.name}Backward"

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """What the function's own `backward` says."""
        if self.saved is None:
            raise self._freed()
        if self.context._materialize:
            dys = [full(0, k) if d is None else d for d, k in zip(dys, self.kinds, strict=True)]
        made = self.function.backward(self.context, *dys)
        found = list(made) if isinstance(made, tuple | list) else [made]
        places = self.saved
        while len(found) > places[-1] + 1 and found[-1] is None:
            found.pop()
        return [found[p] if p < len(found) else None for p in places]


class Function:
    """An op with a derivative written by hand, as `torch.autograd.Function`: static methods
    `forward(ctx, *args)` and `backward(ctx, *dys)`, called by `apply`. In a trace both are recorded
    as the ops they are made of."""

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """The results; `ctx.save_for_backward` keeps what the derivative needs."""
        raise GradientError("Function: define forward as a static method")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Where `forward` takes no ctx: keep here what the derivative needs."""

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        """One derivative per argument of `forward`; None where there is none."""
        raise GradientError("Function: define backward as a static method")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, and put the application on the tape."""
        taped = modes.grad and any(isinstance(a, Tensor) and a.requires_grad for a in args)
        context = Context(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                made = cls.forward(*args, **kwargs)
                cls.setup_context(context, args, made)
            else:
                made = cls.forward(context, *args, **kwargs)
        if not taped:
            return made
        many = made if isinstance(made, tuple | list) else (made,)
        outs = [_fresh(t, args) if isinstance(t, Tensor) else t for t in many]
        tensors = [a for a in args if isinstance(a, Tensor)]
        live = [
            o for o, t in zip(outs, many, strict=True)
            if isinstance(o, Tensor) and id(t) not in context._no_grad
        ]  # fmt: skip
        entry = FunctionEntry(tensors, live, spot())
        entry.context, entry.function = context, cls
        entry.saved = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
        _replace_saved(context, many, outs)
        return type(made)(outs) if isinstance(made, tuple | list) else outs[0]


def _fresh(result: Tensor, args: Sequence[Any]) -> Tensor:
    """The result as a tensor of its own where it is one of the arguments."""
    if any(result is a for a in args):
        made = wrap(result._data, result._kind)
        return made
    return result


def _replace_saved(context: Context, many: Sequence[Any], outs: Sequence[Any]) -> None:
    """Saved results are kept as bare data, so that the entry does not point to itself."""
    ids = {id(o) for o in outs if isinstance(o, Tensor)}
    kept: list[Any] = []
    for pair in context._saved:
        if pair is not None and id(pair[0]) in ids:
            bare = wrap(pair[0]._data, pair[0]._kind)
            kept.append((bare, 0))
        else:
            kept.append(pair)
    context._saved = kept
