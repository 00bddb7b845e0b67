"""A module's state as a dict of tensors by name, and back.

Every module saves and loads its own entries, so that one may override how; hooks run around it. A
load that is refused changes nothing: where nothing but tensors takes part all names and shapes are
compared first, and elsewhere what was written is written back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import intaglio as ig
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.errors import Error
from intaglio.nn._module_hooks import Hooks, RemovableHandle, put_hook

EXTRA: Final = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


class LoadError(Error, RuntimeError):
    """A state dict that does not fit the module it is loaded into."""


class _Loading(threading.local):
    """What the load that runs in this thread does with a value that fits."""

    only_compare = False
    undo: list[Callable[[], object]] | None = None
    """What undoes a load that fails, write by write."""


_loading: Final = _Loading()


class ModuleState:
    """The part of a module that saves and loads."""

    _version: int = 1
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent: set[str]
    _state_hooks: dict[str, Hooks]

    if TYPE_CHECKING:  # the module's own

        def modules(self) -> Iterator[Any]: ...

    # ---------------------------------------------------------------------------------------- hooks

    def _state_hook(self, place: str, hook: Any) -> RemovableHandle:
        return put_hook(self._state_hooks.setdefault(place, {}), hook)

    def _hooks_at(self, place: str) -> list[Any]:
        return list(self._state_hooks[place].values()) if place in self._state_hooks else []

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's entries are collected."""
        return self._state_hook("save_before", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after the module's entries and
        those below were collected; it may change the dict."""
        return self._state_hook("save_after", hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As `register_state_dict_post_hook`; a dict that it returns replaces the other."""
        return self._state_hook("save_after_replacing", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before the module loads; it may change the dict, which is a
        copy."""
        return self._state_hook("load_before", (hook, True))

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """As `register_load_state_dict_pre_hook`; the hook gets the module only where asked."""
        return self._state_hook("load_before", (hook, with_module))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after the module and those below have loaded; it
        may take names out of the lists."""
        return self._state_hook("load_after", hook)

    # --------------------------------------------------------------------------------------- saving

    def get_extra_state(self) -> Any:
        """What is saved beside tensors, under `_extra_state`; define it with `set_extra_state`."""
        raise Error(f"{type(self).__name__} defines no get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave."""
        raise Error(f"{type(self).__name__} defines no set_extra_state")

    def _own_tensors(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers of this module itself."""
        found: dict[str, Tensor] = {n: p for n, p in self._parameters.items() if p is not None}
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent:
                found[name] = buffer
        return found

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """Put this module's own entries into a dict."""
        for name, tensor in self._own_tensors().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not ModuleState.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def state_dict(
        self,
        *args: Any,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by qualified name; tied ones under each name. The
        tensors share memory; with `keep_vars` they are the module's own."""
        for name, value in zip(("destination", "prefix", "keep_vars"), args, strict=False):
            destination = value if name == "destination" else destination
            prefix = value if name == "prefix" else prefix
            keep_vars = value if name == "keep_vars" else keep_vars
        found: Any = OrderedDict() if destination is None else destination
        if destination is None:
            found._metadata = OrderedDict()
        about = {"version": self._version}
        if hasattr(found, "_metadata"):
            found._metadata[prefix[:-1]] = about
        for hook in self._hooks_at("save_before"):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(found, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._hooks_at("save_after"):
            hook(self, found, prefix, about)
        for hook in self._hooks_at("save_after_replacing"):
            changed = hook(self, found, prefix, about)
            found = found if changed is None else changed
        kept: dict[str, Any] = found
        return kept

    # -------------------------------------------------------------------------------------- loading

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own entries out of a dict, and list what does not fit."""
        given = (prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        for hook, with_module in self._hooks_at("load_before"):
            hook(*([self] if with_module else []), state_dict, *given)
        own = self._own_tensors()
        for name, tensor in own.items():
            if prefix + name in state_dict:
                assign = bool(local_metadata.get("assign_to_params_buffers"))
                self._load_tensor_impl(
                    name, tensor, state_dict[prefix + name], prefix, assign, error_msgs
                )
            elif strict:
                missing_keys.append(prefix + name)
        if type(self).set_extra_state is not ModuleState.set_extra_state:
            if prefix + EXTRA in state_dict:
                if not _loading.only_compare:
                    self.set_extra_state(state_dict[prefix + EXTRA])
            elif strict:
                missing_keys.append(prefix + EXTRA)
        elif strict and prefix + EXTRA in state_dict:
            unexpected_keys.append(prefix + EXTRA)
        if strict:
            unexpected_keys += self._unexpected_impl(state_dict, prefix, own)

    def _unexpected_impl(
        self, state_dict: Mapping[str, Any], prefix: str, own: Mapping[str, Tensor]
    ) -> list[str]:
        """The names under the prefix that are neither this module's own nor a child's."""
        found = []
        for key in state_dict:
            if not key.startswith(prefix) or key == prefix + EXTRA:
                continue
            name, _, rest = key[len(prefix) :].partition(".")
            if name not in (self._modules if rest else own):
                found.append(key)
        return found

    def _load_tensor_impl(
        self, name: str, tensor: Tensor, value: Any, prefix: str, assign: bool, errors: list[str]
    ) -> None:
        try:
            given = value if isinstance(value, Tensor) else ig.as_tensor(value)
        except (TypeError, ValueError) as error:
            errors.append(f"{prefix}{name} is no tensor but {type(value).__name__}: {error}")
            return
        if tuple(given.shape) != tuple(tensor.shape):
            errors.append(
                f"size mismatch for {prefix}{name}: the state dict has"
                f" {tuple(given.shape)}, the module {tuple(tensor.shape)}"
            )
        elif _loading.only_compare:
            return
        elif assign:
            self._assign_impl(name, tensor, given)
        else:
            with ig.no_grad():
                if _loading.undo is not None:
                    _loading.undo.append(partial(tensor.copy_, tensor.detach().clone()))
                tensor.copy_(given)

    def _assign_impl(self, name: str, before: Tensor, given: Tensor) -> None:
        """Let the given tensor itself be the parameter or buffer."""
        registry: Any = self._parameters if isinstance(before, Parameter) else self._buffers
        if _loading.undo is not None:
            _loading.undo.append(partial(registry.__setitem__, name, before))
        if isinstance(before, Parameter):
            made = given
            if not isinstance(made, Parameter):
                made = Parameter(given.detach(), requires_grad=before.requires_grad)
            given = made.requires_grad_(before.requires_grad)
        registry[name] = given

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values in by name. `strict` refuses missing and unexpected names; other shapes are
        refused always.

        Values may be tensors or anything NumPy takes. With `assign` the given tensors themselves
        become the parameters and buffers, in their own dtype. Nothing is changed when an error is
        raised."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: a dict of tensors is wanted, not {type(state_dict).__name__}"
            )
        plain = not any(map(_loads_in_its_own_way, self.modules()))
        if plain:
            self._load_impl(state_dict, strict, assign, only_compare=True)
        return self._load_impl(state_dict, strict, assign, undo=not plain)

    def _load_impl(
        self,
        state_dict: Mapping[str, Any],
        strict: bool,
        assign: bool,
        only_compare: bool = False,
        undo: bool = False,
    ) -> IncompatibleKeys:
        keys, errors = IncompatibleKeys([], []), list[str]()
        about = getattr(state_dict, "_metadata", None) or {}
        outer = (_loading.only_compare, _loading.undo)
        _loading.only_compare, _loading.undo = only_compare, [] if undo else None
        try:
            _load_below(self, dict(state_dict), "", about, assign, keys, errors)
            _refuse(self, keys, errors, strict)
        except BaseException:
            with ig.no_grad():
                for undone in reversed(_loading.undo or ()):
                    undone()
            raise
        finally:
            _loading.only_compare, _loading.undo = outer
        if not strict and not only_compare:
            return IncompatibleKeys(list(dict.fromkeys(keys[0])), list(dict.fromkeys(keys[1])))
        return keys


def _load_below(
    module: Any,
    state_dict: dict[str, Any],
    prefix: str,
    about: Mapping[str, Any],
    assign: bool,
    keys: IncompatibleKeys,
    errors: list[str],
) -> None:
    """Load a module, then its children, then run the hooks that come after. Names are listed in
    any case, as torch does: whether they matter is decided at the end."""
    local = dict(about.get(prefix[:-1], {}))
    if assign:
        local["assign_to_params_buffers"] = True
    module._load_from_state_dict(state_dict, prefix, local, True, *keys, errors)
    for name, child in module._modules.items():
        if child is not None:
            inner = f"{prefix}{name}."
            part = {k: v for k, v in state_dict.items() if k.startswith(inner)}
            _load_below(child, part, inner, about, assign, keys, errors)
    for hook in module._hooks_at("load_after"):
        if hook(module, keys) is not None:
            raise Error(
                "load_state_dict: a hook after it returns nothing; it changes the lists it is given"
            )


def _refuse(module: Any, keys: IncompatibleKeys, errors: list[str], strict: bool) -> None:
    """Raise what the lists hold."""
    lines = list(errors)
    if strict:
        for what, names in (("Unexpected", keys.unexpected_keys), ("Missing", keys.missing_keys)):
            if names:
                listed = ", ".join(f'"{name}"' for name in dict.fromkeys(names))
                lines.insert(0, f"{what} key(s) in state_dict: {listed}.")
    if lines:
        raise LoadError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(lines)
        )


def _loads_in_its_own_way(module: Any) -> bool:
    hooks = module._state_hooks
    return (
        type(module)._load_from_state_dict is not ModuleState._load_from_state_dict
        or type(module).set_extra_state is not ModuleState.set_extra_state
        or bool(hooks.get("load_before") or hooks.get("load_after"))
    )
