"""The messages for Python code that cannot be recorded, each with the line and a remedy."""

from __future__ import annotations

from intaglio._core import Tensor
from intaglio._scope import Spot, source_line, spot, where_of
from intaglio.compiler.errors import TraceError
from intaglio.compiler.ir import Value

_REMEDIES = {
    "bool()": (
        "an `if` or `while` on a tensor's value can't be recorded: compute both sides and"
        " choose with"
        " ig.where(condition, a, b), or run this part outside of the traced function"
    ),
    "len()": "the size is symbolic: use x.shape[0], which computes with sizes, or ig.scan"
    " for a loop",
}
_DEFAULT = (
    "compute with the tensor itself, which records, or return it from the traced function and read"
    " it outside"
)


def at(message: str) -> TraceError:
    """A TraceError with the author's `file:line` and the text of that line."""
    place = spot()
    text = source_line(place)
    shown = f": {text}" if text else ""
    made = TraceError(f"{message} ({where_of(place)}{shown})")
    made.located = True
    return made


def refuse_reading(tensor: Tensor, wanted: str) -> TraceError:
    """For Python code that wants the elements of a traced tensor."""
    remedy = _REMEDIES.get(wanted, _DEFAULT)
    what = "a traced value" if isinstance(tensor._data, Value) else "a tensor, while tracing,"
    return at(
        f"{wanted} of {what} {tensor._kind}: its elements are known only when the program runs;"
        f" {remedy}"
    )


def data_dependent(name: str, tensor: Tensor) -> TraceError:
    """For functions whose result has a shape that depends on elements."""
    return at(
        f"{name}: the shape of its result depends on data: the elements of"
        f" {tensor._kind}, which are"
        " known only when the program runs; use ig.where or a sum over a mask, which keep"
        " the shape,"
        " or run it outside of the traced function"
    )


def escaped(op: str, tensor: Tensor) -> TraceError:
    """For a traced value that outlived its trace."""
    return at(
        f"{op}: an operand of type {tensor._kind} is a value of a trace that has ended; it was kept"
        " in a global, an attribute or a closure: return it from the traced function instead"
    )


def symbolic(what: str) -> TraceError:
    """For symbolic sizes outside of a trace."""
    return at(
        f"{what}: symbolic sizes have numbers only when a program runs, and no trace is running"
        " now; a value of a trace that has ended must be returned from the traced"
        " function, not kept"
    )


def taped_argument(tensor: Tensor, place: Spot) -> TraceError:
    """For traced code that writes to an argument what the caller's tensor cannot become."""
    text = source_line(place)
    made = TraceError(
        f"the argument {tensor._kind}, or a view of it, is written to in place with a value that"
        " requires grad or has another type, and the caller's own tensor would not take that over:"
        " write to a clone() of it, or return the new value"
        f" ({where_of(place)}{': ' + text if text else ''})"
    )
    made.located = True
    return made


def kept_to_itself(name: str, tensor: str, place: Spot) -> str:
    """The remark on a write to an argument that callers of a program do not see."""
    return (
        f"trace: {name} writes in place to its argument {tensor}: the program writes to a copy of"
        " its own, which its callers do not see; return the new value, or keep it in a buffer"
        f" ({where_of(place)})"
    )
