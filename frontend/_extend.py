"""Ops of a user's own: in NumPy, from NumPy code for one element, or in C.

They are registered under a namespace and behave like all others: eager, compiled, differentiated,
saved by name, loaded where the code that defines them has been imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intaglio._apply import apply, full
from intaglio._core import Tensor
from intaglio._kind import kind_of_type
from intaglio._promote import as_tensor_like, common, number_dtype, wrapped
from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import ArgumentError, GradientError
from intaglio.compiler.ir import Attributes, Graph
from intaglio.compiler.op import Ops, V, result_types, run_graph
from intaglio.compiler.types import TensorType
from intaglio.runtime.user_c import CReference
from intaglio.runtime.user_ops import Definition, UserOp, define, keywords_of

TypeRule = Callable[..., Any]
Vjp = Callable[..., Any]


class CustomOp:
    """An op that a user defined, as a function of tensors. `name` and `version` are what a file
    holds of it, `reference` is its meaning on arrays."""

    def __init__(self, op: UserOp) -> None:
        self.op, self.name, self.version = op, op.name, op.version
        self.reference = op.definition.reference
        self.__name__, self.__doc__ = op.name, op.__doc__
        function = op.definition.element or self.reference
        self._keywords = keywords_of(function)
        self._defaults: dict[str, Any] = {}
        self._required: set[str] = set()
        if self._keywords:
            parameters = inspect.signature(function).parameters
            empty = inspect.Parameter.empty
            self._required = {k for k in self._keywords if parameters[k].default is empty}
            self._defaults = {
                k: parameters[k].default for k in self._keywords if _is_plain(parameters[k].default)
            }

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """The results: a tensor, or a tuple of them. Numbers and arrays may be given for tensors;
        operands of an elementwise op get their common dtype and shape."""
        unknown = attributes.keys() - set(self._keywords)
        missing = self._required - attributes.keys()
        if unknown or missing:
            told = ", ".join(sorted(unknown or missing))
            raise ArgumentError(
                f"{self.name}: the argument {told} is {'unknown' if unknown else 'missing'}"
            )
        definition = self.op.definition
        if definition.element is not None and not inputs:
            raise ArgumentError(f"{self.name}: an elementwise op has an operand")
        if definition.element is not None and definition.type is None:
            operands = common(self.name, inputs)
        else:
            operands = [_tensor(x) for x in inputs]
        values = {k: _plain(v) for k, v in {**self._defaults, **attributes}.items()}
        made = apply(self.name, operands, values)
        return made[0] if len(made) == 1 else made

    def __repr__(self) -> str:
        return f"<op {self.name}, version {self.version}>"


def _tensor(value: Any) -> Tensor:
    found = wrapped(value)
    return found if isinstance(found, Tensor) else as_tensor_like(found, number_dtype(found))


def _is_plain(value: Any) -> bool:
    """Whether a default is an attribute, and not a sign that an argument is missing."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _plain(value: Any) -> Any:
    """An attribute: a number, a text, a dtype, or a tuple of those."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "item") and not isinstance(value, Tensor) else value


def custom_op(
    name: str,
    reference: Callable[..., Any] | None = None,
    *,
    type: TypeRule | None = None,
    element: Callable[..., Any] | None = None,
    vjp: Vjp | None = None,
    version: int = 1,
    upgrade: Callable[[int, Attributes], Attributes] | None = None,
) -> Any:
    """Define an op: `name` has a namespace, as in `"mine::gelu"`.

    `reference(*arrays, **attributes)` is its meaning on ndarrays: pure, it writes to none of them.
    Positional parameters are the operands, keyword-only ones the attributes (numbers, texts,
    tuples). `element` is NumPy code for one element, such as `lambda x: x / (1 + np.exp(-x))`:
    operators, ufuncs, `np.where`, `np.clip`, `.astype`. With it the op is fused into kernels on the
    CPU and on CUDA; `reference` is the same function if left out. Without it the op runs in Python,
    between native steps.

    `type(*types, **attributes)` gives the result's type, or a tuple of them, from the operands'
    (`x.dtype`, `x.shape`, `x.with_shape(2, 3)`, `x.with_dtype(ig.float32)`); left out, it is the
    first operand's (of an `element`: what follows from it). `vjp(dy, y, *xs, **attributes)` gives
    the operands' derivatives (None: zero) with intaglio's functions; `dy` and `y` are tuples where
    there are several results. It is left out where there is none, and where an `element` is
    differentiated by itself. A file that uses the op holds its name and `version`;
    `upgrade(version, attributes)` makes today's attributes from those of an older one.

    Returns a function of tensors. Used as a decorator where neither `reference` nor `element` is
    given. The same definition may be run again; another one of the same name is refused."""
    if reference is None and element is None:
        return lambda function: custom_op(
            name, function, type=type, vjp=vjp, version=version, upgrade=upgrade
        )
    meaning = reference if reference is not None else element
    assert meaning is not None
    return _defined(name, meaning, type, element, vjp, version, upgrade)


def numpy_op(
    function: Callable[..., Any] | None = None,
    *,
    type: TypeRule | None = None,
    vjp: Vjp | None = None,
    name: str = "",
    version: int = 1,
) -> Any:
    """Make an op of a function of ndarrays (NumPy, SciPy or one's own), with a derivative.

    As `custom_op` without `element`; the name is `module::function` unless given. Also a
    decorator."""
    if function is None:
        return lambda given: numpy_op(given, type=type, vjp=vjp, name=name, version=version)
    return _defined(name or _name_of(function), function, type, None, vjp, version, None)


def c_op(
    name: str,
    source: str | Path,
    symbol: str,
    *,
    type: TypeRule | None = None,
    vjp: Vjp | None = None,
    version: int = 1,
) -> CustomOp:
    """Make an op of a C function of whole arrays:
    `int f(const void *const *inputs, void *const *outputs, const int64_t *sizes)`.

    `source` is C text, or the path of a `.c` file (both compiled with intaglio's compiler and flags
    when the op first runs) or of a shared library; `symbol` is the function's name. Arrays lie
    row-major; `sizes` holds for each input, then for each output, the number of dims and the sizes.
    A result other than 0 becomes an `Error`. It runs without Python's lock. `type` and `vjp` are
    those of `custom_op`; it takes no attributes."""

    def results(arrays: Sequence[Any]) -> tuple[TensorType, ...]:
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
        return result_types(made.op, types, {})

    reference = CReference(name, source, symbol, results)
    made: CustomOp = _defined(name, reference, type, None, vjp, version, None, str(source), symbol)
    return made


def _name_of(function: Callable[..., Any]) -> str:
    module = str(getattr(function, "__module__", None) or "user").strip("_").replace(".", "::")
    own = str(getattr(function, "__name__", "<lambda>"))
    if not own.isidentifier():
        raise ArgumentError("numpy_op: a function without a name: give name='mine::something'")
    return f"{module}::{own}"


def _defined(
    name: str,
    reference: Callable[..., Any],
    type: TypeRule | None,
    element: Callable[..., Any] | None,
    vjp: Vjp | None,
    version: int,
    upgrade: Callable[[int, Attributes], Attributes] | None,
    *more: object,
) -> CustomOp:
    meaning = more or (reference,)
    rule = None if vjp is None else _Derivative(name, vjp)
    definition = Definition(
        name, reference, type, element, rule, version, upgrade, (*meaning, type, element, vjp)
    )
    return CustomOp(define(definition))


class _Derivative:
    """A derivative written with tensors, as a rule written in ops: it is recorded once for each
    kind of operands, and its graph applied."""

    def __init__(self, name: str, vjp: Vjp) -> None:
        self._name, self._vjp = name, vjp
        self._graphs: dict[Any, tuple[Graph, list[bool]]] = {}

    def __call__(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        attributes: Mapping[str, Any],
    ) -> Sequence[V | None]:
        """The derivatives of the operands."""
        given = [g.like(0.0, y) if dy is None else dy for dy, y in zip(dys, ys, strict=True)]
        types = tuple(g.type_of(v) for v in (*ys, *xs))
        key = (types, len(ys), *attributes.items())
        found = self._graphs.get(key)
        if found is None:
            if len(self._graphs) > 500:
                self._graphs.clear()
            found = self._graphs[key] = self._record(types, len(ys), attributes)
        graph, present = found
        made = iter(run_graph(g, graph, [*given, *ys, *xs]))
        every = [next(made) if there else None for there in present]
        return [dx if need else None for dx, need in zip(every, needs, strict=True)]

    def _record(
        self, types: Sequence[TensorType], count: int, attributes: Mapping[str, Any]
    ) -> tuple[Graph, list[bool]]:
        """The graph of the derivative, and which operands have one."""
        from intaglio._trace import record_block

        present: list[bool] = []
        kinds = [kind_of_type(t) for t in types]

        def body(*values: Tensor) -> tuple[Tensor, ...]:
            dys, ys, xs = values[:count], values[count : 2 * count], values[2 * count :]
            single = count == 1
            made = self._vjp(
                dys[0] if single else dys, ys[0] if single else ys, *xs, **attributes
            )  # fmt: skip
            parts = made if isinstance(made, tuple | list) else (made,)
            if len(parts) != len(xs):
                raise GradientError(
                    f"{self._name}: its vjp gave {len(parts)} derivatives for {len(xs)} operands"
                )
            found = [self._checked(part, x) for part, x in zip(parts, xs, strict=True)]
            present.extend(part is not None for part in found)
            return tuple(part for part in found if part is not None)

        return record_block(body, [*kinds[:count], *kinds]), present

    def _checked(self, part: Any, x: Tensor) -> Tensor | None:
        """A derivative in its operand's type."""
        if part is None or x._kind.dtype.kind != "f":
            return None
        if not isinstance(part, Tensor):
            return full(part, x._kind)
        if part._kind.dtype is not x._kind.dtype or part._kind.shape != x._kind.shape:
            raise GradientError(
                f"{self._name}: its vjp gave {part._kind} for the operand {x._kind}"
            )
        return part
