"""Looking at values while a program runs."""

from __future__ import annotations

from intaglio._apply import apply
from intaglio._core import Tensor
from intaglio._modes import modes
from intaglio._scope import spot, where_of
from intaglio.compiler.errors import DTypeError
from intaglio.runtime.prints import emit, shown_text


def debug_print(input: Tensor, label: str | None = None) -> Tensor:
    """Show a tensor when the program runs, and return it: label, type, the author's line, and the
    elements.

    Eagerly it is shown at once. A compiled function (`jit`, a saved file, the command line) shows
    its values after each call, in program order; a loop shows those of every round. It costs a
    result more and changes no bits; `load(path, prints=False)` leaves it out. Raises `DTypeError`
    for what is not a tensor."""
    if not isinstance(input, Tensor):
        raise DTypeError(f"debug_print: a tensor is wanted, not {type(input).__name__}")
    if modes.trace is None:
        emit(shown_text(input._concrete("repr"), label or "", (where_of(spot()),)))
    else:
        apply("debug_print", (input,), {"label": label or ""})
    return input
