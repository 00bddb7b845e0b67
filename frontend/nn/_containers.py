"""Modules that hold modules: `Sequential`, `ModuleList` and `ModuleDict`."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from intaglio.compiler.errors import ArgumentError, IndexError
from intaglio.nn._kinds import KindError, check_kind
from intaglio.nn._module import Module, _indented


def place_of(container: Any, index: Any) -> int:
    """The index counted from the front, if there is such an element."""
    try:
        number = operator.index(index)
    except TypeError:
        raise KindError(
            f"{type(container).__name__} takes whole numbers as indices, not {type(index).__name__}"
        ) from None
    count = len(container)
    if not -count <= number < count:
        raise IndexError(
            f"{type(container).__name__}: index {number} is out of range for {count} elements"
        )
    return number % count


class _Numbered(Module):
    """Modules in an order, which may have names of their own."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _name(self, index: Any) -> str:
        """The name of the module at an index."""
        return list(self._modules)[place_of(self, index)]

    def _renumber(self, modules: Iterable[Any]) -> None:
        """Hold these modules under the names 0, 1, ..."""
        kept = list(modules)
        self._modules.clear()
        for k, module in enumerate(kept):
            self._modules[str(k)] = module

    def __setitem__(self, index: int, module: Module) -> None:
        check_kind(type(self).__name__, module, Module, "modules")
        self._modules[self._name(index)] = module

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = names[index] if isinstance(index, slice) else [self._name(index)]
        kept = [module for name, module in self._modules.items() if name not in gone]
        self._renumber(kept)

    def pop(self, index: int | slice) -> Any:
        """Take a module out."""
        module = self[index]  # type: ignore[index]  # both kinds below have it
        del self[index]
        return module

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        if module is not None:  # an empty place
            check_kind(type(self).__name__, module, Module, "modules")
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before the one at an index; those behind it get the next numbers."""
        raise NotImplementedError

    def _insert(self, index: int, module: Module) -> None:
        check_kind(f"{type(self).__name__}.insert", module, Module, "a module")
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._renumber(modules)

    def extend(self, modules: Any) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise KindError(
                f"{type(self).__name__}.extend takes several modules, not {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self


class Sequential(_Numbered):
    """Calls its modules one after another; takes modules, or one ordered dict of named modules."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = list(args[0].items())
        else:
            named = [(str(k), module) for k, module in enumerate(args)]
        for name, module in named:
            if module is not None:
                check_kind("Sequential", module, Module, "modules")
            self.add_module(name, module)

    def forward(self, x: Any) -> Any:
        """The last module's result."""
        for module in self._modules.values():
            assert module is not None
            x = module(x)
        return x

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at an index; those behind it get the next numbers."""
        count = len(self)
        if not -count <= index <= count:
            raise IndexError(
                f"Sequential.insert: index {index} is out of range for {count} modules"
            )
        self._insert(index, module)
        return self

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ArgumentError(f"Sequential + {type(other).__name__}: both sides are Sequential")
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        if not isinstance(other, Sequential):
            raise ArgumentError(f"Sequential += {type(other).__name__}: both sides are Sequential")
        return self.extend(other)

    def _times(self, count: Any) -> int:
        if not isinstance(count, int):
            raise KindError(f"Sequential * {type(count).__name__}: a whole number is wanted")
        if count <= 0:
            raise ArgumentError(f"Sequential * {count}: a positive number is wanted")
        return count

    def __mul__(self, count: int) -> Sequential:
        return Sequential(*[module for _ in range(self._times(count)) for module in self])

    __rmul__ = __mul__

    def __imul__(self, count: int) -> Self:
        self._renumber([module for _ in range(self._times(count)) for module in self])
        return self


class ModuleList(_Numbered):
    """A list of modules whose parameters are found."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules if modules is not None else ())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)([*self][index])
        return self._modules[self._name(index)]

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at an index; those behind it get the next numbers."""
        self._insert(index, module)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __repr__(self) -> str:
        lines: list[str] = []
        texts = [repr(module) for module in self]
        first = 0
        while first < len(texts):
            last = first
            while last + 1 < len(texts) and texts[last + 1] == texts[first]:
                last += 1
            place = f"({first})" if last == first else f"({first}-{last})"
            count = "" if last == first else f"{last - first + 1} x "
            lines.append(f"{place}: {count}{_indented(texts[first])}")
            first = last + 1
        name = type(self).__name__
        return f"{name}(\n  " + "\n  ".join(lines) + "\n)" if lines else f"{name}()"


class ModuleDict(Module):
    """A dict of modules whose parameters are found."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update({} if modules is None else modules)

    def update(self, modules: Any) -> None:
        """Add or replace modules: a mapping of names, or (name, module) pairs."""
        if not isinstance(modules, Iterable):
            raise KindError(
                "ModuleDict.update takes a mapping or pairs of name and module, not"
                f" {type(modules).__name__}"
            )
        mapping = isinstance(modules, Mapping | ModuleDict)
        for entry in list(modules.items() if mapping else modules):  # type: ignore[attr-defined]
            pair = tuple(entry) if isinstance(entry, Iterable) else ()
            if len(pair) != 2:
                raise ArgumentError(
                    f"ModuleDict.update: {entry!r} is not a pair of name and module"
                )
            self[pair[0]] = pair[1]

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        check_kind("ModuleDict", key, str, "names that are text")
        check_kind("ModuleDict", module, Module, "modules")
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take all out."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Take a module out."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()
