"""A list and a dict of parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from intaglio._tensor import Parameter, Tensor
from intaglio.nn._containers import place_of
from intaglio.nn._kinds import KindError, check_kind
from intaglio.nn._module import Module


def as_parameter(owner: Module, value: Any) -> Parameter:
    """The parameter, or the tensor as one."""
    check_kind(type(owner).__name__, value, Tensor, "tensors and parameters")
    return value if isinstance(value, Parameter) else Parameter(value)


class ParameterList(Module):
    """A list of parameters; plain tensors that are added become parameters."""

    def __init__(self, values: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.extend(values if values is not None else ())

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __getitem__(self, index: int | slice) -> Any:
        several = list(self._parameters.values())
        if isinstance(index, slice):
            return type(self)(p for p in several[index] if p is not None)
        return several[place_of(self, index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._parameters[str(place_of(self, index))] = as_parameter(self, value)

    def __iadd__(self, values: Iterable[Tensor]) -> Self:
        return self.extend(values)

    def append(self, value: Tensor) -> Self:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), as_parameter(self, value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Add parameters at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise KindError(
                f"{type(self).__name__}.extend takes several parameters, not"
                f" {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def __repr__(self) -> str:
        lines = [f"  ({k}): {_described(p)}" for k, p in enumerate(self)]
        name = type(self).__name__
        return "\n".join([f"{name}(", *lines, ")"]) if lines else f"{name}()"


def _described(parameter: Tensor) -> str:
    size = "x".join(str(s) for s in parameter.shape)
    return f"Parameter containing: [{parameter.dtype} of size {size}]"


class ParameterDict(Module):
    """A dict of parameters by name, in the order in which they came, those of a plain dict sorted
    by name; plain tensors that are put in become parameters."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def update(self, parameters: Any) -> None:
        """Add or replace parameters, from a mapping or from pairs of names and tensors. Those of a
        plain mapping come in the order of their names, as in torch: the order of parameters is that
        of an optimizer's state."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs = sorted(pairs)
        for name, value in pairs:
            self[name] = value

    def __setitem__(self, name: str, value: Tensor | None) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"ParameterDict: a name is a text without dots, not {name!r}")
        kept = value is None or isinstance(value, Parameter)
        self._parameters[name] = value if kept else Parameter(value)  # type: ignore[assignment]  # a Parameter or None when kept

    def __getitem__(self, name: str) -> Any:
        return self._parameters[name]

    def __delitem__(self, name: str) -> None:
        del self._parameters[name]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._parameters))

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def __or__(self, other: Mapping[str, Tensor]) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ior__(self, other: Mapping[str, Tensor]) -> Self:
        self.update(other)
        return self

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and parameters."""
        return self._parameters.items()

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter of this name, or `default`."""
        return self._parameters.get(name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The parameter of this name; `default` becomes it where there is none."""
        if name not in self._parameters:
            self[name] = default
        return self._parameters[name]

    def pop(self, name: str) -> Any:
        """Take a parameter out."""
        return self._parameters.pop(name)

    def popitem(self) -> tuple[str, Any]:
        """Take the last name and parameter out."""
        name = next(reversed(self))
        return name, self.pop(name)

    def clear(self) -> None:
        """Take all out."""
        self._parameters.clear()

    def copy(self) -> ParameterDict:
        """Another dict of the same parameters."""
        return ParameterDict(self)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Another dict with these names, all for `default`."""
        return ParameterDict(dict.fromkeys(keys, default))
