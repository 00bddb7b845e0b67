"""Hooks around an optimizer's step and around saving and loading its state, with torch's names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from intaglio.compiler.errors import ArgumentError
from intaglio.nn._module import RemovableHandle

Hooks = dict[int, Callable[..., Any]]
EVENTS: Final = (
    "step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_pre", "load_post",
)  # fmt: skip
_everywhere: Final[dict[str, Hooks]] = {"step_pre": {}, "step_post": {}}


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer; it may return
    other (args, kwargs)."""
    return _added(_everywhere["step_pre"], hook, False)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimizer."""
    return _added(_everywhere["step_post"], hook, False)


def _added(
    hooks: Hooks,
    hook: Callable[..., Any],
    prepend: bool,
    changed: Callable[[], object] | None = None,
) -> RemovableHandle:
    key = max(hooks, default=0) + 1
    hooks[key] = hook
    if prepend:
        others = [(k, h) for k, h in hooks.items() if k != key]
        hooks.clear()
        hooks.update([(key, hook), *others])
    if changed is not None:
        changed()
    return RemovableHandle(hooks, key, changed)


class Hooked:
    """The hooks of one optimizer. A subclass's own `step` is surrounded by them too."""

    _hooks: dict[str, Hooks]
    _hook_changes: int | None
    """How often hooks of the step were added or taken off, if ever: a compiled step looks at it."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        step = cls.__dict__.get("step")
        if step is not None and not hasattr(step, "surrounded"):
            cls.step = surrounded(step)  # type: ignore[attr-defined]  # every optimizer has one

    def _hooks_changed(self) -> None:
        self._hook_changes = (self._hook_changes or 0) + 1

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return other (args,
        kwargs)."""
        return _added(self._hooks["step_pre"], hook, False, self._hooks_changed)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return _added(self._hooks["step_post"], hook, False, self._hooks_changed)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict()` reads the state."""
        return _added(self._hooks["state_dict_pre"], hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` on what `state_dict()` made; it may return another."""
        return _added(self._hooks["state_dict_post"], hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before it is loaded; it may return another."""
        return _added(self._hooks["load_pre"], hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after a state was loaded."""
        return _added(self._hooks["load_post"], hook, prepend)


def surrounded(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step with the hooks before and after it."""

    @functools.wraps(step)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        own = self._hooks
        for hook in [*_everywhere["step_pre"].values(), *own["step_pre"].values()]:
            other = hook(self, args, kwargs)
            if other is None:
                continue
            if not (isinstance(other, tuple) and len(other) == 2):
                raise ArgumentError(
                    f"{type(self).__name__}.step: a pre hook must return None or (args, kwargs),"
                    f" not {other!r}"
                )
            args, kwargs = other
        outcome = step(self, *args, **kwargs)
        for hook in [*own["step_post"].values(), *_everywhere["step_post"].values()]:
            hook(self, args, kwargs)
        return outcome

    hooked.surrounded = True  # type: ignore[attr-defined]  # a mark of ours on a function
    return hooked
