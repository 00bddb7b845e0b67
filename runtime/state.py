"""The values of a loaded model's states: read as copies, set with checks, written in place by its
functions. With a device they lie there, and are copied down when they are read.

Values that came from a file are mapped read-only; a state becomes memory of its own when something
first writes it. Setting one swaps its array, so that a call in flight keeps reading the old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.ir import State
from intaglio.runtime.arrays import Array, as_operand
from intaglio.runtime.locks import SharedLock
from intaglio.runtime.packed import PackedStates

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device


class States(MutableMapping[str, Array]):
    """State values by name; tied names reach the same value. Iterates over the names that values
    are saved under."""

    def __init__(
        self,
        declared: Mapping[str, State],
        values: Mapping[str, Array],
        device: Device | None = None,
    ) -> None:
        self._device = device
        self.declared = dict(declared)
        self.lock = SharedLock()
        self.packed = PackedStates()
        self._first = {n: name for name, state in declared.items() for n in state.names}
        self._arrays: dict[str, Array] = {}
        self._own: set[str] = set()
        self.version = 0
        """Counts the times that a state's array became another; writing in place does not count."""
        for name, state in declared.items():
            if name not in values:
                raise ArgumentError(f"the state {name!r} has no value")
            array = _checked(values[name], state)
            self._arrays[name] = array
            if device is not None or array.flags.writeable:  # by the caller too
                self._arrays[name] = self._fresh(array)
                self._own.add(name)

    def __getitem__(self, name: str) -> Array:
        with self.lock.reading:
            return self._copied(self._named(name))

    def __setitem__(self, name: str, value: object) -> None:
        first = self._named(name)
        fresh = self._fresh(_checked(value, self.declared[first]))
        with self.lock.writing:
            self._arrays[first] = fresh
            self._own.add(first)
            self.version += 1
            self.packed.forget(first)

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(f"the state {name!r} is declared by the program and can't be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __repr__(self) -> str:
        return "\n".join(f"{n}: {s.type} ({s.kind})" for n, s in self.declared.items())

    def names(self) -> dict[str, str]:
        """Every name, tied ones too, with the name it is saved under."""
        return dict(self._first)

    def array(self, name: str) -> Array:
        """The array itself, not to be written."""
        return self._arrays[name]

    def host(self, name: str) -> Array:
        """The value as an ndarray, not to be written: the array itself, or a copy from the
        device."""
        return self._arrays[name] if self._device is None else self._copied(name)

    def _copied(self, name: str) -> Array:
        array: Any = self._arrays[name]
        made: Array = array.copy() if self._device is None else array.to_host()
        return made

    def _fresh(self, array: Array) -> Any:
        """A copy that is ours, on the device if there is one."""
        return np.array(array) if self._device is None else self._device.upload(array)

    def writable(self, name: str) -> Array:
        """The array itself, to be written in place by the holder of the lock."""
        self.packed.forget(name)
        if name not in self._own:
            self._arrays[name] = np.array(self._arrays[name], order="C", copy=True)
            self._own.add(name)
            self.version += 1
        return self._arrays[name]

    def snapshot(self) -> dict[str, Array]:
        """Copies of all values, taken at one moment."""
        with self.lock.reading:
            return {name: self._copied(name) for name in self._arrays}

    def update_all(self, values: Mapping[str, object]) -> None:
        """Set several states: all of them, or none when one is refused."""
        fresh = {}
        for name, value in values.items():
            first = self._named(name)
            fresh[first] = self._fresh(_checked(value, self.declared[first]))
        with self.lock.writing:
            self._arrays.update(fresh)
            self._own.update(fresh)
            self.version += 1
            self.packed.forget_all(fresh)

    def _named(self, name: str) -> str:
        found = self._first.get(name)
        if found is None:
            import difflib

            near = difflib.get_close_matches(name, self._first, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ArgumentError(f"there is no state called {name!r}{hint}")
        return found


def _checked(value: object, state: State) -> Array:
    array = as_operand(value, state.type, state.name)
    if array.shape != state.type.shape:
        shown = ",".join(map(str, array.shape))
        raise ShapeError(f"{state.name} is {state.type.dtype}[{shown}], and {state.type} is wanted")
    return array
