"""A module whose calls are compiled, with the attributes and state of the module itself."""

from __future__ import annotations

from typing import Any

from intaglio._jit import jit
from intaglio.nn._module import Module


class CompiledModule(Module):
    """`compile(model)`: calls run compiled, on the parameters of `model`, which is the child
    `_orig_mod` (so names in its `state_dict` begin with it, as in torch). Every other attribute is
    the model's."""

    def __init__(self, model: Module, disable: bool = False) -> None:
        super().__init__()
        self.training = model.training
        self._orig_mod = model
        self._jitted = jit(model, disable=disable)

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """The result of the model."""
        return self._jitted(*inputs, **keywords)

    def explain(self) -> str:
        """Every compilation so far, and why it happened."""
        return str(self._jitted.explain())

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules", {})
        if "_orig_mod" not in modules or name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(modules["_orig_mod"], name)
