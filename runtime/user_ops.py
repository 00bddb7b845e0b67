"""Ops that a user defines: registered in this process under a namespace, and like all others then.

Such an op has its meaning in NumPy. With `element`, NumPy code for one element, it is fused into
kernels on the CPU and on CUDA; else it runs in Python, between native steps. A file holds the name
and the version of such an op and no more: whoever loads it supplies the op by importing the code
that defines it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import dtype_of, float32
from intaglio.compiler.errors import ArgumentError, Error, ShapeError
from intaglio.compiler.ir import Attributes, Graph, Value
from intaglio.compiler.loop import Expr, Operand, Position, cast
from intaglio.compiler.op import OPS, Array, Builder, Op, Ops, V
from intaglio.compiler.ops.elementwise import Elementwise
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.scalars import as_ops, element_of, locals_of
from intaglio.compiler.types import TensorType

NAME: Final = re.compile(r"[A-Za-z_]\w*(::[A-Za-z_]\w*)+")
LONGEST: Final = 200
"""Characters of a name."""
Rule = Callable[..., Sequence[Any]]
"""The derivative written in ops, as `Op.vjp`: `(g, dys, ys, xs, needs, attributes)`."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What an author says of an op. `parts` are the functions that make up its meaning: the same
    op may be defined again with equal ones."""

    name: str
    reference: Callable[..., Any]
    type: Callable[..., Any] | None = None
    element: Callable[..., Any] | None = None
    vjp: Rule | None = None
    version: int = 1
    upgrade: Callable[[int, Attributes], Attributes] | None = None
    parts: tuple[object, ...] = ()


class UserOp(Op):
    """Base of ops that users define."""

    definition: Definition

    def type(self, *types: TensorType, **attributes: Any) -> TensorType | tuple[TensorType, ...]:
        """What the author's rule says; without one, the first operand's type."""
        rule = self.definition.type
        if rule is None:
            return self._plain_type(types, attributes)
        try:
            made = rule(*types, **attributes)
        except Error:
            raise
        except Exception as error:
            self._check_call(rule, types, attributes)
            told = f"its type rule failed: {type(error).__name__}: {error}"
            raise self._refused(types, told) from error
        found = tuple(made) if isinstance(made, list | tuple) else (made,)
        if not found or not all(isinstance(t, TensorType) for t in found):
            raise self._refused(types, f"its type rule returned {made!r}, which is no type")
        return found if isinstance(made, list | tuple) else found[0]

    def _plain_type(self, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        self._check_call(self.definition.reference, types, attributes)
        if not types:
            raise self._refused(types, "an op without operands needs a type rule")
        return types[0]

    def _check_call(
        self, function: Any, types: Sequence[TensorType], attributes: Mapping[str, Any]
    ) -> None:
        """See that operands and attributes are those that a function takes."""
        try:
            inspect.signature(function).bind(*types, **attributes)
        except TypeError as misfit:
            raise self._refused(types, str(misfit)) from None
        except ValueError:  # a builtin that does not tell its arguments
            return

    def _refused(self, types: Sequence[TensorType], rule: str) -> Error:
        return ArgumentError(f"{self.name}: {', '.join(map(str, types)) or 'no operands'}: {rule}")

    def upgrade(self, version: int, attributes: Attributes) -> Attributes:
        """By the author's function, if there is one."""
        if self.definition.upgrade is None:
            return super().upgrade(version, attributes)
        return self.definition.upgrade(version, attributes)

    def reference(self, *arrays: Array, **attributes: Any) -> Any:
        """The author's function."""
        return self.definition.reference(*arrays, **attributes)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        /,
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The author's rule."""
        if self.definition.vjp is None:
            return super().vjp(g, dys, ys, xs, needs, **attributes)
        return self.definition.vjp(g, dys, ys, xs, needs, attributes)


class UserCall(UserOp, HostCall):
    """A user's op that runs in Python."""

    def reference(self, *arrays: Array, **attributes: Any) -> Any:
        """Copies of what the author's function returns, which may be an array that it keeps."""
        made = self.definition.reference(*arrays, **attributes)
        return tuple(map(np.array, made)) if isinstance(made, tuple | list) else np.array(made)


class UserElement(UserOp):
    """A user's op that takes each element by itself: its operands have one shape."""

    def _plain_type(self, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        """The operands' shape, and the dtype that the element has."""
        function = self.definition.element
        assert function is not None
        self._check_call(function, types, attributes)
        if not types:
            raise self._refused(types, "an elementwise op has an operand")
        if any(t.shape != types[0].shape for t in types):
            raise ShapeError(str(self._refused(types, "the shapes differ")))
        wide = [t.with_dtype(float32) if t.dtype.is_half else t for t in types]
        try:
            made = element_of(function, locals_of(wide), attributes).dtype
        except Error:
            raise
        except Exception as error:
            told = f"its element failed: {type(error).__name__}: {error}"
            raise self._refused(types, told) from error
        halves = [t.dtype for t in types if t.dtype.is_half]
        floats = [t.dtype for t in types if t.dtype.kind == "f"]
        if made is float32 and halves and all(d is halves[0] for d in floats):
            made = halves[0]
        return types[0].with_dtype(made)

    def type(self, *types: TensorType, **attributes: Any) -> TensorType:
        """One type, in the operands' shape."""
        made = super().type(*types, **attributes)
        if not isinstance(made, TensorType) or any(t.shape != made.shape for t in types):
            raise self._refused(types, f"its type is {made}, and an elementwise op has one result "
                                       "in the shape of its operands")  # fmt: skip
        return made

    def reference(self, *arrays: Array, **attributes: Any) -> Array:
        """The author's function, in the dtype of the result."""
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
        wanted = self.type(*types, **attributes)
        with np.errstate(all="ignore"):
            made = np.asarray(self.definition.reference(*arrays, **attributes))
        return np.broadcast_to(made, arrays[0].shape).astype(wanted.dtype.numpy)

    def element(self, index: tuple[Position, ...], *xs: Operand, **attributes: Any) -> Expr:
        """The author's function of the operands' elements."""
        function = self.definition.element
        assert function is not None
        made = element_of(function, [x(*index) for x in xs], attributes)
        wanted = self.type(*(x.type for x in xs), **attributes).dtype
        return made if wanted.is_half and made.dtype is float32 else cast(made, wanted)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        /,
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The author's rule; without one, that of the ops which the element consists of."""
        (dy,) = dys
        if self.definition.vjp is not None:
            return self.definition.vjp(g, dys, ys, xs, needs, attributes)
        if dy is None or g.type_of(ys[0]).dtype.kind != "f":
            return [None] * len(xs)
        from intaglio.compiler.passes.gradient import backpropagate

        graph = self._graph([g.type_of(x) for x in xs], attributes)
        here: dict[Value, V] = dict(zip(graph.inputs, xs, strict=True))
        for node in graph.nodes:
            made = g.apply(node.op, [here[v] for v in node.inputs], node.attributes)
            here.update(zip(node.outputs, made, strict=True))
        wanted = {v for v, need in zip(graph.inputs, needs, strict=True) if need}
        (end,) = graph.outputs
        steps = list(reversed(graph.nodes))
        found = backpropagate(g, steps, {end: dy}, wanted, here.__getitem__)
        floats = [v.type.dtype.kind == "f" for v in graph.inputs]
        return [
            found.get(v) if is_float and need else None
            for v, is_float, need in zip(graph.inputs, floats, needs, strict=True)
        ]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        /,
        **attributes: Any,
    ) -> Sequence[V | None] | None:
        """By `vjp`, transposed."""
        return None

    def _graph(self, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> Graph:
        """The element as ops on whole values."""
        function = self.definition.element
        assert function is not None
        b = Builder()
        inputs = [b.input(t) for t in types]
        leaves = locals_of(types)
        made = element_of(function, leaves, attributes)
        wanted = self.type(*types, **attributes)
        value = as_ops(b, made, dict(zip(leaves, inputs, strict=True)), wanted)
        if value.type.dtype is not wanted.dtype:
            value = b.cast(value, dtype=wanted.dtype)
        return b.graph([value])


class UserRow(UserElement, Elementwise):  # type: ignore[misc]  # the one's `jvp` takes more
    """One without attributes, which an eager call sees as a long row."""


def define(definition: Definition) -> UserOp:
    """Register a user's op; the one that is there if it was defined by the same code."""
    if not NAME.fullmatch(definition.name) or len(definition.name) > LONGEST:
        raise ArgumentError(
            f"{definition.name!r} is no name for an op: it has a namespace, as in 'mine::gelu'"
        )
    if not isinstance(definition.version, int) or definition.version < 1:
        raise ArgumentError(f"{definition.name}: a version is a number from 1 on")
    known = OPS.get(definition.name)
    if isinstance(known, UserOp):
        old = known.definition
        same = len(old.parts) == len(definition.parts) and all(
            map(is_same, old.parts, definition.parts)
        )
        if same and old.version == definition.version:
            return known
        raise ArgumentError(
            f"the op {definition.name} is defined already, with other code: functions may have been"
            " compiled with it. Give the new one another name, or start Python anew"
        )
    base: type[UserOp] = UserCall
    if definition.element is not None:
        base = UserElement if keywords_of(definition.element) else UserRow
    body = {
        "name": definition.name,
        "version": definition.version,
        "definition": definition,
        "__doc__": inspect.getdoc(definition.reference) or f"{definition.name}, a user's op.",
    }
    if base is UserRow:
        body["samples"] = ()
    type(definition.name.replace("::", "_"), (base,), body)
    made = OPS[definition.name]
    assert isinstance(made, UserOp)
    return made


def keywords_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's keyword-only parameters: the attributes of its op."""
    if isinstance(function, np.ufunc):  # where they say how to compute, not what
        return ()
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def is_same(one: object, other: object) -> bool:
    """Whether two functions (or values) are the same as far as can be told: the same code, the same
    defaults, and the same values around it."""
    if one is other:
        return True
    a, b = getattr(one, "__code__", None), getattr(other, "__code__", None)
    if a is None or b is None:
        return type(one) is type(other) and not callable(one) and bool(one == other)
    if not _is_same_code(a, b):
        return False
    defaults = [(f.__defaults__, f.__kwdefaults__) for f in (one, other)]  # type: ignore[attr-defined]
    cells = [[c.cell_contents for c in f.__closure__ or ()] for f in (one, other)]  # type: ignore[attr-defined]
    try:
        alike = bool(defaults[0] == defaults[1])
    except ValueError:  # arrays
        return False
    return alike and all(is_same(x, y) for x, y in zip(*cells, strict=True))


def _is_same_code(a: Any, b: Any) -> bool:
    if (a.co_code, a.co_names, a.co_varnames) != (b.co_code, b.co_names, b.co_varnames):
        return False
    if len(a.co_consts) != len(b.co_consts):
        return False
    return all(
        _is_same_code(x, y) if hasattr(x, "co_code") and hasattr(y, "co_code") else x == y
        for x, y in zip(a.co_consts, b.co_consts, strict=True)
    )


def check_given(ops: Sequence[object]) -> None:
    """See that what a caller supplies for a file are ops that are registered."""
    for op in ops:
        name = getattr(op, "name", None)
        if not isinstance(name, str) or not isinstance(OPS.get(name), UserOp):
            raise ArgumentError(
                f"ops: {op!r} is no op; pass what ig.custom_op, ig.numpy_op or ig.c_op returned"
            )
