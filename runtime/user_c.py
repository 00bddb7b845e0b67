"""C functions of whole arrays that a user supplies: as text, as a `.c` file or in a shared library.

    int f(const void *const *inputs, void *const *outputs, const int64_t *sizes)

`inputs` and `outputs` point to the elements, row-major. `sizes` holds, for each input and then for
each output, the number of its dims and then its sizes. The result is 0, or a number that the error
will show. Text is compiled with our compiler and flags into a library of its own, apart from all
generated code; the functions run without the interpreter's lock."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from intaglio.compiler.errors import ArgumentError, CompileError, Error
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array, address
from intaglio.runtime.build import open_library

HEAD: Final = "#include <stdint.h>\n"
SYMBOL: Final = re.compile(r"[A-Za-z_]\w*")
Results = Callable[[Sequence[Array]], Sequence[TensorType]]


def c_function(name: str, source: str | Path, symbol: str) -> Callable[..., int]:
    """The C function of an op, to be called with three addresses. `source` is C text, or the path
    of a `.c` file or of a shared library."""
    if not SYMBOL.fullmatch(symbol):
        raise ArgumentError(f"{name}: {symbol!r} is no name of a C function")
    text = str(source)
    if "{" in text:
        library = _compiled(name, text, symbol)
    else:
        path = Path(source)
        if not path.is_file():
            raise ArgumentError(f"{name}: there is no file {text}")
        if path.suffix == ".c":
            library = _compiled(name, path.read_text(encoding="utf-8"), symbol)
        else:
            try:
                library = ctypes.CDLL(str(path.resolve()))
            except OSError as error:
                raise CompileError(f"{name}: {text} can't be opened: {error}") from None
    try:
        found: Any = getattr(library, symbol)
    except AttributeError:
        raise ArgumentError(f"{name}: {text} has no function {symbol}") from None
    found.argtypes = [ctypes.c_void_p] * 3
    found.restype = ctypes.c_int
    made: Callable[..., int] = found
    return made


def _compiled(name: str, text: str, symbol: str) -> ctypes.CDLL:
    if not re.search(rf"\b{symbol}\s*\(", text):
        raise ArgumentError(f"{name}: the C text has no function {symbol}")
    if not text.isascii():
        raise ArgumentError(f"{name}: the C text has letters that are not ASCII")
    try:
        return open_library((HEAD + text,), (symbol,))
    except CompileError as error:
        raise CompileError(f"{name}: {error}") from None


class CReference:
    """The meaning of an op that is a C function: arrays in, arrays out. It is opened, and its text
    compiled, when it is first called."""

    def __init__(self, name: str, source: str | Path, symbol: str, results: Results) -> None:
        self.name, self.source, self.symbol, self._results = name, source, symbol, results
        self.__doc__ = f"The C function {symbol}."
        self._function: Callable[..., int] | None = None

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """What the function makes of arrays."""
        if self._function is None:
            self._function = c_function(self.name, self.source, self.symbol)
        types = self._results(arrays)
        made = [np.empty(tuple(map(int, t.shape)), t.dtype.numpy) for t in types]  # type: ignore[arg-type]  # known
        numbers = [n for a in (*arrays, *made) for n in (a.ndim, *a.shape)]
        sizes = (ctypes.c_int64 * max(len(numbers), 1))(*numbers)
        inputs, outputs = _pointers(arrays), _pointers(made)
        status = self._function(inputs, outputs, sizes)
        if status:
            raise Error(f"{self.name}: the C function {self.symbol} returned {status}")
        return tuple(made)


def _pointers(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * max(len(arrays), 1))(*map(address, arrays))
