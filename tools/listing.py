"""What the compiler makes of a function, as text: its steps, its memory, its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from intaglio.compiler.dims import Size, evaluate
from intaglio.compiler.lower import BufferSpec, Lowered, lower
from intaglio.compiler.where import describe
from intaglio.runtime.compile import optimised
from intaglio.runtime.datasets import DataError
from intaglio.runtime.settings import show_bytes
from intaglio.tools.launches import launch_table
from intaglio.tools.show import function_sizes, safe, safe_lines, signature, table

if TYPE_CHECKING:
    from intaglio.compiler.ir import Function
    from intaglio.runtime.model import Model

OPS = 60
"""Characters of a list of ops before it is cut."""


def listing(
    model: Model,
    function: Function,
    sizes: Mapping[str, int],
    *,
    kernels: bool,
    memory: bool,
    explain: bool,
    source: bool,
    target: str,
) -> str:
    """The views asked for, for given sizes or, without any, for all."""
    bound = choose(function, sizes)
    executable = model.function(function.name).executable
    graph = optimised(executable.graph, bound)
    made = lower(graph, target=target, in_place=executable.updates)
    told = ", ".join(f"{k}={v}" for k, v in (bound or {}).items())
    parts = [f"// {signature(function)}{' for ' + told if told else ''}"]
    if kernels:
        parts.append(kernel_table(made, bound or {}))
        if made.launches:
            parts.append(launch_table(made.launches))
    if memory:
        names = [*function.arguments, *executable.states]
        parts.append(memory_table(made, function, names, bound))
        if bound is not None:
            parts.append(safe_lines(str(model.plan(function.name, **bound))))
    if explain:
        parts.append(safe_lines(str(model.explain(function.name, **(bound or {})))))
    if source:
        parts += [safe_lines(text) for text in made.sources]
    return "\n".join(parts) + "\n"


def choose(function: Function, sizes: Mapping[str, int]) -> dict[str, int] | None:
    """The sizes of this function that are given: all of them, or None for the general form."""
    known = function_sizes(function)
    given = {name: sizes[name] for name in known if name in sizes}
    if given and len(given) < len(known):
        missing = [name for name in known if name not in given]
        raise DataError(f"{function.name}: --size is missing for {', '.join(missing)}")
    for name, value in given.items():
        if not known[name].low <= value <= known[name].high:
            low, high = known[name].low, known[name].high
            raise DataError(f"{function.name}: {name} = {value} is outside {low} to {high}")
    return given if given or not known else None


def amount(size: Size, sizes: Mapping[str, int] | None) -> str:
    """Bytes as people read them; a formula where sizes are not known."""
    if isinstance(size, int):
        return show_bytes(size)
    return f"{size} bytes" if not sizes else show_bytes(evaluate(size, sizes))


def kernel_table(made: Lowered, sizes: Mapping[str, int]) -> str:
    """A line for every kernel: its step, its function, its ops, what it moves, where it is from."""
    rows: list[tuple[object, ...]] = [("step", "kernel", "ops", "reads", "writes", "from")]
    for step in made.steps:
        ops = " ".join(step.ops)
        shown = ops if len(ops) <= OPS else f"{ops[: OPS - 1]}\N{HORIZONTAL ELLIPSIS}"
        moved = [
            amount(sum((made.buffers[n].bytes for n in numbers), 0), sizes)
            for numbers in (step.reads, step.writes)
        ]
        kernel = step.kernel or "(Python)"
        rows.append((step.number, kernel, shown, *moved, describe(step.where)))
    return table(rows)


def memory_table(
    made: Lowered, function: Function, names: list[str], sizes: Mapping[str, int] | None
) -> str:
    """A line for every buffer, with the steps from its first use to its last."""
    rows: list[tuple[object, ...]] = [("buffer", "type", "bytes", "steps", "name")]
    for spec in made.buffers:
        shape = ",".join(map(str, spec.shape))
        life = f"{spec.first}-{spec.last}" if spec.first <= spec.last else "-"
        rows.append(
            (spec.kind, f"{spec.dtype}[{shape}]", amount(spec.bytes, sizes), life,
             _name(spec, function, names))
        )  # fmt: skip
    return table(rows)


def _name(spec: BufferSpec, function: Function, names: list[str]) -> str:
    """What the user calls a buffer."""
    if spec.kind == "input":
        return safe(names[spec.index])
    if spec.kind == "output":
        results = [*function.results, *function.updates]
        taken = f", in place of {names[spec.may_alias]}" if spec.may_alias is not None else ""
        return safe((results[spec.index] or "result") + taken)
    return str(spec.index)
