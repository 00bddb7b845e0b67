"""`Module`: named parameters, buffers and children, found by attribute, saved and loaded by
name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import intaglio as ig
from intaglio._scope import current
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, Error
from intaglio.nn._buffer import Buffer
from intaglio.nn._kinds import KindError
from intaglio.nn._module_hooks import EVERYWHERE, ModuleHooks, RemovableHandle, hooked_call
from intaglio.nn._module_state import IncompatibleKeys, LoadError, ModuleState

__all__ = ["IncompatibleKeys", "LoadError", "Module", "RemovableHandle"]

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
    "_state_hooks",
)  # fmt: skip


class Module(ModuleHooks, ModuleState):
    """Base of every layer and model.

    Assigning a `Parameter`, a `Buffer`, a `Module` or (after `register_buffer`) a tensor to an
    attribute registers it under that name. Subclasses define `forward`; calling the module
    runs the forward hooks around it and places every op under the module's path."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            raise TypeError(
                f"{type(self).__name__}: Module.__init__ takes no arguments, and got"
                f" {[*map(repr, args), *kwargs]}"
            )
        own = self.__dict__
        own["training"] = True
        for name in _REGISTRIES:
            own[name] = OrderedDict()
        for name in _HOOKS:
            own[name] = {}
        own["_non_persistent"], own["_hook_changes"] = set(), None

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise Error(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        if "_compiled_call" in self.__dict__:
            return self.__dict__["_compiled_call"](*inputs, **keywords)
        return self._call_impl(*inputs, **keywords)

    def _call_impl(self, *inputs: Any, **keywords: Any) -> Any:
        before = current.scope
        current.scope = (before, self)
        try:
            if self._hook_changes or EVERYWHERE["any"]:
                return hooked_call(self, self.forward, inputs, keywords)
            return self.forward(*inputs, **keywords)
        finally:
            current.scope = before

    def compile(self, *, disable: bool = False, **options: Any) -> None:
        """Let calls run compiled from now on, in place. torch's options (`backend`, `mode`, ...)
        change nothing."""
        from intaglio._jit import jit

        self.__dict__["_compiled_call"] = jit(self._call_impl, disable=disable)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_compiled_call"}

    # ----------------------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        registries = self.__dict__
        if "_parameters" not in registries:
            if isinstance(value, Parameter | Buffer | Module):
                raise Error(
                    f"{type(self).__name__}: call super().__init__() before assigning {name!r}"
                )
            super().__setattr__(name, value)
            return
        computed = getattr(type(self), name, None)
        if isinstance(computed, property) and computed.fset is not None:
            super().__setattr__(name, value)
            return
        if isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
            return
        for kind, registry in ((Parameter, "_parameters"), (Module, "_modules")):
            if isinstance(value, kind):
                self._forget_impl(name, registry)
                registries[registry][name] = value
                return
        for registry in ("_parameters", "_modules", "_buffers"):
            if name in registries[registry]:
                self._replace_impl(registry, name, value)
                return
        super().__setattr__(name, value)

    def _replace_impl(self, registry: str, name: str, value: Any) -> None:
        allowed = isinstance(value, Tensor) if registry == "_buffers" else False
        if value is not None and not allowed:
            wanted = {"_parameters": "a Parameter", "_modules": "a Module", "_buffers": "a Tensor"}[
                registry
            ]
            remedy = f"; write nn.Parameter({name})" if isinstance(value, Tensor) else ""
            raise KindError(
                f"{type(self).__name__}.{name} takes {wanted} or None, not"
                f" {type(value).__name__}{remedy}"
            )
        self.__dict__[registry][name] = value

    def _forget_impl(self, name: str, kept: str) -> None:
        """Take a name out of every registry but one, where what is replaced keeps its place."""
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry != kept:
                self.__dict__[registry].pop(name, None)
        self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        for registry in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(registry)
            if found is not None and name in found:
                return found[name]
        told = f"{type(self).__name__} has no attribute {name!r}"
        if "_parameters" not in self.__dict__:
            told += f": {type(self).__name__}.__init__ has to call super().__init__() first"
        raise AttributeError(told)

    def __delattr__(self, name: str) -> None:
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                return
        super().__delattr__(name)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter (or the place of one: None) under a name."""
        self._check_name(name)
        self._check_kind(name, parameter, Parameter)
        self._forget_impl(name, "_parameters")
        self._parameters[name] = parameter

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but is not trained; `persistent=False` keeps it
        out of `state_dict`."""
        self._check_name(name)
        self._check_kind(name, tensor, Tensor)
        self._forget_impl(name, "_buffers")
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child under a name."""
        self._check_name(name)
        self._check_kind(name, module, Module)
        self._forget_impl(name, "_modules")
        self._modules[name] = module

    add_module = register_module

    def _check_name(self, name: str) -> None:
        if not name or "." in name:
            raise KeyError(
                f"{type(self).__name__}: a name must be non-empty and without dots, not {name!r}"
            )
        registered = (self._parameters, self._buffers, self._modules)
        if hasattr(self, name) and not any(name in registry for registry in registered):
            raise KeyError(f"{type(self).__name__}: the attribute {name!r} exists already")

    def _check_kind(self, name: str, value: Any, kind: type) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{type(self).__name__}.{name} takes a {kind.__name__} or None, not"
                f" {type(value).__name__}"
            )

    # ------------------------------------------------------------------------------------ traversal

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module under `prefix` and every one below it, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and every one below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children by name, each once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (child for _, child in self.named_children())

    def _named(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, tensor in module.__dict__[registry].items():
                if tensor is None or (remove_duplicate and id(tensor) in seen):
                    continue
                seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters by qualified name, tied ones once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, tied ones once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers by qualified name."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; the module itself for the empty path."""
        module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(
                    f"{type(module).__name__} has no child {name!r} (in {target!r})"
                )
            module = child
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path; with `strict` there must be one already."""
        if not isinstance(module, Module):
            raise TypeError(f"set_submodule: a Module is wanted, not {type(module).__name__}")
        path, _, name = target.rpartition(".")
        if not name:
            raise ArgumentError("set_submodule: the path is empty")
        parent = self.get_submodule(path)
        if strict and parent._modules.get(name) is None:
            raise AttributeError(f"{type(parent).__name__} has no child {name!r} (in {target!r})")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"there is no parameter {target!r}")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"there is no buffer {target!r}")
        return found

    # ---------------------------------------------------------------------------------------- modes

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below to training (dropout drops, ...) or, with False, to
        evaluation."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: mode is True or False, not {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Switch differentiation of all parameters on or off (freezing)."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or fill them with zero."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = ig.zeros_like(parameter.grad)

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call `function` on every module below, children first, and on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace what parameters, their gradients and buffers hold by `function` of it."""
        with ig.no_grad():
            for module in self.modules() if recurse else [self]:
                for parameter in module._parameters.values():
                    if parameter is not None:
                        _replace(parameter, function)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = function(buffer)
        return self

    def to(
        self,
        *arguments: Any,
        dtype: DType | None = None,
        device: Any = None,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> Self:
        """Convert floating parameters and buffers, or move all, in place: `to(ig.float64)`,
        `to("cuda")`, `to(other_tensor)`."""
        for argument in arguments:
            if isinstance(argument, DType):
                dtype = argument
            elif isinstance(argument, Tensor):
                dtype, device = argument.dtype, argument.device
            elif not isinstance(argument, bool):
                device = argument
        if dtype is not None and not dtype.is_floating_point:
            raise ArgumentError(f"Module.to takes a floating-point dtype, not {dtype!r}")

        def moved(tensor: Tensor) -> Tensor:
            wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
            return tensor.to(dtype=wanted, device=device)

        return self._apply(moved)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers, also those of integers, to a dtype."""
        from intaglio._dtype_names import as_dtype

        wanted = as_dtype(dst_type)
        return self._apply(lambda tensor: tensor.to(wanted))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move parameters and buffers to a device without their values."""
        return self._apply(lambda t: ig.empty_like(t, device=device), recurse)

    def share_memory(self) -> Self:
        """Move parameters and buffers into memory that is shared between processes."""
        from intaglio.multiprocessing._sharing import share_together

        share_together((*self.parameters(), *self.buffers()))
        return self

    def cuda(self, device: Any = None) -> Self:
        """Move parameters and buffers to a CUDA device."""
        return self.to(device=f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self.to(device="cpu")

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(ig.float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(ig.float64)

    def half(self) -> Self:
        """Convert to float16."""
        return self.to(ig.float16)

    def bfloat16(self) -> Self:
        """Convert to bfloat16."""
        return self.to(ig.bfloat16)

    # ------------------------------------------------------------------------------------- printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What `repr` shows of this module besides its children."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {_indented(repr(child))}" for name, child in self._modules.items()]
        if not children:
            return f"{self._get_name()}({extra})"
        lines = [extra] if extra else []
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"

    def _repr_html_(self) -> str:
        from intaglio._html import module_html

        return module_html(self)


def _replace(parameter: Parameter, function: Callable[[Tensor], Tensor]) -> None:
    gradient = parameter.grad
    moved = function(parameter)
    if moved is not parameter:
        parameter.data = moved
    if gradient is not None:
        parameter.grad = function(gradient)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
