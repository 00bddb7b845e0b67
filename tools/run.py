"""`intaglio run`: call a function of a model with arrays from files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from intaglio.tools.atomic import replacing
from intaglio.tools.options import machine_options, model_argument, open_model, parse_pairs
from intaglio.tools.show import safe, safe_lines, tell

if TYPE_CHECKING:
    from intaglio.compiler.ir import Function
    from intaglio.runtime.batching import Batching
    from intaglio.runtime.model import LoadedFunction

Array = np.ndarray[Any, Any]


@click.command()
@model_argument
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    callback=parse_pairs,
    help="An argument from a .npy, .npz or .csv file (repeatable).",
)
@click.option("--data", type=click.Path(), help="All arguments from one .npz or .csv file.")
@click.option("--output", type=click.Path(), help="One result: .npy; any number: .npz, by name.")
@click.option("--function", "name", default="", help="The function (default: forward).")
@click.option("--batch", type=click.IntRange(min=1), help="Rows per call (default: all at once).")
@machine_options
def run(
    model: str,
    inputs: dict[str, str],
    data: str | None,
    output: str | None,
    name: str,
    batch: int | None,
    **machine: Any,
) -> None:
    """Run a function of a model on arrays from files.

    Without --output the results are printed. State that the function updates is not saved."""
    from intaglio.runtime.datasets import read_named, read_one
    from intaglio.runtime.leaves import pick
    from intaglio.runtime.training import named_function

    if output is not None and os.path.splitext(output)[1] not in (".npy", ".npz"):
        raise click.BadParameter("results are written to .npy or .npz", param_hint="'--output'")
    loaded = open_model(model, **machine)
    if not name and len(loaded.functions) == 1:
        name = loaded.functions[0]
    function = named_function(loaded.program, name or "forward")
    arrays = read_named(data) if data is not None else {}
    arrays |= {given: read_one(path, given) for given, path in inputs.items()}
    leaves = pick(function, arrays, tell)
    if function.updates:
        tell(f"{function.name} updates {len(function.updates)} states; the file stays as it is")
    results = call_in_batches(loaded.function(function.name), leaves, batch)
    if output is None:
        click.echo(safe_lines(shown(function, results)))
    else:
        write_results(output, function, results)


def call_in_batches(
    function: LoadedFunction, leaves: Sequence[Array], size: int | None
) -> list[Array]:
    """The results for all rows, computed in batches of `size` where given or where only one size
    fits."""
    from intaglio.runtime.batching import batching, cut
    from intaglio.runtime.datasets import DataError
    from intaglio.runtime.leaves import call_leaves

    cuts = batching(function.function, leaves)
    if size is None and not (cuts.fixed and cuts.examples > cuts.high):
        return call_leaves(function, leaves)
    if cuts.axis is None:
        raise DataError(f"{function.name} has no argument with rows, so no batches can be made")
    size = cuts.choose(None if size is None else min(size, max(cuts.examples, 1)), cuts.low)
    if cuts.dropped(size):
        raise DataError(
            f"{cuts.examples} rows do not make whole batches: {function.name} takes "
            f"{cuts.low} rows at least, and {cuts.dropped(size)} are left over"
        )
    made = [call_leaves(function, leaves) for _, leaves in cut(cuts, leaves, size)]
    return made[0] if len(made) == 1 else joined(function.function, cuts, made)


def joined(function: Function, cuts: Batching, made: Sequence[Sequence[Array]]) -> list[Array]:
    """The batches' results one after another; each must have a row per row of the arguments."""
    from intaglio.runtime.datasets import DataError

    for name, value in zip(function.results, function.result_values, strict=True):
        if not value.type.rank or value.type.shape[0] != cuts.axis:
            raise DataError(
                f"the result {name!r}: {value.type} does not have one row per row of the "
                "arguments, so batches of it can't be joined: run without --batch"
            )
    return [np.concatenate(parts) for parts in zip(*made, strict=True)]


def result_names(function: Function) -> list[str]:
    """A name for every result, made up where it has none."""
    return [name or f"result{k or ''}" for k, name in enumerate(function.results)]


def shown(function: Function, results: Sequence[Array]) -> str:
    """The results as text: single numbers on a line, arrays below their name and shape."""
    lines = []
    for name, value in zip(result_names(function), results, strict=True):
        if np.ndim(value) == 0:
            lines.append(f"{safe(name)} {value[()]}")
        else:
            shape = ",".join(map(str, value.shape))
            lines.append(f"{safe(name)} {value.dtype}[{shape}]\n{value}")
    return "\n".join(lines)


def write_results(path: str, function: Function, results: Sequence[Array]) -> None:
    """Write a `.npy` (one result) or `.npz` (by name), whole or not at all."""
    from intaglio.runtime.datasets import DataError, for_files, write_npz

    names = result_names(function)
    arrays = {n: for_files(a, n, tell) for n, a in zip(names, results, strict=True)}
    if path.endswith(".npy") and len(arrays) != 1:
        raise DataError(f"{function.name} has {len(arrays)} results: write them to a .npz file")
    with replacing(path) as file:
        if path.endswith(".npy"):
            np.save(file, next(iter(arrays.values())), allow_pickle=False)
        else:
            write_npz(file, arrays)
