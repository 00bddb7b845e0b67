"""`Program`: traced functions over shared state, which print, run, and are saved as one file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from intaglio._core import Array, Tensor, counter_of, wrap
from intaglio._kind import kind_of_array
from intaglio._recorded import Recorded, StateRef, is_leaf, record
from intaglio._structure import flatten
from intaglio._trace import live
from intaglio.compiler.errors import ArgumentError, TraceError
from intaglio.compiler.ir import Function, Graph, Program as IRProgram, State
from intaglio.compiler.passes.unread import unread_gradients
from intaglio.runtime.structure import builder

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device

LOG = logging.getLogger("intaglio")


class Program:
    """Named functions over shared state. In the tracing process the state is the module's own
    tensors; `save` writes their values of that moment."""

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}
        self._recorded: dict[str, Recorded] = {}
        self._states: dict[str, StateRef] = {}
        self._declared: dict[str, State] = {}
        self._by_key: dict[tuple[int, bool], str] = {}
        self._chosen: dict[int, tuple[Tensor, list[str], str]] = {}
        self._executables: dict[str, Any] = {}
        self._ir: IRProgram | None = None

    # -------------------------------------------------------------------------------------- tracing

    def trace(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Program:
        """Add a function, traced for arguments like these (tensors, arrays or specs), over the same
        state; this program."""
        if name in self._functions:
            raise ArgumentError(f"trace: the program has a function {name!r} already")
        if not name.isidentifier():
            raise ArgumentError(f"trace: {name!r} is no name of a function")
        made = record(name, function, args, kwargs, grad=True, zero_gradients=True)
        if made.writes:
            made.graph = _without_writes(name, made)
        reads = tuple(self._state_name(ref, made) for ref in made.reads)
        updates = tuple(self._state_name(ref, made) for ref in made.updates)
        self._functions[name] = Function(
            name,
            made.graph,
            made.arguments,
            made.results,
            reads,
            updates,
            made.parameters,
            made.input_structure,
            made.output_structure,
            made.reached.training(),
        )
        self._recorded[name] = made
        self._ir = None  # a function may read what others only wrote
        for state in updates:
            if self._declared[state].kind == "constant":
                self._redeclare(state, "buffer")
        return self

    def name_states(self, named: Iterable[tuple[str, Tensor, str]]) -> None:
        """Choose names and kinds of tensors that functions traced later may reach. A tensor with
        several names is one state."""
        for name, tensor, kind in named:
            self._chosen.setdefault(id(tensor), (tensor, [], kind))[1].append(name)

    def updated_tensors(self, name: str) -> set[int]:
        """The identities of the tensors that a function writes."""
        return {id(ref.tensor) for ref in self._recorded[name].updates if not ref.gradient}

    def _redeclare(self, name: str, kind: str) -> None:
        before = self._declared[name]
        self._declared[name] = State(before.names, before.type, kind)

    def _state_name(self, ref: StateRef, made: Recorded) -> str:
        """The name of a state: the one it has, or the first one it was reached by."""
        known = self._by_key.get(ref.key)
        if known is not None:
            return known
        if ref.gradient:
            owner = self._state_name(StateRef(ref.tensor), made)
            names: tuple[str, ...] = (f"{owner}.grad",)
            kind = "gradient"
        else:
            names, kind = self._names(ref.tensor, made)
        self._by_key[ref.key] = names[0]
        self._states[names[0]] = ref
        self._declared[names[0]] = State(names, ref.tensor._kind.type, kind)
        return names[0]

    def _names(self, tensor: Tensor, made: Recorded) -> tuple[tuple[str, ...], str]:
        from intaglio._functions_random import default_generator

        if tensor is default_generator.seed_value:
            return ("random.seed",), "random"
        if tensor is default_generator.draw:
            return ("random.draw",), "random"
        found = made.reached.names.get(id(tensor), [])
        kind = made.reached.kinds.get(id(tensor), "constant")
        if id(tensor) in self._chosen:
            _, found, kind = self._chosen[id(tensor)]
        free = [n for n in found if n and n not in self._taken()]
        if not free:
            free = [self._fresh(found[0] if found and found[0] else "captured")]
        return tuple(free), kind

    def _taken(self) -> set[str]:
        return {n for s in self._declared.values() for n in s.names}

    def _fresh(self, stem: str) -> str:
        taken, k = self._taken(), 0
        while f"{stem}.{k}" in taken:
            k += 1
        return f"{stem}.{k}"

    # -------------------------------------------------------------------------------------- looking

    @property
    def ir(self) -> IRProgram:
        """The program as the compiler sees it, and as files hold it."""
        if self._ir is None:
            self._ir = unread_gradients(IRProgram(dict(self._functions), dict(self._declared)))
        return self._ir

    @property
    def functions(self) -> Mapping[str, Function]:
        """The functions by name."""
        return dict(self.ir.functions)

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the states' values of this moment."""
        return {name: self._states[name].peek().copy() for name in self.ir.state}

    @property
    def constants(self) -> list[str]:
        """What tracing froze: constant arrays, and the plain values that the functions reached."""
        made = []
        for name, function in self._functions.items():
            for node in function.graph.nodes:
                if node.op == "constant":
                    place = f" ({node.where[0]})" if node.where else ""
                    made.append(f"{name}: a constant {node.output.type}{place}")
            for path, value in self._recorded[name].reached.plain():
                made.append(f"{name}: {path} = {value!r}")
        return made

    def __str__(self) -> str:
        return str(self.ir)

    def __repr__(self) -> str:
        functions = ", ".join(self._functions)
        return f"<Program with {functions or 'no functions'}, {len(self.ir.state)} states>"

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import program_html

        return program_html(self.ir, "Program")

    # --------------------------------------------------------------------------- running and saving

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, or the only function there is."""
        name = "forward" if "forward" in self._functions else next(iter(self._functions), "")
        if not name or (name != "forward" and len(self._functions) > 1):
            raise ArgumentError(
                f"a program with the functions {list(self._functions)}: call one by name"
            )
        return self.run(name, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        functions = self.__dict__.get("_functions", {})
        if name not in functions:
            raise AttributeError(f"the program has no function {name!r}; it has {list(functions)}")
        return lambda *args, **kwargs: self.run(name, *args, **kwargs)

    def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run a function compiled, on the state that the program shares with the module."""
        function = self._functions[name]  # here the module's `.grad` are set too
        executable = self._executables.get(name)
        if executable is None:
            place = self._recorded[name].place
            executable = self._executables[name] = executable_of(function, place=place)
        given = list(args) + [kwargs[p] for p in function.parameters[len(args) :] if p in kwargs]
        leaves = [leaf for leaf in flatten(tuple(given))[0] if is_leaf(leaf)]
        if len(leaves) != len(function.arguments):
            raise ArgumentError(
                f"{name}: {len(leaves)} arrays given for the arguments"
                f" {', '.join(function.arguments)}"
            )
        arrays = [x._data if isinstance(x, Tensor) else x for x in leaves]
        arrays += [self._states[s].array() for s in function.reads]
        only = [s for s in function.updates if s not in function.reads]
        arrays += [self._states[s].array() for s in only]
        results = executable(arrays)
        for state in function.updates:
            counter_of(self._states[state].tensor)[0] += 1
        made = [wrap(a, kind_of_array(a)) for a in results]
        return builder(function.output_structure)(made)

    def save(
        self, path: str | os.PathLike[str], metadata: Mapping[str, object] | None = None
    ) -> None:
        """Write functions, state and remarks into one file."""
        from intaglio.runtime.file import write

        if not self._functions:
            raise TraceError("save: the program has no function; add one with trace")
        values = {name: self._states[name].peek() for name in self.ir.state}
        write(path, self.ir, values, dict(metadata or {}))


def _without_writes(name: str, made: Recorded) -> Graph:
    """The graph without what it writes to its arguments; says so."""
    from intaglio._trace_errors import kept_to_itself

    for number, place in made.writes:
        LOG.warning(kept_to_itself(name, made.arguments[number], place))
    graph = made.graph
    return live(graph.replace(outputs=graph.outputs[: len(graph.outputs) - len(made.writes)]))


def executable_of(function: Function, label: str = "", place: Device | None = None) -> Any:
    """The compiled form of a function. Its arrays are the arguments, the states read, and those
    only updated, in order."""
    from intaglio.compiler.ir import Value
    from intaglio.runtime.executor import Executable

    graph = function.graph
    only = [s for s in function.updates if s not in function.reads]
    types = {s: function.update_values[s].type for s in only}
    extra = [Value(types[s]) for s in only]
    names = [*function.arguments, *function.reads, *only]
    places = {s: len(function.arguments) + k for k, s in enumerate([*function.reads, *only])}
    updates = {len(function.results) + k: places[s] for k, s in enumerate(function.updates)}
    return Executable(
        graph.replace(inputs=[*graph.inputs, *extra]),
        updates=updates,
        states=len(function.reads) + len(only),
        names=names,
        label=label or function.name,
        device=place,
    )


@overload
def trace(target: Tensor) -> Tensor: ...


@overload
def trace(
    target: Callable[..., Any], *args: Any, name: str = "forward", **kwargs: Any
) -> Program: ...


def trace(target: Any, *args: Any, name: str = "forward", **kwargs: Any) -> Any:
    """A program with one function: `target` (a module or function) traced for arguments like these.

    Examples (tensors, arrays) fix the sizes; `spec` may leave some symbolic. Tensors that are
    reached without being given (parameters, buffers, closures, optimizer state) are state of the
    program, by reference. Raises `TraceError` where Python code wants values that exist only at
    run time.

    torch's other meaning of the name is kept: of a tensor, the sum of its diagonal."""
    if isinstance(target, Tensor):
        from intaglio._functions_diagonal import trace_of

        return trace_of(target, *args, **kwargs)
    return Program().trace(name, target, *args, **kwargs)
