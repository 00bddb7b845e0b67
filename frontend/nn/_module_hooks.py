"""Hooks: functions of a user's that run around a module's `forward`, and around its derivative.

A derivative's hooks stand on the tape: an identity on the module's inputs and one on its results
see all derivatives that pass. So they are recorded where a derivative is, in traces too."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, Self

from intaglio._modes import modes
from intaglio._tensor import Tensor
from intaglio.autograd.function import Function
from intaglio.compiler.errors import ArgumentError, Error

_ids = count()

Hooks = dict[int, Any]


class RemovableHandle:
    """Takes a hook off again: `handle.remove()`, or leave the `with` block."""

    def __init__(
        self, hooks: dict[int, Any], key: int, changed: Callable[[], object] | None = None
    ) -> None:
        self._hooks, self._key, self._changed = hooks, key, changed

    def remove(self) -> None:
        """Take the hook off; doing it twice is fine."""
        if self._hooks.pop(self._key, None) is not None and self._changed is not None:
            self._changed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def put_hook(
    hooks: Hooks, hook: Any, prepend: bool = False, changed: Callable[[], object] | None = None
) -> RemovableHandle:
    """Add a hook behind the others, or with `prepend` before them."""
    key = next(_ids)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[key] = hook
    hooks.update(others)
    if changed is not None:
        changed()
    return RemovableHandle(hooks, key, changed)


class Hook(functools.partial[Any]):
    """A function to call around `forward`, and how: with the keywords, and also after a failure."""

    with_kwargs: bool
    always: bool

    def __new__(
        cls, function: Callable[..., Any], with_kwargs: bool = False, always: bool = False
    ) -> Self:
        made = super().__new__(cls, function)
        made.with_kwargs, made.always = with_kwargs, always
        return made


_PLACES: Final = ("before", "after", "backward_before", "back")
EVERYWHERE: Final[dict[str, Hooks]] = {place: {} for place in (*_PLACES, "any")}
"""Hooks of all modules; `any` holds something when there are some."""


class ModuleHooks:
    """The part of a module that keeps hooks."""

    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks
    _backward_hooks: Hooks
    _backward_pre_hooks: Hooks
    _hook_changes: int | None
    """How often hooks were added or taken off, if ever: a compiled function looks at it."""

    def _hooks_changed(self) -> None:
        self.__dict__["_hook_changes"] = (self._hook_changes or 0) + 1

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, inputs, result)` after every forward; what it returns replaces the
        result.

        With `with_kwargs` it is `hook(module, inputs, keywords, result)`; with `always_call` it is
        called too when forward or another hook raises; with `prepend` before the others."""
        made = Hook(hook, with_kwargs, always_call)
        return put_hook(self._forward_hooks, made, prepend, self._hooks_changed)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, inputs)` before every forward; what it returns replaces the inputs.

        With `with_kwargs` it is `hook(module, inputs, keywords)`, which may return both."""
        made = Hook(hook, with_kwargs)
        return put_hook(self._forward_pre_hooks, made, prepend, self._hooks_changed)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_inputs, grad_results)` when the derivatives of the positional
        inputs are known; a tuple that it returns replaces them."""
        return put_hook(self._backward_hooks, hook, prepend, self._hooks_changed)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_results)` before the module's derivative is computed; a tuple
        that it returns replaces them."""
        return put_hook(self._backward_pre_hooks, hook, prepend, self._hooks_changed)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As `register_full_backward_hook`, which replaces it in torch."""
        return self.register_full_backward_hook(hook)


def hooked_call(
    module: Any, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    """`forward` with the hooks of the module, and of all modules, around it."""
    after = [*EVERYWHERE["after"].values(), *module._forward_hooks.values()]
    done: list[Any] = []
    try:
        inputs, keywords = _before(module, inputs, keywords)
        watch = _Watch.of(module)
        if watch is not None:
            inputs = watch.enter(inputs)
        result = forward(*inputs, **keywords)
        for hook in after:
            done.append(hook)
            result = _after(hook, module, inputs, keywords, result)
        return result if watch is None else watch.leave(result)
    except Exception:
        for hook in after:
            if hook.always and hook not in done:
                _call_anyway(hook, module, inputs, keywords)
        raise


def _before(
    module: Any, inputs: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook in (*EVERYWHERE["before"].values(), *module._forward_pre_hooks.values()):
        if not hook.with_kwargs:
            changed = hook(module, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
            continue
        changed = hook(module, inputs, keywords)
        if changed is None:
            continue
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise Error(
                f"{type(module).__name__}: a forward pre-hook with keywords returns None or"
                f" (inputs, keywords), not {type(changed).__name__}"
            )
        inputs, keywords = changed
    return inputs, keywords


def _after(hook: Hook, module: Any, inputs: Any, keywords: Any, result: Any) -> Any:
    given = (inputs, keywords, result) if hook.with_kwargs else (inputs, result)
    changed = hook(module, *given)
    return result if changed is None else changed


def _call_anyway(hook: Hook, module: Any, inputs: Any, keywords: Any) -> None:
    """A hook that is called although something failed: its own failure is only told."""
    try:
        _after(hook, module, inputs, keywords, None)
    except Exception as error:
        warnings.warn(
            f"{type(module).__name__}: a forward hook with always_call=True failed while another"
            f" error was raised: {error!r}",
            stacklevel=2,
        )


class _Watch:
    """The derivatives that pass through one call of a module."""

    def __init__(self, module: Any, before: Sequence[Any], after: Sequence[Any]) -> None:
        self.module, self.before, self.after = module, before, after
        self.inputs = 0
        self.places: list[int] = []
        self.entered = False
        self.results: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, module: Any) -> _Watch | None:
        """The watch that a call needs; none without hooks or while derivatives are off."""
        before = [*EVERYWHERE["backward_before"].values(), *module._backward_pre_hooks.values()]
        after = [*EVERYWHERE["back"].values(), *module._backward_hooks.values()]
        return cls(module, before, after) if modes.grad and (before or after) else None

    def enter(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, behind an identity that sees their derivatives."""
        self.inputs = len(inputs)
        self.places = [k for k, x in enumerate(inputs) if isinstance(x, Tensor)]
        self.entered = bool(self.after) and any(inputs[k].requires_grad for k in self.places)
        if not self.entered:
            return inputs
        made = list(inputs)
        passed = _Entering.apply(self, *[inputs[k] for k in self.places])
        for k, x in zip(self.places, passed, strict=True):
            made[k] = x
        return tuple(made)

    def leave(self, result: Any) -> Any:
        """The results (a tensor, or a tuple or list), behind an identity that sees their
        derivatives."""
        several = result if isinstance(result, tuple | list) else [result]
        places = [k for k, y in enumerate(several) if isinstance(y, Tensor)]
        if not any(several[k].requires_grad for k in places):
            return result
        passed = _Leaving.apply(self, len(several), places, *[several[k] for k in places])
        if isinstance(result, Tensor):
            return passed[0]
        made = list(several)
        for k, y in zip(places, passed, strict=True):
            made[k] = y
        if isinstance(result, list):
            return made
        return type(result)(*made) if hasattr(result, "_fields") else tuple(made)

    def left(self, dys: tuple[Any, ...]) -> tuple[Any, ...]:
        """The results' derivatives, through the hooks before the module's own."""
        for hook in self.before:
            dys = self._replaced(hook(self.module, dys), dys, "pre-hook")
        self.results = dys
        if not self.entered:
            for hook in self.after:
                if hook(self.module, (None,) * self.inputs, dys) is not None:
                    raise Error(
                        f"{type(self.module).__name__}: a backward hook returned derivatives of"
                        " inputs, and no input requires one"
                    )
        return dys

    def arrived(self, dxs: tuple[Any, ...]) -> list[Any]:
        """The derivatives of the input tensors, through the hooks."""
        if self.results is None:
            raise Error(
                f"{type(self.module).__name__}: a backward hook would run before the derivatives"
                " of the module's results are known"
            )
        all_inputs: list[Any] = [None] * self.inputs
        for k, dx in zip(self.places, dxs, strict=True):
            all_inputs[k] = dx
        found: tuple[Any, ...] = tuple(all_inputs)
        for hook in self.after:
            found = self._replaced(hook(self.module, found, self.results), found, "hook")
        return [found[k] for k in self.places]

    def _replaced(self, made: Any, before: tuple[Any, ...], what: str) -> tuple[Any, ...]:
        if made is None:
            return before
        several = tuple(made) if isinstance(made, tuple | list) else (made,)
        if len(several) != len(before):
            raise ArgumentError(
                f"{type(self.module).__name__}: a backward {what} returned {len(several)}"
                f" derivatives for {len(before)}"
            )
        return several


class _Entering(Function):
    """The identity on a module's inputs."""

    @staticmethod
    def forward(ctx: Any, watch: _Watch, *xs: Tensor) -> tuple[Tensor, ...]:
        """The inputs."""
        ctx.watch = watch
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*[x for x in xs if not x.requires_grad])
        return xs

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> tuple[Any, ...]:
        """What the hooks make of the derivatives."""
        return (None, *ctx.watch.arrived(dys))


class _Leaving(Function):
    """The identity on a module's results."""

    @staticmethod
    def forward(
        ctx: Any, watch: _Watch, size: int, places: list[int], *ys: Tensor
    ) -> tuple[Tensor, ...]:
        """The results."""
        ctx.watch, ctx.size, ctx.places = watch, size, places
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*[y for y in ys if not y.requires_grad])
        return ys

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> tuple[Any, ...]:
        """What the hooks make of the derivatives."""
        several: list[Any] = [None] * ctx.size
        for k, dy in zip(ctx.places, dys, strict=True):
            several[k] = dy
        passed = ctx.watch.left(tuple(several))
        return (None, None, None, *[passed[k] for k in ctx.places])


# ---------------------------------------------------------------------------- hooks of all modules


def _everywhere(place: str, hook: Any) -> RemovableHandle:
    return put_hook(EVERYWHERE[place], hook, changed=_count_all)


def _count_all() -> None:
    found = any(EVERYWHERE[place] for place in _PLACES)
    EVERYWHERE["any"].clear()
    EVERYWHERE["any"].update({0: True} if found else {})


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, inputs)` before the forward of every module. Functions that are compiled
    already keep what they traced."""
    return _everywhere("before", Hook(hook, False))


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, inputs, result)` after the forward of every module."""
    return _everywhere("after", Hook(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_results)` before the derivative of every module."""
    return _everywhere("backward_before", hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_inputs, grad_results)` after the derivative of every module."""
    return _everywhere("back", hook)
