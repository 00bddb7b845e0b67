"""`intaglio run`: call a function of a model with arrays from files."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import numpy as np

from intaglio.tools.atomic import replacing
from intaglio.tools.options import (
    Examples,
    check_nan_option,
    hidden_bar,
    machine_options,
    model_argument,
    open_model,
    parse_pairs,
    progress_option,
)
from intaglio.tools.show import safe, safe_lines, tell

if TYPE_CHECKING:
    from tqdm import tqdm

    from intaglio.compiler.ir import Function
    from intaglio.runtime.batching import Batching
    from intaglio.runtime.model import LoadedFunction

Array = np.ndarray[Any, Any]


FORMATS = ("npy", "npz", "csv", "txt")
TEXT = ".txt"
"""The ending of files whose bytes are one array u8[n]."""


@click.command(
    cls=Examples,
    examples="""
    intaglio run model.ig --input x=test_x.npy --output y.npy
    intaglio run model.ig --input x=test.csv --output y.csv --batch 256
    intaglio run model.ig --function eval --data test.npz
    cat test.csv | intaglio run model.ig --input x=- --output - > y.csv
    intaglio run gpt.ig --function sample --input prompt=begin.txt --input temperature=0.8 \
        --output written.txt
    """,
)
@model_argument
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    callback=parse_pairs,
    help="An argument from a .npy, .npz, .csv or .txt file (repeatable); - is standard input. "
    "Single numbers may be written out: rate=0.5.",
)
@click.option("--data", type=click.Path(), help="All arguments from one .npz or .csv file, or -.")
@click.option(
    "--output",
    type=click.Path(),
    help="One result: .npy, of bytes: .txt; any number, by name: .npz, .csv; - is standard output.",
)
@click.option("--format", "style", type=click.Choice(FORMATS), help="Of --output - (default: csv).")
@click.option("--function", "name", default="", help="The function (default: forward).")
@click.option("--batch", type=click.IntRange(min=1), help="Rows per call (default: all at once).")
@progress_option
@check_nan_option
@machine_options
def run(
    model: str,
    inputs: dict[str, str],
    data: str | None,
    output: str | None,
    style: str | None,
    name: str,
    batch: int | None,
    progress: bool | None,
    **machine: Any,
) -> None:
    """Run a function of a model on arrays from files.

    Without --output the results are printed. State that the function updates is not saved."""
    from intaglio.runtime.datasets import read_named
    from intaglio.runtime.leaves import pick
    from intaglio.runtime.training import named_function

    style = output_format(output, style)
    if [data, *inputs.values()].count("-") > 1:
        raise click.UsageError("standard input can be read only once")
    loaded = open_model(model, **machine)
    if not name and len(loaded.functions) == 1:
        name = loaded.functions[0]
    function = named_function(loaded.program, name or "forward")
    arrays = read_named(data) if data is not None else {}
    arrays |= {given: argument(function, given, source) for given, source in inputs.items()}
    leaves = pick(function, arrays, tell)
    if function.updates:
        tell(f"{function.name} updates {len(function.updates)} states; the file stays as it is")
    called = loaded.function(function.name)
    results = call_in_batches(called, leaves, batch, hidden_bar(progress))
    if output is None:
        click.echo(safe_lines(shown(function, results)))
    else:
        write_results(output, style, function, results)


def argument(function: Function, name: str, source: str) -> Array:
    """An argument from a file; the bytes of a text; or a number that is written out."""
    from intaglio.runtime.datasets import as_scalar, read_one

    if source.lower().endswith(TEXT):
        with open(source, "rb") as file:
            return np.frombuffer(file.read(), np.uint8)
    types = {n: v.type for n, v in zip(function.arguments, function.argument_values, strict=True)}
    if name in types and not types[name].rank and is_number(source):
        return as_scalar(source, types[name], name)
    return read_one(source, name)


def is_number(text: str) -> bool:
    """Whether a text is a number (or a truth value) and not the name of a file."""
    if os.path.exists(text):
        return False
    if text.lower() in ("true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def output_format(output: str | None, style: str | None) -> str:
    """How the results are written: by the file's ending, or as wanted on standard output."""
    if output is None or output == "-":
        if output is None and style is not None:
            raise click.UsageError("--format goes with --output -")
        return style or "csv"
    ending = os.path.splitext(output)[1].lower()[1:]
    if ending not in FORMATS:
        raise click.BadParameter(
            "results are written to .npy, .npz, .csv or .txt", param_hint="'--output'"
        )
    if style is not None and style != ending:
        raise click.UsageError(f"--format {style} and --output {safe(output)} disagree")
    return ending


def call_in_batches(
    function: LoadedFunction, leaves: Sequence[Array], size: int | None, hidden: bool | None = True
) -> list[Array]:
    """The results for all rows, computed in batches of `size` where given or where only one size
    fits, under a progress bar unless `hidden`."""
    from intaglio.runtime.batching import batching, cut
    from intaglio.runtime.datasets import DataError
    from intaglio.runtime.leaves import call_leaves

    cuts = batching(function.function, leaves)
    if size is None and not (cuts.fixed and cuts.examples > cuts.high):
        return call_leaves(function, leaves)
    if cuts.axis is None:
        raise DataError(f"{function.name} has no argument with rows, so no batches can be made")
    if not cuts.examples:
        return call_leaves(function, leaves)
    size = cuts.choose(None if size is None else min(size, cuts.examples), cuts.low)
    if cuts.dropped(size):
        raise DataError(
            f"{cuts.examples} rows do not make whole batches: {function.name} takes "
            f"{cuts.low} rows at least, and {cuts.dropped(size)} are left over"
        )
    made, counts = [], []
    with bar(cuts.examples, hidden) as shown:
        for rows, batch in cut(cuts, leaves, size):
            made.append(call_leaves(function, batch))
            counts.append(rows)
            shown.update(rows)
    return made[0] if len(made) == 1 else joined(function.function, cuts, made, counts)


def bar(rows: int, hidden: bool | None) -> tqdm[Any]:
    """A progress bar over so many rows."""
    from tqdm import tqdm

    return tqdm(total=rows, unit="row", leave=False, disable=hidden)


def joined(
    function: Function, cuts: Batching, made: Sequence[Sequence[Array]], counts: Sequence[int]
) -> list[Array]:
    """The batches' results one after another, where they have a row per row of the arguments. Of
    single numbers with a fraction the mean over the rows, as training has it of its evaluation."""
    from intaglio.runtime.datasets import DataError

    averaged = [
        name
        for name, value in zip(function.results, function.result_values, strict=True)
        if not value.type.rank and value.type.dtype.kind == "f"
    ]
    if averaged:
        tell(f"{', '.join(map(safe, averaged))}: the mean over {len(counts)} batches by their rows")
    for name, value in zip(function.results, function.result_values, strict=True):
        if name not in averaged and (not value.type.rank or value.type.shape[0] != cuts.axis):
            raise DataError(
                f"the result {name!r}: {value.type} does not have one row per row of the "
                "arguments, so batches of it can't be joined: run without --batch"
            )
    return [
        mean_by_rows(parts, counts) if name in averaged else np.concatenate(parts)
        for name, parts in zip(function.results, zip(*made, strict=True), strict=True)
    ]


def mean_by_rows(parts: Sequence[Array], counts: Sequence[int]) -> Array:
    """The mean of numbers that stand for so many rows each: added up in f64, in their order."""
    total = 0.0
    for part, rows in zip(parts, counts, strict=True):
        total += float(part) * rows
    return np.array(total / sum(counts))


def result_names(function: Function) -> list[str]:
    """A name for every result, made up where it has none."""
    return [name or f"result{k or ''}" for k, name in enumerate(function.results)]


def shown(function: Function, results: Sequence[Array]) -> str:
    """The results as text: single numbers on a line, arrays below their name and shape."""
    lines = []
    for name, value in zip(result_names(function), results, strict=True):
        if np.ndim(value) == 0:
            lines.append(f"{safe(name)} {value[()]!s}")
        else:
            shape = ",".join(map(str, value.shape))
            lines.append(f"{safe(name)} {value.dtype}[{shape}]\n{value}")
    return "\n".join(lines)


def write_results(path: str, style: str, function: Function, results: Sequence[Array]) -> None:
    """Write a `.npy` (one result), `.npz` or `.csv` (by name), whole or not at all."""
    from intaglio.runtime.datasets import DataError, for_files

    names = result_names(function)
    arrays = {n: for_files(a, n, tell) for n, a in zip(names, results, strict=True)}
    if style in ("npy", "txt") and len(arrays) != 1:
        raise DataError(f"{function.name} has {len(arrays)} results: write them as npz")
    if style == "txt" and (wrong := next(iter(arrays.values()))).dtype != np.uint8:
        raise DataError(f"a text is written of bytes, u8[n], and the result is {wrong.dtype}")
    if path == "-":
        # Archives are written back and forth, which a pipe does not allow.
        whole = io.BytesIO()
        encode(whole, style, arrays)
        sys.stdout.buffer.write(whole.getvalue())
        sys.stdout.buffer.flush()
        return
    with replacing(path) as file:
        encode(file, style, arrays)


def encode(file: BinaryIO, style: str, arrays: Mapping[str, Array]) -> None:
    """The arrays in one of the formats."""
    if style == "npy":
        np.save(file, next(iter(arrays.values())), allow_pickle=False)
    elif style == "txt":
        file.write(next(iter(arrays.values())).tobytes())
    elif style == "npz":
        from intaglio.runtime.datasets import write_npz

        write_npz(file, arrays)
    else:
        from intaglio.runtime.csvdata import write_csv

        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        write_csv(text, arrays)
        text.detach()
