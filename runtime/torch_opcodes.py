"""A small machine for the streams that torch's files are written in, which runs nothing.

The streams are programs for a stack machine (Python's serialization, protocols 2 to 5). The general
one can call any function by name; this one knows the opcodes that torch's writers use, makes plain
values, and refuses every name but those in a fixed table (`torch_values`), at the opcode that says
it. Values are shared, never copied, unless that is paid for: the work of a stream is bounded by its
length, so a short one can't fill the memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from intaglio.runtime.datasets import DataError

MAX_OPCODES: Final = 4_000_000
"""Steps that a stream may take."""
MAX_INTEGER_BYTES: Final = 64
COPIES: Final = 16
"""Elements that calls may copy, for each byte of the stream."""
FREE_COPIES: Final = 1 << 20
MAX_KEY_BITS: Final = 60
"""Of integers as keys: these are their own hashes, while many larger ones can share one."""

PROTOCOLS: Final = range(2, 6)
KEYS: Final = (str, int, float, bool, bytes, type(None))
"""What may be the key of a dict or the member of a set: values whose hash takes no walk."""

Build = Callable[[Any, Any], Any]


class Mark:
    """Where a group of values begins on the stack."""


MARK: Final = Mark()


class Machine:
    """Runs one stream from `position` to its end.

    `find(module, name)` gives what a name of the table stands for and raises `DataError` for
    others, `call(function, arguments)` a call's result, `build(object, state)` the object with its
    state, `stored(key)` what a persistent id stands for."""

    def __init__(
        self,
        data: memoryview,
        position: int,
        find: Callable[[str, str], Any],
        call: Callable[[Any, tuple[Any, ...]], Any],
        build: Build,
        stored: Callable[[Any], Any],
    ) -> None:
        self.data, self.position = data, position
        self.find, self.call, self.build, self.stored = find, call, build, stored
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.budget = FREE_COPIES + COPIES * len(data)

    def run(self) -> Any:
        """The value that the stream leaves. Raises `DataError` for any that is not well formed."""
        for _ in range(MAX_OPCODES):
            code = self.take(1)[0]
            if code == STOP:
                value = self.pop()
                if self.stack:
                    raise DataError("values are left over at its end")
                return value
            action = ACTIONS.get(code)
            if action is None:
                name = REFUSED.get(code, f"opcode {code:#04x}")
                raise DataError(f"{name} at byte {self.position - 1} is refused")
            action(self)
        raise DataError(f"it takes more than {MAX_OPCODES} steps")

    # ------------------------------------------------------------------------ reading the stream

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        end = self.position + count
        if end > len(self.data):
            raise DataError(f"it ends within the opcode at byte {self.position}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, form: str) -> Any:
        """The next number, of a `struct` format."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value

    def line(self) -> str:
        """The text up to the end of the line."""
        start = self.position
        found = bytes(self.data[start : start + 512]).find(b"\n")
        if found < 0:
            raise DataError(f"a name of more than 512 bytes at byte {start}")
        self.position = start + found + 1
        return text(self.data[start : start + found])

    # ------------------------------------------------------------------------------- the stack

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the topmost value, which is no mark."""
        if not self.stack or self.stack[-1] is MARK:
            raise DataError(f"a value is missing at byte {self.position}")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The topmost value, which must be of this type."""
        value = self.pop()
        self.push(value)
        if type(value) is not kind:
            raise DataError(f"no {kind.__name__} where one is wanted, at byte {self.position}")
        return value

    def group(self) -> list[Any]:
        """Take the values above the last mark, and the mark."""
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is MARK:
                values = self.stack[start + 1 :]
                del self.stack[start:]
                return values
        raise DataError(f"a mark is missing at byte {self.position}")

    def pay(self, count: int) -> None:
        """Account for a copy of so many elements."""
        self.budget -= count
        if self.budget < 0:
            raise DataError("its values are much larger than the stream itself")

    def remember(self, index: int) -> None:
        """Keep the topmost value under a number."""
        value = self.pop()
        self.push(value)
        self.memo[index] = value

    def recall(self, index: int) -> None:
        """Put a value that was kept on the stack."""
        if index not in self.memo:
            raise DataError(f"value {index} was never kept (byte {self.position})")
        self.push(self.memo[index])

    # --------------------------------------------------------------------- opcodes with parts

    def fill(self, pairs: list[Any]) -> None:
        """Add keys and values to the dict on top."""
        target = self.top(dict)
        if len(pairs) % 2:
            raise DataError(f"a key without a value at byte {self.position}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[hashable(key)] = value

    def reduce(self) -> None:
        """A call."""
        arguments, function = self.pop(), self.pop()
        if type(arguments) is not tuple:
            raise DataError(f"a call without a tuple of arguments at byte {self.position}")
        for argument in arguments:
            if isinstance(argument, tuple | list | dict | set | frozenset | str | bytes):
                self.pay(len(argument))
        self.push(self.call(function, arguments))

    def stack_global(self) -> None:
        """A name whose parts are on the stack."""
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise DataError(f"a name that is no text at byte {self.position}")
        self.push(self.find(module, name))

    def finish(self) -> None:
        """Give an object its state."""
        state, target = self.pop(), self.pop()
        for part in state if type(state) is tuple else ():
            if isinstance(part, tuple | bytes):
                self.pay(len(part))
        self.push(self.build(target, state))

    def integer(self, count: int) -> None:
        """A long integer."""
        if not 0 <= count <= MAX_INTEGER_BYTES:
            raise DataError(f"an integer of {count} bytes at byte {self.position}")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def protocol(self) -> None:
        """The protocol's number."""
        version = self.take(1)[0]
        if version not in PROTOCOLS:
            raise DataError(f"protocol {version} is refused")

    def several(self, count: int) -> None:
        """A tuple of the topmost values."""
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def members(self, kind: type) -> None:
        """A frozen set, or members for the set on top."""
        values = [hashable(value) for value in self.group()]
        if kind is frozenset:
            self.push(frozenset(values))
        else:
            self.top(set).update(values)

    def drop(self) -> None:
        """Drop the topmost value, or mark."""
        if not self.stack:
            raise DataError(f"a value is missing at byte {self.position}")
        self.stack.pop()


def text(data: memoryview, encoding: str = "utf-8") -> str:
    """Text of these bytes."""
    try:
        return bytes(data).decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError:
        raise DataError("text that is not UTF-8") from None


def hashable(value: Any) -> Any:
    """The value, if it may be a key."""
    if type(value) not in KEYS:
        raise DataError(f"a {type(value).__name__} as a key or member of a set")
    if type(value) is int and value.bit_length() > MAX_KEY_BITS:
        raise DataError(f"an integer of {value.bit_length()} bits as a key or member of a set")
    return value


STOP: Final = ord(".")
ACTIONS: Final[dict[int, Callable[[Machine], None]]] = {
    0x80: Machine.protocol,
    0x95: lambda m: void(m.take(8)),  # a frame's length, which says nothing new
    ord("("): lambda m: m.push(MARK),
    ord("0"): Machine.drop,
    ord("1"): lambda m: void(m.group()),
    ord("2"): lambda m: m.push(m.stack[-1] if m.stack else m.pop()),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: lambda m: m.integer(m.number("<B")),
    0x8B: lambda m: m.integer(m.number("<i")),
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("X"): lambda m: m.push(text(m.take(m.number("<I")))),
    0x8C: lambda m: m.push(text(m.take(m.number("<B")))),
    0x8D: lambda m: m.push(text(m.take(m.number("<Q")))),
    ord("T"): lambda m: m.push(text(m.take(m.number("<I")), "latin-1")),
    ord("U"): lambda m: m.push(text(m.take(m.number("<B")), "latin-1")),
    ord("B"): lambda m: m.push(bytes(m.take(m.number("<I")))),
    ord("C"): lambda m: m.push(bytes(m.take(m.number("<B")))),
    0x8E: lambda m: m.push(bytes(m.take(m.number("<Q")))),
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: append(m, m.pop()),
    ord("e"): lambda m: extend(m, m.group()),
    ord("l"): lambda m: m.push(m.group()),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.group())),
    0x85: lambda m: m.several(1),
    0x86: lambda m: m.several(2),
    0x87: lambda m: m.several(3),
    ord("}"): lambda m: m.push({}),
    ord("s"): lambda m: m.fill([m.pop(), m.pop()][::-1]),
    ord("u"): lambda m: m.fill(m.group()),
    0x8F: lambda m: m.push(set()),
    0x90: lambda m: m.members(set),
    0x91: lambda m: m.members(frozenset),
    ord("h"): lambda m: m.recall(m.number("<B")),
    ord("j"): lambda m: m.recall(m.number("<I")),
    ord("q"): lambda m: m.remember(m.number("<B")),
    ord("r"): lambda m: m.remember(m.number("<I")),
    0x94: lambda m: m.remember(len(m.memo)),
    ord("c"): lambda m: m.push(m.find(m.line(), m.line())),
    0x93: Machine.stack_global,
    ord("R"): Machine.reduce,
    0x81: Machine.reduce,
    ord("b"): Machine.finish,
    ord("Q"): lambda m: m.push(m.stored(m.pop())),
}
"""What each opcode does; there are no others."""

REFUSED: Final = {
    ord("i"): "making an instance (INST)",
    ord("o"): "making an instance (OBJ)",
    0x92: "making an instance (NEWOBJ_EX)",
    0x82: "a name of the extension registry (EXT1)",
    0x83: "a name of the extension registry (EXT2)",
    0x84: "a name of the extension registry (EXT4)",
    0x96: "a byte array",
    0x97: "a buffer outside of the file",
    0x98: "a buffer outside of the file",
    ord("I"): "an integer as text (protocol 0)",
    ord("L"): "an integer as text (protocol 0)",
    ord("F"): "a float as text (protocol 0)",
    ord("P"): "a persistent id as text (protocol 0)",
}


def void(value: object) -> None:
    """Drop what a step gives."""


def append(machine: Machine, value: Any) -> None:
    """Add one value to the list on top."""
    machine.top(list).append(value)


def extend(machine: Machine, values: list[Any]) -> None:
    """Add values to the list on top."""
    machine.top(list).extend(values)
