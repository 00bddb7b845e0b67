"""`intaglio bench`: how long a model's functions take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from intaglio.tools.options import (
    Examples,
    machine_options,
    model_argument,
    open_model,
    size_option,
)
from intaglio.tools.show import function_sizes, safe_lines, show_time, table, tell

if TYPE_CHECKING:
    from intaglio.compiler.ir import Function
    from intaglio.runtime.model import LoadedFunction
    from intaglio.runtime.report import Profile

Array = np.ndarray[Any, Any]
CALLS = 10_000


@click.command(
    cls=Examples,
    examples="""
    intaglio bench model.ig
    intaglio bench model.ig --function forward --size n=1 --threads 2 --seconds 5
    intaglio bench model.ig --function train_step --profile
    """,
)
@model_argument
@click.option("--function", "names", multiple=True, help="Only this function (repeatable).")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.01),
    default=1.0,
    show_default=True,
    help="Time to spend on each function.",
)
@click.option("--profile", is_flag=True, help="Show where the time goes, step by step.")
@size_option
@machine_options
def bench(
    model: str,
    names: tuple[str, ...],
    seconds: float,
    profile: bool,
    sizes: dict[str, int],
    **machine: Any,
) -> None:
    """Time calls of a model's functions on made-up arguments: median and spread.

    Symbolic sizes are 32, or as near to it as they may be, unless --size says otherwise. The file
    is not changed."""
    from intaglio.runtime.leaves import nested
    from intaglio.runtime.training import named_function

    loaded = open_model(model, **machine)
    rows: list[Sequence[object]] = [
        ("function", "sizes", "first call", "median", "fastest tenth", "slowest tenth", "calls")
    ]
    profiles: list[Profile] = []
    for name in names or loaded.functions:
        function = named_function(loaded.program, name)
        values = choose_sizes(function, sizes)
        called, leaves = loaded.function(name), arguments(function, values)
        first, times = measure(called, leaves, seconds)
        if profile:
            profiles.append(called.profile(*nested(called, leaves)))
        shown = ", ".join(f"{k}={v}" for k, v in values.items()) or "-"
        spread = [show_time(float(np.quantile(times, q))) for q in (0.5, 0.1, 0.9)]
        rows.append((name, shown, show_time(first), *spread, len(times)))
    for unknown in sizes.keys() - {
        n for name in names or loaded.functions
        for n in function_sizes(loaded.program.functions[name])
    }:  # fmt: skip
        tell(f"--size {unknown}: none of the functions has this size")
    click.echo(table(rows))
    for made in profiles:
        click.echo(f"\n{safe_lines(str(made))}")


def choose_sizes(function: Function, wanted: dict[str, int]) -> dict[str, int]:
    """A value for each symbolic size of a function."""
    return {
        name: wanted.get(name, min(max(32, symbol.low), symbol.high))
        for name, symbol in function_sizes(function).items()
    }


def arguments(function: Function, sizes: dict[str, int]) -> list[Array]:
    """Arrays of the right types: floats from a normal distribution, zeros otherwise (a valid
    index)."""
    from intaglio.compiler.dims import evaluate

    random = np.random.default_rng(0)
    made = []
    for value in function.argument_values:
        shape = tuple(evaluate(size, sizes) for size in value.type.shape)
        dtype = value.type.dtype
        if dtype.is_floating_point:
            made.append(random.standard_normal(shape).astype(dtype.numpy))
        else:
            made.append(np.zeros(shape, dtype.numpy))
    return made


def measure(
    function: LoadedFunction, leaves: Sequence[Array], seconds: float
) -> tuple[float, Array]:
    """Seconds of the first call, which compiles, and of each later one."""
    from intaglio.runtime.leaves import call_leaves

    clock = time.perf_counter
    begin = clock()
    call_leaves(function, leaves)
    first = clock() - begin
    times: list[float] = []
    end = clock() + seconds
    while len(times) < CALLS and (not times or clock() < end):
        begin = clock()
        call_leaves(function, leaves)
        times.append(clock() - begin)
    return first, np.array(times)
