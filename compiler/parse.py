"""Read a graph back from its text: the inverse of `text.print_graph`, for tests and for graphs
written by hand.

    graph     = "(" %n: type, ... ") {" lines "}"
    line      = size NAME from INT to INT | require SIZE RELATION SIZE | return %n, ...
              | %n: type, ... = op(%n, ..., name=attribute, ...)  # places
    attribute = None | bool | int | float | "string" | dtype | size | (attribute, ...) | graph
              | literal<dtype[shape] nested list>

A cursor walks over the text once. Literals that the printer shortened to "..." can't be read.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from intaglio.compiler.dims import Constraint, Dim, Size, parse_size
from intaglio.compiler.dtypes import DTYPES, dtype_named
from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.ir import Attribute, Graph, Literal, Node, Value
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, Where

_NUMBER: Final = re.compile(r"-?(inf|nan|\d+\.?\d*(e[-+]?\d+)?)")
_LIST_ITEM: Final = re.compile(r"True|False|-?(?:inf|nan|\d+\.?\d*(?:e[-+]?\d+)?)")
_PLACE: Final = re.compile(
    r"(gradient of )?(?:(cell [^,:]*), line |([^,]*?):)(\d+)(?: in ([^,]*))?(?:, |$)"
)
_ESCAPE: Final = re.compile(r'\\(["\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[a-z])')
_NAMES: Final = {"None": None, "True": True, "False": False} | {d.name: d for d in DTYPES}


def parse_graph(text: str, sizes: dict[str, Dim] | None = None) -> Graph:
    """The graph that `print_graph` printed as `text`; raises `ArgumentError` with the line for
    other text.

    `sizes` gives symbols that the text uses; others are made when met, with the bounds declared at
    the text's head.
    """
    cursor = _Cursor(text, dict(sizes or {}))
    graph = cursor.graph()
    cursor.space()
    if cursor.at < len(text):
        raise cursor.error("the end of the text")
    return graph


def unescape(text: str) -> str:
    """The text whose `text.printable` form this is."""

    def plain(found: re.Match[str]) -> str:
        escape = found[1]
        if escape in '"\\':
            return escape
        return found[0].encode("ascii").decode("unicode_escape")

    return _ESCAPE.sub(plain, text)


class _Cursor:
    """A position in the text, and the symbols met so far."""

    def __init__(self, text: str, sizes: dict[str, Dim]) -> None:
        self.text, self.at, self.sizes = text, 0, sizes

    # ------------------------------------------------------------------------------ characters

    def error(self, expected: str) -> ArgumentError:
        """What is wrong here."""
        line = self.text.count("\n", 0, self.at) + 1
        found = self.text[self.at : self.at + 20].split("\n")[0]
        return ArgumentError(f"line {line}: {expected} is expected, not {found!r}")

    def space(self) -> None:
        """Skip blanks and line ends."""
        while self.at < len(self.text) and self.text[self.at] in " \n":
            self.at += 1

    def peek(self, token: str) -> bool:
        """Whether the text goes on with this, after blanks."""
        self.space()
        return self.text.startswith(token, self.at)

    def accept(self, token: str) -> bool:
        """Take this if it comes next."""
        found = self.peek(token)
        self.at += len(token) if found else 0
        return found

    def expect(self, token: str) -> None:
        """Take this, which must come next."""
        if not self.accept(token):
            raise self.error(repr(token))

    def word(self, pattern: str, what: str) -> str:
        """Take what the pattern matches."""
        self.space()
        found = re.compile(pattern).match(self.text, self.at)
        if not found:
            raise self.error(what)
        self.at = found.end()
        return found.group()

    # ------------------------------------------------------------------------------ graphs

    def graph(self) -> Graph:
        """A graph with its own value names."""
        values: dict[str, Value] = {}
        self.expect("(")
        inputs = self.declared(values) if not self.peek(")") else []
        self.expect(")")
        self.expect("{")
        constraints: list[Constraint] = []
        nodes: list[Node] = []
        while self.accept("size "):
            self.size_line(inputs)
        while self.accept("require "):
            constraints.append(self.constraint())
        while self.peek("%") or self.peek("="):
            nodes.append(self.node(values))
        self.expect("return")
        outputs = self.operands(values) if self.peek("%") else []
        self.expect("}")
        return Graph(tuple(inputs), tuple(nodes), tuple(outputs), tuple(constraints))

    def size_line(self, inputs: list[Value]) -> None:
        """`size n from 1 to 9`: the symbol gets these bounds, in the inputs read already too."""
        name = self.word(r"\w+", "a name")
        self.expect("from")
        low = int(self.word(r"\d+", "a number"))
        self.expect("to")
        bounded = Dim(name, low, int(self.word(r"\d+", "a number")))
        for value in inputs:
            again = {**self.sizes, name: bounded}
            shape = tuple(parse_size(str(size), again) for size in value.type.shape)
            value.type = value.type.with_shape(*shape)
        self.sizes[name] = bounded

    def constraint(self) -> Constraint:
        """`left == right` to the line's end."""
        line = self.word(r"[^\n]*", "a relation")
        found = re.fullmatch(r"(.*) (==|<=|<) (.*)", line)
        if not found:
            raise self.error("a relation")
        return Constraint(self.size(found[1]), found[2], self.size(found[3]))

    def declared(self, values: dict[str, Value]) -> list[Value]:
        """`%0: f32[n], %1: ...`"""
        made = []
        while True:
            name = self.word(r"%\d+", "a value")
            self.expect(":")
            values[name] = Value(self.type())
            made.append(values[name])
            if not self.accept(","):
                return made

    def operands(self, values: dict[str, Value]) -> list[Value]:
        """`%0, %1, ...`"""
        made = []
        while True:
            name = self.word(r"%\d+", "a value")
            if name not in values:
                raise ArgumentError(f"{name} is read before it is made")
            made.append(values[name])
            if not self.accept(", %"):
                return made
            self.at -= 1

    def node(self, values: dict[str, Value]) -> Node:
        """A line with a node."""
        fresh: dict[str, Value] = {}
        outputs = self.declared(fresh) if self.peek("%") else []
        self.expect("=")
        op = self.word(r"[\w.:]+", "an op")
        self.expect("(")
        inputs = self.operands(values) if self.peek("%") else []
        attributes: dict[str, Attribute] = {}
        while not self.accept(")"):
            self.accept(",")
            name = self.word(r"\w+", "an attribute")
            self.expect("=")
            attributes[name] = self.attribute()
        where = self.places()
        values.update(fresh)
        return Node(op, inputs, outputs, attributes, where)

    def places(self) -> Places:
        """The comment at a node's end."""
        if not self.text.startswith("  # ", self.at):
            return ()
        self.at += 4
        line = unescape(self.word(r"[^\n]*", "places"))
        return tuple(
            Where(cell or file, int(number), scope, bool(gradient))
            for gradient, cell, file, number, scope in _PLACE.findall(line)
        )

    # ---------------------------------------------------------------- types, attributes

    def type(self) -> TensorType:
        """`f32[n,64]`"""
        dtype = dtype_named(self.word(r"\w+", "a dtype"))
        self.expect("[")
        start, self.at = self.at, self.closing()
        inner = self.text[start : self.at]
        self.expect("]")
        return TensorType(dtype, tuple(self.size(part) for part in split(inner)))

    def size(self, text: str) -> Size:
        """A size; symbols met for the first time are made."""
        for name in re.findall(r"[A-Za-z_]\w*", text):
            if name not in self.sizes and name not in ("min", "max"):
                self.sizes[name] = Dim(name)
        return parse_size(text, self.sizes)

    def closing(self) -> int:
        """Where the bracket, list or argument that is open here ends."""
        depth = 0
        for k in range(self.at, len(self.text)):
            if self.text[k] in "([":
                depth += 1
            elif self.text[k] in ")],":
                if depth == 0 and self.text[k] != ",":
                    return k
                depth -= self.text[k] != ","
        raise self.error("a closing bracket")

    def attribute(self) -> Attribute:
        """One attribute, by its first characters."""
        self.space()
        if self.accept('"'):
            inner = self.word(r'(?:[^"\\]|\\.)*', "a string")
            self.expect('"')
            return unescape(inner)
        if self.accept("literal<"):
            return self.literal()
        if re.compile(r"\((%\d+: [^\n]*)?\) \{").match(self.text, self.at):
            return self.graph()
        if self.peek("(") and (found := self.tuple()) is not None:
            return found
        text = self.word(r"(?:[^,()\n]|\((?:[^()\n]|\([^()\n]*\))*\))+", "an attribute").strip()
        if text in _NAMES and text not in self.sizes:
            return _NAMES[text]
        if _NUMBER.fullmatch(text):
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        return self.size(text)

    def tuple(self) -> tuple[Attribute, ...] | None:
        """`(a, b)` or `(a,)`; None, with nothing taken, for a size that begins with a bracket."""
        start, parts = self.at, []
        self.expect("(")
        comma = True
        while not self.accept(")"):
            parts.append(self.attribute())
            comma = self.accept(",")
            if not comma and not self.peek(")"):
                raise self.error("',' or ')'")
        if len(parts) == 1 and not comma:
            self.at = start
            return None
        return tuple(parts)

    def literal(self) -> Literal:
        """What stands after `literal<`."""
        dtype = np.dtype(self.word(r"\w+", "a dtype"))
        self.expect("[")
        inner = self.word(r"[\d, ]*", "a shape")
        shape = tuple(int(size) for size in inner.split(",") if size.strip())
        self.expect("]")
        body = self.word(r"[^>]*", "the elements")
        self.expect(">")
        if "..." in body:
            raise ArgumentError(f"a literal of shape {list(shape)} was shortened when printed")
        items = [_NAMES[t] if t in _NAMES else _number(t) for t in _LIST_ITEM.findall(body)]
        return Literal(np.array(items, dtype).reshape(shape))


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
