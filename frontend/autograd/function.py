"""torch's `autograd.Function`: an application of Python code with a derivative written by hand.

`apply` runs `forward` off the tape and puts one entry on it, whose derivative is the function's own
`backward`. A saved result is kept as bare data, so that the entry does not point to itself; when
`backward` reads it, it is given its place on the tape again, so that derivatives of any order reach
through it."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from intaglio._apply import full, one
from intaglio._core import Tensor, counter_of, is_inference, wrap
from intaglio._inplace import check_leaf, retape
from intaglio._kind import Kind
from intaglio._methods import sum_to_size
from intaglio._modes import modes, no_grad
from intaglio._scope import spot
from intaglio._tape import Entry
from intaglio.compiler.errors import GradientError

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class _SavedInput:
    """A tensor that `forward` did not make."""

    def __init__(self, tensor: Tensor) -> None:
        if is_inference(tensor):
            raise GradientError(
                f"save_for_backward: {tensor._kind} was made in inference_mode, so it cannot be"
                " saved for a derivative; use a clone() of it"
            )
        self._tensor, self._version = tensor, counter_of(tensor)[0]

    def read(self, entry: FunctionEntry | None) -> Tensor:
        """The tensor, if nobody has written to it."""
        if counter_of(self._tensor)[0] != self._version:
            raise _changed(self._tensor._kind)
        return self._tensor


class _SavedResult:
    """A result of the function: its data, and which result it is."""

    def __init__(self, tensor: Tensor, number: int) -> None:
        self._data, self._kind, self._number = tensor._data, tensor._kind, number
        self._taped = tensor.requires_grad
        self._counter = counter_of(tensor)
        self._version = self._counter[0]

    def read(self, entry: FunctionEntry | None) -> Tensor:
        """The result, on the tape again."""
        if self._counter[0] != self._version:
            raise _changed(self._kind)
        made = wrap(self._data, self._kind)
        made._counter = self._counter
        if entry is not None and self._taped:
            made._node, made._index, made.requires_grad = entry, self._number, True
        return made


def _changed(kind: Kind) -> GradientError:
    return GradientError(
        f"saved_tensors: {kind}, which the derivative needs, was changed in place after it was"
        " saved; change a clone() of it instead"
    )


class FunctionCtx:
    """What `forward` hands to `backward`: saved tensors, and any attributes."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._given: tuple[Tensor | None, ...] = ()
        self._saved: tuple[_SavedInput | _SavedResult | None, ...] | None = ()
        self._no_grad: set[int] = set()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self._entry: Callable[[], FunctionEntry | None] = lambda: None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, guarded against changes in place."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise GradientError(
                    f"save_for_backward: only tensors and None can be saved, not"
                    f" {type(t).__name__}; keep it as an attribute of ctx"
                )
        self._given = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Accepted as torch does; forward mode transposes `backward` here and reads nothing."""

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_backward`; raises `GradientError` once they were freed,
        and where one was changed in place since."""
        if self._given:
            return self._given
        if self._saved is None:
            raise GradientError(
                "saved_tensors: they were freed by an earlier backward; give that call"
                " retain_graph=True"
            )
        entry = self._entry()
        return tuple(None if s is None else s.read(entry) for s in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These results have no derivative."""
        self._no_grad.update(map(id, tensors))

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These operands were changed in place and are returned: the very tensors are results."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for results that nothing used."""
        self._materialize = value

    def keep(self, results: Sequence[Any]) -> None:
        """Turn what was given to be saved into what lives with the entry."""
        numbers = {id(t): k for k, t in enumerate(results) if isinstance(t, Tensor)}
        made: list[_SavedInput | _SavedResult | None] = []
        for t in self._given:
            if t is None:
                made.append(None)
            elif id(t) in numbers:
                made.append(_SavedResult(t, numbers[id(t)]))
            else:
                made.append(_SavedInput(t))
        self._saved, self._given = tuple(made), ()

    def free(self) -> None:
        """Drop what was saved."""
        if self._saved:
            self._saved = None


class FunctionEntry(Entry):
    """The application of a `Function`. `positions` says which arguments were tensors and of which
    kind; unknown attributes are those of the context."""

    __slots__ = ("arguments", "context", "function", "positions")
    context: FunctionCtx
    function: type[Function]
    arguments: int
    positions: tuple[tuple[int, Kind], ...]

    @property
    def op(self) -> str:  # type: ignore[override]  # a constant elsewhere
        """The function's name."""
        return self.function.__name__

    def name(self) -> str:
        """The name as torch spells it."""
        return f"{self.op}Backward"

    def __getattr__(self, name: str) -> Any:
        if name == "context":
            raise AttributeError(name)
        return getattr(self.context, name)

    def free(self) -> None:
        """Drop what was saved."""
        self.context.free()

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """What the function's own `backward` says."""
        if self.context._materialize:
            dys = [
                full(0, k) if d is None and k is not None else d
                for d, k in zip(dys, self.kinds, strict=True)
            ]
        own = self.function.backward is not Function.backward
        made = (self.function.backward if own else self.function.vjp)(self.context, *dys)
        found = list(made) if isinstance(made, tuple | list) else [made]
        while len(found) > self.arguments and found[-1] is None:
            found.pop()
        if len(found) != self.arguments:
            raise GradientError(
                f"{self.describe()}: backward gave {len(found)} derivatives for"
                f" {self.arguments} arguments of forward; give one for each, None where there is"
                " none"
            )
        tensors = dict(self.positions)
        for k, dx in enumerate(found):
            if dx is not None and k not in tensors:
                raise GradientError(
                    f"{self.describe()}: backward gave a derivative for argument {k}, which was no"
                    " tensor; give None"
                )
        return [
            None if edge is None else self._fitted(k, found[k], kind)
            for edge, (k, kind) in zip(self.edges, self.positions, strict=True)
        ]

    def _fitted(self, number: int, dx: Any, kind: Kind) -> Tensor | None:
        """A derivative with the operand's shape and dtype: what broadcasting repeated is summed."""
        if dx is None or dx._kind is kind:
            return dx
        if not isinstance(dx, Tensor):
            raise GradientError(
                f"{self.describe()}: backward gave {type(dx).__name__} as derivative {number};"
                " tensors and None are derivatives"
            )
        shape = tuple(kind.shape)
        if tuple(dx.shape) != shape:
            tail = tuple(dx.shape)[len(dx.shape) - len(shape) :]
            if len(tail) != len(shape) or any(
                s not in (1, n) for s, n in zip(shape, tail, strict=True)
            ):
                raise GradientError(
                    f"{self.describe()}: backward gave {dx._kind} as the derivative of argument"
                    f" {number}, which is {kind}"
                )
            dx = sum_to_size(dx, *shape)
        return dx if dx.dtype is kind.dtype else one("cast", dx, dtype=kind.dtype)


_CLASSES: Final[weakref.WeakKeyDictionary[type[Function], type[FunctionEntry]]] = (
    weakref.WeakKeyDictionary()
)


class Function:
    """An op with a derivative written by hand, as `torch.autograd.Function`: static methods
    `forward(ctx, *args)` and `backward(ctx, *dys)`, called by `apply`; or `forward(*args)` with
    `setup_context(ctx, inputs, output)`. In a trace both are recorded as the ops they are made of.
    Forward mode (`ig.func.jvp`) transposes `backward`; a static `jvp` or `vmap` is not called."""

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

    @staticmethod
    def vjp(ctx: Any, *dys: Any) -> Any:
        """Another name of `backward`."""
        raise GradientError("Function: define backward as a static method")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, and put the application on the tape."""
        apart = cls.setup_context is not Function.setup_context
        if apart:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        context = FunctionCtx(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
        taped = modes.grad and any(context.needs_input_grad)
        with no_grad():
            if apart:
                made = cls.forward(*args, **kwargs)
                cls.setup_context(context, args, made)
            else:
                made = cls.forward(context, *args, **kwargs)
        if not taped:
            return made
        many = tuple(made) if isinstance(made, tuple | list) else (made,)
        results = _record(cls, context, args, many)
        return tuple(results) if isinstance(made, tuple | list) else results[0]


def _record(
    cls: type[Function], context: FunctionCtx, args: tuple[Any, ...], many: tuple[Any, ...]
) -> list[Any]:
    """Put an application on the tape; its results."""
    dirty = {id(t) for t in context._dirty}
    if not dirty <= {id(t) for t in many}:
        raise GradientError(
            f"{cls.__name__}: a tensor marked as dirty was not returned; return the very tensor"
            " that forward changed in place"
        )
    for t in context._dirty:
        check_leaf(t, f"{cls.__name__}.apply")
    places = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
    kind = _CLASSES.get(cls)
    if kind is None:
        kind = _CLASSES[cls] = type(f"{cls.__name__}Backward", (FunctionEntry,), {"__slots__": ()})
    entry = kind([args[k] for k in places], [], spot())
    entry.context, entry.function = context, cls
    entry.arguments = len(args)
    entry.positions = tuple((k, args[k]._kind) for k in places)
    entry.saved = True
    entry.kinds = tuple(t._kind if isinstance(t, Tensor) else None for t in many)  # type: ignore[misc]  # no kind: no tensor
    results = []
    for number, t in enumerate(many):
        if isinstance(t, Tensor):
            plain = id(t) in context._no_grad or t.dtype.kind != "f"
            if id(t) not in dirty:
                t = _own(t, args)
            if not plain and id(t) in dirty:
                retape(t, entry, number)
            elif not plain:
                t._node, t._index, t.requires_grad = entry, number, True
        results.append(t)
    context.keep(results)
    context._dirty = ()
    context._no_grad = set()
    context._entry = weakref.ref(entry)
    return results


def _own(result: Tensor, args: Sequence[Any]) -> Tensor:
    """The result as a tensor of its own where it is one of the arguments."""
    if any(result is a for a in args):
        made = wrap(result._data, result._kind)
        made._counter = counter_of(result)
        return made
    return result


class _Twice(Entry):
    """Stands where a derivative of a derivative was ruled out."""

    __slots__ = ()
    op = "once_differentiable"

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """There is none."""
        raise GradientError(
            f"{self.describe()}: trying to differentiate twice a function that was marked with"
            " @once_differentiable"
        )


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A `backward` that is not to be differentiated itself: it runs off the tape, and a derivative
    of what it gives raises `GradientError`."""

    @functools.wraps(function)
    def backward(ctx: Any, *dys: Any) -> Any:
        with no_grad():
            made = function(ctx, *dys)
        given = [d for d in dys if isinstance(d, Tensor) and d.requires_grad]
        if not modes.grad or not given:
            return made
        many = made if isinstance(made, tuple | list) else (made,)
        apart = [wrap(t._data, t._kind) if isinstance(t, Tensor) else t for t in many]
        _Twice(given, [t for t in apart if isinstance(t, Tensor)], spot())
        return tuple(apart) if isinstance(made, tuple | list) else apart[0]

    return backward
