"""`Loaded`: a saved file as a module of a new model.

A call runs the file's graph node by node through the front end, with the module's own tensors for
the file's states. So it is differentiated, traced into new programs, and compiled like any other
code; called by itself it is compiled per signature, as by `ig.jit`."""

from __future__ import annotations

import inspect
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import intaglio as ig
from intaglio._apply import apply
from intaglio._core import wrap
from intaglio._functions_random import default_generator
from intaglio._kind import kind_of_array
from intaglio._modes import modes
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dims import Dim, Size, collecting, holds, symbols
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.compiler.interpret import bind_sizes
from intaglio.compiler.ir import Function, Graph, Program as IRProgram, State
from intaglio.compiler.passes.specialise import specialise, specialised_size
from intaglio.compiler.types import TensorType
from intaglio.nn._module import Module
from intaglio.runtime.structure import LEAF, builder, by_parameter, flatten

if TYPE_CHECKING:  # loaded where they are wanted
    from intaglio._jit import Jitted
    from intaglio._program import Program
    from intaglio.runtime.model import Model

SHARED = {"random.seed": "seed_value", "random.draw": "draw"}
"""States that stand for the default stream of random numbers, and what holds them there."""
READ = ("parameter", "buffer", "constant", "random")
"""Kinds of states that a function of a module may read."""
WRITTEN = ("buffer", "constant", "random")
REMEMBERED = 32
"""Sizes for which a function's graph is kept."""


class LoadedPart(Module):
    """A module within a loaded one: it holds parameters, and what it did is part of the whole."""

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Refused: only the whole can be called."""
        raise ArgumentError("a part of a loaded model holds its parameters, and can't be called")


class _Source:
    """The functions of a file and where their states are in the module; never changed."""

    def __init__(self, program: IRProgram) -> None:
        self.program = program
        self.places: dict[str, tuple[str, str, str]] = {}
        self._bound: OrderedDict[Any, Graph] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Source:
        return self

    def __reduce__(self) -> Any:
        from intaglio.runtime.file.encode import encode
        from intaglio.runtime.file.writer import joined

        data, literals = encode(self.program)
        return _source_again, (data, joined(literals), self.places)

    def function(self, name: str) -> Function:
        """The function of this name, or without one `forward` or the only one."""
        known = self.program.functions
        key = name or ("forward" if len(known) != 1 else next(iter(known)))
        if key not in known:
            listed = ", ".join(map(repr, known)) or "no functions"
            raise ArgumentError(f"Loaded: the file has no function {key!r}; it has {listed}")
        self._check(known[key])
        return known[key]

    def _check(self, function: Function) -> None:
        """Only functions that compute, and keep at most statistics, can be part of a model."""
        state = self.program.state
        bad = [n for n in function.reads if state[n].kind not in READ]
        bad += [n for n in function.updates if state[n].kind not in WRITTEN]
        if bad:
            shown = ", ".join(f"{n} ({state[n].kind})" for n in dict.fromkeys(bad[:4]))
            raise ArgumentError(
                f"Loaded: the function {function.name!r} trains: it works on {shown}. A part of a"
                " model computes; run this one by ig.load(path), or trace a step of your own"
            )

    def bound(self, function: Function, leaves: Sequence[Tensor]) -> Graph:
        """The function's graph for arguments of these shapes."""
        types = [v.type for v in function.argument_values]
        shapes = [tuple(leaf.shape) for leaf in leaves]
        if all(isinstance(size, int) for shape in shapes for size in shape):
            sizes: Mapping[str, Size] = _numbers(function, types, leaves)
        else:
            sizes = _symbolic(function, types, leaves)
        if not sizes and not function.graph.constraints:
            return function.graph
        key = function.name, *sizes.items()
        found = self._bound.get(key)
        if found is None:
            found = self._bound[key] = specialise(function.graph, sizes)
            while len(self._bound) > REMEMBERED:
                self._bound.popitem(last=False)
        return found


def _source_again(data: bytes, literals: Any, places: dict[str, Any]) -> _Source:
    """What was handed to another process."""
    from intaglio.runtime.file.decode import decode

    made = _Source(decode(data, literals))
    made.places = places
    return made


def _numbers(
    function: Function, types: Sequence[TensorType], leaves: Sequence[Tensor]
) -> Mapping[str, int]:
    """The sizes that arguments of known shapes give to a function's symbols."""
    names = [f"{function.name}: {name}" for name in function.arguments]
    shaped = [np.broadcast_to(np.zeros((), t.dtype.numpy), tuple(t.shape)) for t in leaves]
    return bind_sizes(types, shaped, names)


def _symbolic(
    function: Function, types: Sequence[TensorType], leaves: Sequence[Tensor]
) -> Mapping[str, Size]:
    """The same for arguments of a trace, whose sizes may be symbols of the new program; what can't
    be decided becomes a requirement of that program."""
    found: dict[str, Size] = {}
    for name, type, leaf in zip(function.arguments, types, leaves, strict=True):
        if leaf.dtype is not type.dtype:
            raise DTypeError(f"{function.name}: {name} must be {type}, and is {leaf._kind.type}")
        if leaf.ndim != type.rank:
            raise ShapeError(f"{function.name}: {name} must be {type}, and is {leaf._kind.type}")
        for size, given in zip(type.shape, leaf.shape, strict=True):
            for symbol in symbols(size).values():
                if size == Dim(symbol.name, symbol.low, symbol.high):
                    found.setdefault(symbol.name, given)
    for name, type, leaf in zip(function.arguments, types, leaves, strict=True):
        for size, given in zip(type.shape, leaf.shape, strict=True):
            what = f"{function.name}: {name} must be {type}, and is {leaf._kind.type}"
            for symbol in symbols(size).values():
                if symbol.name not in found:
                    raise ShapeError(f"{what}: no argument tells the size {symbol.name!r}")
                _require(symbol.low, "<=", found[symbol.name], what)
                _require(found[symbol.name], "<=", symbol.high, what)
            _require(specialised_size(size, found), "==", given, what)
    return found


def _require(left: Size, relation: str, right: Size, what: str) -> None:
    """See that a relation of sizes holds, or let the program that is traced require it."""
    with collecting([]) as undecided:
        if not holds(left, relation, right):
            raise ShapeError(f"{what}: {left} {relation} {right} does not hold")
    for constraint in undecided:
        assert modes.trace is not None
        modes.trace.require(constraint.left, constraint.relation, constraint.right)


def _read(
    source: str | os.PathLike[str] | Model | Program,
) -> tuple[IRProgram, Mapping[str, Any]]:
    """A program and the values of its states."""
    from intaglio._program import Program
    from intaglio.runtime.model import Model

    if isinstance(source, Program):
        return source.ir, source.state
    if isinstance(source, Model):
        return source.program, {n: source.state.host(n) for n in source.state}
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__
        raise ArgumentError(f"Loaded: a path, a loaded model or a Program is wanted, not {kind}")
    from intaglio.runtime.file import read

    found = read(source)
    return found.program, found.values


class Loaded(Module):
    """A module over a saved file (a path), a loaded model, or a `Program`: `Loaded("net.ig")(x)`.

    Its parameters and buffers have the names that they have in the file, so that `state_dict()` has
    the keys of the model that was saved; the values are its own. It is used as any other module:
    frozen by `requires_grad_(False)`, trained, put into a new model, traced and saved with it.
    Calls run `function`, or `training_function`, if one is named, while the module is in training
    mode: what was traced in evaluation mode stays so.

    Random draws come from the default stream; statistics that the function updates are buffers.
    Functions that train are refused, with `ArgumentError`; arguments of other dtypes and shapes
    than the file's with `DTypeError` and `ShapeError`."""

    def __init__(
        self,
        source: str | os.PathLike[str] | Model | Program,
        function: str = "",
        *,
        training_function: str = "",
    ) -> None:
        super().__init__()
        program, values = _read(source)
        self._source = _Source(program)
        self._function = self._source.function(function).name
        self._training_function = ""
        if training_function:
            self._training_function = self._source.function(training_function).name
        for state in program.state.values():
            if state.kind in READ and state.name not in SHARED:
                self._add_state(state, values[state.name])

    def _add_state(self, state: State, value: Any) -> None:
        """Register a state under all of its names."""
        array = np.array(value, order="C")
        tensor = wrap(array, kind_of_array(array))
        trained = state.kind == "parameter"
        if trained:
            tensor = Parameter(tensor, requires_grad=tensor.dtype.is_floating_point)
        registry = "_parameters" if trained else "_buffers"
        for full in state.names:
            path, _, name = full.rpartition(".")
            module = self._part(path, full)
            if name in module._modules or not name:
                raise ArgumentError(f"Loaded: the file's state {full!r} can't be an attribute")
            module.__dict__[registry][name] = tensor
            if state.kind != "parameter" and state.kind != "buffer":
                module._non_persistent.add(name)
            self._source.places.setdefault(state.name, (path, registry, name))

    def _part(self, path: str, full: str) -> Module:
        """The module at a path, made where there is none."""
        module: Module = self
        for name in path.split(".") if path else ():
            if not name or name in module._parameters or name in module._buffers:
                raise ArgumentError(f"Loaded: the file's state {full!r} can't be an attribute")
            child = module._modules.get(name)
            if child is None:
                child = module._modules[name] = LoadedPart()
            module = child
        return module

    def _tensor(self, name: str) -> Tensor:
        """The tensor that is a state of the file."""
        if name in SHARED:
            held: Tensor = getattr(default_generator, SHARED[name])
            return held
        path, registry, last = self._source.places[name]
        module = self.get_submodule(path) if path else self
        found: Tensor | None = module.__dict__[registry].get(last)
        type = self._source.program.state[name].type
        if found is None or found._kind.type != type:
            there = "not there" if found is None else str(found._kind.type)
            raise ArgumentError(f"Loaded: {name} is {there}, and the file's function takes {type}")
        return found

    # ---------------------------------------------------------------------------------------- calls

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Run the function chosen for this mode on tensors (or arrays), by position or by name."""
        chosen = self._training_function if self.training else ""
        return self._run(chosen or self._function, inputs, keywords)

    def function(self, name: str) -> Callable[..., Any]:
        """Another function of the file over this module's parameters: `m.function("eval")(x)`."""
        found = self._source.function(name).name
        return lambda *inputs, **keywords: self._run(found, inputs, keywords)

    @property
    def __signature__(self) -> inspect.Signature:
        """The arguments of the function that runs, by the names that they have in the file."""
        function = self._source.program.functions[self._function]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        try:
            return inspect.Signature([inspect.Parameter(n, kind) for n in function.parameters])
        except ValueError as error:
            raise AttributeError(f"names that are none: {error}") from None

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the file's functions."""
        return tuple(self._source.program.functions)

    def _run(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        function = self._source.program.functions[name]
        leaves = [ig.as_tensor(leaf) for leaf in _leaves(function, args, kwargs)]
        if modes.trace is not None:
            results = self._replay(function, leaves)
        else:
            results = self._compiled(function)(*leaves)
        return builder(function.output_structure)(results)

    def _compiled(self, function: Function) -> Jitted:
        """The function, compiled per signature. Kept outside of what is copied with the module."""
        from intaglio._jit import Jitted

        made: dict[str, Jitted] = self.__dict__.setdefault("_compiled_functions", {})
        if function.name not in made:
            jitted = Jitted(lambda *leaves: self._replay(function, leaves))
            jitted._name = function.name
            made[function.name] = jitted
        return made[function.name]

    def __getstate__(self) -> dict[str, Any]:
        kept = super().__getstate__()
        kept.pop("_compiled_functions", None)
        return kept

    def _replay(self, function: Function, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The function's nodes, applied to tensors; its results. Each keeps the place that the file
        tells of it."""
        graph = self._source.bound(function, leaves)
        inputs = [*leaves, *map(self._tensor, function.reads)]
        here = dict(zip(graph.inputs, inputs, strict=True))
        trace = modes.trace
        if trace is not None:
            for c in graph.constraints:
                trace.require(c.left, c.relation, c.right)
        try:
            for node in graph.nodes:
                if trace is not None:
                    trace.replayed = node.where
                made = apply(node.op, [here[v] for v in node.inputs], node.attributes)
                here.update(zip(node.outputs, made, strict=True))
        finally:
            if trace is not None:
                trace.replayed = ()
        outputs = [here[v] for v in graph.outputs]
        count = len(function.results)
        with ig.no_grad():
            for name, value in zip(function.updates, outputs[count:], strict=True):
                self._tensor(name).copy_(value)
        return tuple(outputs[:count])

    def extra_repr(self) -> str:
        """The function that runs, and the others."""
        return f"{self._function}; functions: {', '.join(self.functions)}"


def _leaves(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments' leaves in order."""
    names = function.parameters or function.arguments
    signature = f"{function.name}({', '.join(names)})"
    if len(args) > len(names):
        raise ArgumentError(f"{signature} takes {len(names)} arguments, and got {len(args)}")
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names or name in given:
            fault = "got twice" if name in given else "does not know"
            raise ArgumentError(f"{signature} {fault} the argument {name!r}")
        given[name] = value
    missing = [n for n in names if n not in given]
    if missing:
        raise ArgumentError(f"{signature} lacks {', '.join(missing)}")
    parts = by_parameter(function.input_structure, names) or (LEAF,) * len(names)
    leaves: list[Any] = []
    for name, part in zip(names, parts, strict=True):
        flatten(part, given[name], name, leaves)
    return leaves
