"""Loaded models: a file's functions as Python callables over the file's state.

Neither the front end nor the author's code is needed. Calls that only read run side by side; calls
that update state have the model for themselves, and one that fails leaves every state as it was."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Never

from intaglio.compiler.errors import ArgumentError, DeviceError
from intaglio.compiler.ir import Function, Program
from intaglio.runtime.arrays import Array
from intaglio.runtime.executor import FunctionExecutable
from intaglio.runtime.report import Explanation, Plan, Profile, explain, plan_of, profile
from intaglio.runtime.settings import parse_bytes
from intaglio.runtime.state import States
from intaglio.runtime.structure import LEAF, builder, by_parameter, flatten

if TYPE_CHECKING:  # what looks for NaN is loaded where it is wanted
    from intaglio.runtime.checked import NaNCheck


def load(
    path: str | os.PathLike[str],
    device: str = "cpu",
    threads: int | None = None,
    max_memory: int | str | None = None,
    prints: bool = True,
    check_nan: bool = False,
    ops: Sequence[object] = (),
    **others: Never,
) -> Model:
    """The model in a file, checked in every byte.

    With `device="cuda"` (or `"cuda:1"`) the state lies on that device and functions run there: they
    take arrays of the device or of the CPU, and return `DeviceArray`s, which other libraries read
    through DLPack. `threads` bounds the threads of its calls on the CPU (default: all cores);
    `max_memory` (`"1GiB"`) bounds the file's tensors and, apart from them, what a call may take,
    checked before anything is allocated. What the author asked to see of values (`debug_print`) is
    shown after each call, unless `prints` is false. With `check_nan` functions run op by op on the
    CPU and raise `NaNError` with the op and line where a NaN came from (slow). `ops` are ops of
    the author's own that the file names (what `ig.custom_op` and its kin return): the file holds
    none of their code. Raises `FormatError` for what is not a whole model file or names an op that
    is not there, `MemoryError` when it is too large, `DeviceError` when there is no such device."""
    from intaglio.runtime.file import read

    if others:
        raise ArgumentError(
            f"load: there is no option {next(iter(others))!r}. A model's file is read here (with"
            " device='cuda' onto a device); weights, torch's files too, are read by"
            " load_weights(path), a run's objects by load_checkpoint(path, model=model)"
        )
    if ops:
        from intaglio.runtime.user_ops import check_given

        check_given(ops)
    limit = None if max_memory is None else parse_bytes(max_memory)
    found = read(os.fspath(path), max_memory=limit)
    return Model(
        found.program,
        found.values,
        found.metadata,
        device=device,
        threads=threads,
        max_memory=limit,
        prints=prints,
        check_nan=check_nan,
        digest=found.digest,
    )


class Model:
    """A program with its state: `model(x)` calls the function `forward`, `model.name(...)` the
    function `name`."""

    def __init__(
        self,
        program: Program,
        values: Mapping[str, Array],
        metadata: Mapping[str, object] | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        max_memory: int | None = None,
        backend: str | None = None,
        prints: bool = True,
        check_nan: bool = False,
        digest: str = "",
    ) -> None:
        found = None
        if device != "cpu" and check_nan:
            raise DeviceError(
                f"device {device!r}: check_nan runs op by op on the CPU; load with device='cpu'"
            )
        if device != "cpu":
            from intaglio.runtime.device.device import find_device

            found = find_device(device)
        if threads is not None and threads < 1:
            raise ArgumentError(f"threads={threads}: one at least")
        self.program = program
        self.state = States(program.state, values, found)
        self.metadata: Mapping[str, object] = MappingProxyType(dict(metadata or {}))
        self.device = device if found is None else found.name
        self._digest = digest
        self._options: dict[str, Any] = {
            "threads": threads, "max_memory": max_memory, "backend": backend, "prints": prints,
            "check_nan": _nan_check(check_nan),
            "device": found,
        }  # fmt: skip
        self._functions: dict[str, LoadedFunction] = {}

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions."""
        return tuple(self.program.functions)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`, or the only function there is."""
        return self.function()(*args, **kwargs)

    def __getattr__(self, name: str) -> LoadedFunction:
        if name.startswith("_") or name not in self.program.functions:
            raise AttributeError(f"the model has no function {name!r}; it has {self._listed()}")
        return self.function(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.program.functions]

    def __repr__(self) -> str:
        return f"Model({self._listed()}; {len(self.state)} states)"

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import program_html

        return program_html(self.program, "Model")

    def _listed(self) -> str:
        return ", ".join(map(repr, self.program.functions)) or "no functions"

    def function(self, name: str = "") -> LoadedFunction:
        """The function of this name as a callable; without a name, `forward` or the only one."""
        found = self._functions.get(name)
        if found is None:
            known = self.program.functions
            key = name or ("forward" if len(known) != 1 else next(iter(known)))
            if key not in known:
                raise ArgumentError(f"the model has no function {key!r}; it has {self._listed()}")
            made = self._functions.get(key) or LoadedFunction(self, known[key])
            found = self._functions[name] = self._functions.setdefault(key, made)
        return found

    @cached_property
    def written(self) -> frozenset[str]:
        """The states that some function updates."""
        return frozenset(s for f in self.program.functions.values() for s in f.updates)

    def plan(self, name: str = "", /, **sizes: int) -> Plan:
        """The memory of a call of a function with these sizes, before anything is allocated:
        `model.plan("forward", n=32).peak_bytes`."""
        return plan_of(self.function(name).executable, sizes)

    def explain(self, name: str = "", /, **sizes: int) -> Explanation:
        """What the compiler makes of a function: its kernels, why neighbours were not fused, and
        with sizes who holds the peak of memory."""
        return explain(self.function(name).executable, sizes)

    def profile(self, name: str, *args: Any, calls: int = 20, **kwargs: Any) -> Profile:
        """Where the time of a function goes for these arguments. It runs on copies of the state."""
        return self.function(name).profile(*args, calls=calls, **kwargs)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all state values by name, tied names included."""
        values = self.state.snapshot()
        return {name: values[first] for name, first in self.state.names().items()}

    def load_state_dict(
        self, values: Mapping[str, object], strict: bool = True
    ) -> tuple[list[str], list[str]]:
        """Set states from a mapping; all, or none when a value is refused. Returns the names that
        were missing and those that are unknown; with `strict` both must be empty."""
        names = self.state.names()
        given = {names[n] for n in values if n in names}
        missing = [n for n in self.state if n not in given]
        unexpected = [n for n in values if n not in names]
        if strict and (missing or unexpected):
            told = [f"missing: {', '.join(missing)}"] if missing else []
            told += [f"unknown: {', '.join(unexpected)}"] if unexpected else []
            raise ArgumentError(f"load_state_dict: {'; '.join(told)} (strict=False allows that)")
        self.state.update_all({n: v for n, v in values.items() if n in names})
        return missing, unexpected

    def save(
        self, path: str | os.PathLike[str], metadata: Mapping[str, object] | None = None
    ) -> None:
        """Write the model with its present state; `metadata` replaces what the file said."""
        from intaglio.runtime.file import write

        kept = dict(self.metadata if metadata is None else metadata)
        with self.state.lock.reading:
            values = {name: self.state.host(name) for name in self.state}
            write(os.fspath(path), self.program, values, kept)


def _nan_check(wanted: bool) -> NaNCheck | None:
    if not wanted:
        return None
    from intaglio.runtime.checked import NaNCheck

    return NaNCheck()


class LoadedFunction:
    """One function of a loaded model. Call it with arrays, positionally or by name; results are
    ndarrays (on a device, arrays there), nested as the author returned them."""

    def __init__(self, model: Model, function: Function) -> None:
        self.model, self.function = model, function
        self.name = function.name
        digest = f"{model._digest} {function.name}" if model._digest else ""
        self.executable = FunctionExecutable(
            function, digest=digest, packed=model.state.packed, **model._options
        )
        self._names = self.executable.states
        self._build = builder(function.output_structure)
        names = function.parameters or function.arguments
        self.parameters = names
        parts = by_parameter(function.input_structure, names)
        if parts is None:
            parts = tuple([LEAF] * len(names))
        self._parts = parts
        self._flat = all(part == LEAF for part in parts)
        self._writes = frozenset(function.updates)
        states = model.state
        self._held: AbstractContextManager[None] | None = None
        self._seen: tuple[int, tuple[Array, ...]] = (-1, ())
        if self._writes:
            self._held = states.lock.writing
        elif model.written & set(self.executable.states):
            self._held = states.lock.reading

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        leaves: Sequence[Any]
        if kwargs or not self._flat or len(args) != len(self._parts):
            leaves = self._leaves(args, kwargs)
        else:
            leaves = args
        if self._held is None:
            return self._build(self.executable.call(leaves, self._states()))
        with self._held:
            return self._build(self.executable.call(leaves, self._states()))

    def _states(self) -> tuple[Array, ...]:
        """The arrays of the states, those that are updated ready for it: the same tuple as long as
        they are the same."""
        states, writes = self.model.state, self._writes
        version, arrays = self._seen
        if version != states.version:
            version = states.version
            arrays = tuple(
                [states.writable(n) if n in writes else states.array(n) for n in self._names]
            )
            self._seen = (version, arrays)
        if writes:
            states.packed.forget_all(writes)
        return arrays

    def profile(self, *args: Any, calls: int = 20, **kwargs: Any) -> Profile:
        """Where the time of a call with these arguments goes, over copies of the states that it
        updates."""
        states = self.model.state
        leaves = self._leaves(args, kwargs)
        with states.lock.reading:
            for name in self._names:
                array = states.array(name)
                leaves.append(array.copy() if name in self._writes else array)
        return profile(self.executable, leaves, calls)

    def _leaves(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments' leaves in order."""
        names = self.parameters
        signature = f"{self.name}({', '.join(names)})"
        if len(args) > len(names):
            raise ArgumentError(f"{signature} takes {len(names)} arguments, and got {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                raise ArgumentError(f"{signature} has no parameter {name!r}")
            if name in given:
                raise ArgumentError(f"{signature} got {name!r} twice")
            given[name] = value
        missing = [n for n in names if n not in given]
        if missing:
            raise ArgumentError(f"{signature} lacks {', '.join(missing)}")
        leaves: list[Any] = []
        for name, part in zip(names, self._parts, strict=True):
            flatten(part, given[name], name, leaves)
        return leaves

    def __repr__(self) -> str:
        values = self.function.argument_values
        shown = ", ".join(
            f"{n}: {v.type}" for n, v in zip(self.function.arguments, values, strict=True)
        )
        results = ", ".join(str(v.type) for v in self.function.result_values)
        return f"{self.name}({shown}) -> {results}"
