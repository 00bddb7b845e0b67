"""Shows values that a program was asked to show while it ran (`debug_print`), a line or a block of
lines for each, in program order; inside of a loop round by round.

Labels and places come from files too: they are shown escaped. `set_print_sink` sends the texts
elsewhere than to standard output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.ir import Attributes
from intaglio.compiler.op import Builder, Op, has_effect
from intaglio.compiler.passes.prints import Rounds, Shown, expose
from intaglio.compiler.text import printable
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, describe
from intaglio.runtime.arrays import Array

Sink = Callable[[str], None]
_sinks: Final[list[Sink]] = []


def set_print_sink(sink: Sink | None) -> Sink | None:
    """Hand the texts of `debug_print` to `sink` from now on; None: to standard output, as they are
    at first. Returns the sink before."""
    before = _sinks[0] if _sinks else None
    _sinks[:] = [] if sink is None else [sink]
    return before


def emit(text: str) -> None:
    """Show a text."""
    if _sinks:
        _sinks[0](text)
    else:
        print(text, flush=True)


def shown_text(array: Array, label: str, where: Places, rounds: Sequence[int] = ()) -> str:
    """What is shown of a value: label, type and place, then the elements, behind them where they
    take one line."""
    head = printable(label) or "debug_print"
    for number in rounds:
        head += f" [round {number}]"
    head += f": {TensorType(dtype_of(array.dtype), array.shape)}"
    if where:
        head += f" ({printable(describe(where))})"
    text = elements_text(array)
    return f"{head}\n{text}" if "\n" in text else f"{head} = {text}"


def elements_text(array: Array, most: int = 200) -> str:
    """The elements; of more than `most` the first and last along each dim."""
    if array.dtype.kind == "V" or array.dtype.name in ("bfloat16", "float16"):
        array = array.astype(np.float32)
    return np.array2string(
        array, precision=5, threshold=most, edgeitems=3, separator=", ", max_line_width=100
    )


def show(shown: Sequence[Shown], values: Sequence[Array], rounds: tuple[int, ...] = ()) -> None:
    """Show what a call made, `values` being the further outputs of the exposed graph."""
    for item in shown:
        if isinstance(item, Rounds):
            count = len(values[_first(item)])
            for t in reversed(range(count)) if item.reverse else range(count):
                show(item.shown, _Slices(values, t), (*rounds, t))
        else:
            emit(shown_text(np.asarray(values[item.output]), item.label, item.where, rounds))


class _Slices(Sequence[Array]):
    """The values of one round."""

    def __init__(self, stacks: Sequence[Array], t: int) -> None:
        self._stacks, self._t = stacks, t

    def __len__(self) -> int:
        return len(self._stacks)

    def __getitem__(self, k: Any) -> Any:
        return self._stacks[k][self._t]


def _first(rounds: Rounds) -> int:
    inner = rounds.shown[0]
    return _first(inner) if isinstance(inner, Rounds) else inner.output


def exposed_loop(
    rule: Op, types: Sequence[TensorType], attributes: Attributes
) -> tuple[Attributes, int, tuple[Shown, ...]] | None:
    """For an op in whose blocks something is shown: its attributes with the blocks exposed, how
    many results are its own, and what the others show. None where there is nothing to show."""
    b = Builder()
    inputs = [b.input(type) for type in types]
    outputs = b.apply(rule.name, inputs, attributes)
    if not has_effect(b.nodes[-1]):
        return None
    graph, shown = expose(b.graph(outputs))
    return graph.nodes[-1].attributes, len(outputs), shown
