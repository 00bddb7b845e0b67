"""Parameters that are functions of others: `module.weight` is computed from
`module.parametrizations.weight.original` whenever it is read.

A parametrization is a module whose `forward(original)` gives the tensor; a `right_inverse(tensor)`,
where it has one, gives the original (or a tuple of several) back for an assigned tensor."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import intaglio as ig
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._containers import ModuleDict, ModuleList
from intaglio.nn._module import Module
from intaglio.nn.utils._injected import inject, take_back

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache(threading.local):
    depth = 0
    values: dict[tuple[int, str], Any]


_cache: Final = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once inside of the block, where it is read several times."""
    if not _cache.depth:
        _cache.values = {}
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values = {}


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they apply, and what they apply to:
    `original`, or `original0`, `original1`, ..."""

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("ParametrizationList: there is no parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        made = _inverted(modules, original)
        self.is_tensor = isinstance(made, Tensor)
        self.ntensors = 1 if self.is_tensor else len(made)
        if self.is_tensor:
            _keep(self, "original", made, original)
        else:
            for k, part in enumerate(made):
                _keep(self, f"original{k}", part, original)
        if not unsafe:
            _check_fits(self(), original)

    def originals(self) -> list[Tensor]:
        """What the parametrizations apply to."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{k}") for k in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Change the originals so that the tensor becomes `value`."""
        with ig.no_grad():
            made = _inverted(list(self), value, needed=True)
            parts = [made] if isinstance(made, Tensor) else list(made)
            if len(parts) != self.ntensors:
                raise ArgumentError(
                    f"right_inverse gave {len(parts)} tensors where there are {self.ntensors}"
                )
            for original, part in zip(self.originals(), parts, strict=True):
                if tuple(original.shape) == tuple(part.shape) and original.dtype is part.dtype:
                    original.copy_(part)
                else:
                    original.data = part

    def forward(self) -> Any:
        """The tensor."""
        first, *others = list(self)
        x = first(*self.originals())
        for module in others:
            x = module(x)
        return x


def _inverted(modules: list[Any], value: Any, needed: bool = False) -> Any:
    """What the parametrizations would make the value of; the value where they can't say."""
    for module in reversed(modules):
        if hasattr(module, "right_inverse"):
            try:
                with ig.no_grad():
                    value = module.right_inverse(value)
                continue
            except NotImplementedError:
                pass
        if needed:
            raise ArgumentError(
                f"{type(module).__name__} defines no right_inverse, so the tensor that it"
                " parametrizes can't be assigned"
            )
    return value


def _keep(owner: Module, name: str, tensor: Tensor, like: Tensor) -> None:
    """Register a tensor as the parameter or buffer that `like` was; itself, where it is that."""
    if tensor is like:
        _register(owner, name, tensor)
    elif isinstance(like, Parameter):
        made = Parameter(tensor.detach().clone(), requires_grad=like.requires_grad)
        owner.register_parameter(name, made)
    else:
        owner.register_buffer(name, tensor.detach().clone())


def _register(owner: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        owner.register_parameter(name, tensor)
    else:
        owner.register_buffer(name, tensor)


def _check_fits(made: Any, original: Tensor) -> None:
    if not isinstance(made, Tensor):
        raise ArgumentError(f"a parametrization gives a tensor, not {type(made).__name__}")
    if made.dtype is not original.dtype or tuple(made.shape) != tuple(original.shape):
        raise ArgumentError(
            f"a parametrization gives {made.dtype}{list(made.shape)} for"
            f" {original.dtype}{list(original.shape)}; unsafe=True allows that"
        )


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let `module.tensor_name` be `parametrization` of what it was; the module. Several apply one
    after the other. `unsafe` leaves out the check that shape and dtype stay."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        before = getattr(module, tensor_name)
        if not unsafe:
            with ig.no_grad():
                _check_fits(parametrization(before), before)
        held: Any = module.parametrizations[tensor_name]
        held.append(parametrization)
        held.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ArgumentError(
            f"{type(module).__name__} has no parameter or buffer {tensor_name!r} to parametrize"
        )
    made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.register_module("parametrizations", ModuleDict())
    module.parametrizations[tensor_name] = made

    def read(self: Any) -> Any:
        key = (id(self), tensor_name)
        if not _cache.depth:
            return self.parametrizations[tensor_name]()
        if key not in _cache.values:
            _cache.values[key] = self.parametrizations[tensor_name]()
        return _cache.values[key]

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[tensor_name].right_inverse(value)

    inject(module, tensor_name, "Parametrized", read, write)
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module (or any) is parametrized."""
    held: Any = module._modules.get("parametrizations")
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the tensor a plain parameter or buffer again, with its present value or (with
    `leave_parametrized=False`) that of the original; the module."""
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(f"{type(module).__name__}.{tensor_name} is not parametrized")
    held: Any = module.parametrizations[tensor_name]
    with ig.no_grad():
        value = getattr(module, tensor_name).detach().clone()
    original = held.originals()[0]
    if held.is_tensor:
        if leave_parametrized:
            original.data = value
    elif leave_parametrized:
        wants = any(t.requires_grad for t in held.originals())
        original = Parameter(value) if wants else value
    else:
        raise ArgumentError(
            "remove_parametrizations: the tensor is made of several, so it can only be left as it"
            " is: leave_parametrized=True"
        )
    del module.parametrizations[tensor_name]
    take_back(module, tensor_name)
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
    _register(module, tensor_name, original)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class as it was written."""
    kind = type(module)
    return vars(kind).get("_class_before", kind) if is_parametrized(module) else kind


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give a module the parametrizations of another (of one tensor, or of all) and copies of their
    originals; the module."""
    if not is_parametrized(from_module):
        return to_module
    names = [tensor_name] if tensor_name is not None else list(from_module.parametrizations)
    for name in names:
        if name not in to_module._parameters and not hasattr(to_module, name):
            _register(
                to_module, name, copy.deepcopy(from_module.parametrizations[name].originals()[0])
            )
        for parametrization in from_module.parametrizations[name]:
            register_parametrization(to_module, name, parametrization, unsafe=True)
        pairs = zip(
            to_module.parametrizations[name].originals(),
            from_module.parametrizations[name].originals(),
            strict=True,
        )
        with ig.no_grad():
            for own, given in pairs:
                own.copy_(given)
    return to_module
