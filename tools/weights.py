"""`intaglio weights`: list a model's weights, take them from other files, hand them to others."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from intaglio.tools.atomic import check_writable
from intaglio.tools.options import Examples, model_argument, open_model
from intaglio.tools.show import safe, table, tell

if TYPE_CHECKING:
    from intaglio.compiler.ir import State
    from intaglio.runtime.model import Model

Array = np.ndarray[Any, Any]
WEIGHTS = ("parameter", "buffer")
"""The kinds of state that a module's `state_dict` has."""
DIGITS = 12
"""Hexadecimal digits of a digest that the table shows."""
NAMED = 5
"""Names that an error lists."""


@click.command(
    cls=Examples,
    examples="""
    intaglio weights model.ig
    intaglio weights model.ig --export model.safetensors
    intaglio weights model.ig --load resnet.safetensors --out pretrained.ig
    intaglio weights model.ig --load checkpoint.pt --key model --out pretrained.ig
    """,
)
@model_argument
@click.option(
    "--load",
    "source",
    type=click.Path(),
    help="Take weights from .safetensors, .npz or torch's .pt.",
)
@click.option("--key", help="Where in a checkpoint of torch's the state_dict is.")
@click.option(
    "--strict/--no-strict",
    default=True,
    show_default=True,
    help="With --load: refuse missing and unknown names.",
)
@click.option("--out", type=click.Path(dir_okay=False), help="With --load: the new model.")
@click.option("--export", type=click.Path(dir_okay=False), help="Write .safetensors or .npz.")
@click.option("--all", "every", is_flag=True, help="Optimizer state and all else too.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def weights(
    model: str,
    source: str | None,
    key: str | None,
    strict: bool,
    out: str | None,
    export: str | None,
    every: bool,
    as_json: bool,
) -> None:
    """List a model's weights: name, type, bytes, digest.

    --load sets them from a file by name and writes a new model; --export writes them for other
    programs. MODEL may be a .safetensors, .npz or torch .pt file too: then it is listed. Of torch's
    files only tensors and plain values are read, and nothing is run.

    Weights are parameters and buffers, what a module's state_dict holds; --all adds the rest of the
    state. A name that the model knows as tied is as good as the first one."""
    if (source is None) != (out is None):
        raise click.UsageError("--load and --out go together")
    if export is not None:
        check_ending(export)
        check_writable(export)
    if is_weights_file(model):
        if source is not None or export is not None:
            raise click.UsageError(f"{safe(model)} is no model: only a list can be made of it")
        from intaglio.runtime.weights import load_weights

        rows = [about(name, array, "-") for name, array in load_weights(model, key).items()]
    else:
        loaded = open_model(model)
        if source is not None and out is not None:
            take(loaded, source, key, strict, every)
            loaded.save(out)
            tell(f"wrote {out}")
        if export is not None:
            give(loaded, export, every)
        if source is not None or export is not None:
            return
        rows = [
            about(" = ".join(s.names), loaded.state.array(s.name), s.kind)
            for s in chosen(loaded, every)
        ]
    click.echo(json.dumps(rows, indent=1) if as_json else listed(rows))


def is_weights_file(path: str) -> bool:
    """Whether a path names a file of weights and not a model."""
    from intaglio.runtime.weights import READ

    return os.path.splitext(path)[1].lower() in READ


def check_ending(path: str) -> None:
    """A usage error unless weights can be written to a file of this name."""
    from intaglio.runtime.weights import ENDINGS

    if os.path.splitext(path)[1].lower() not in ENDINGS:
        raise click.BadParameter("weights are written to .safetensors or .npz files")


def chosen(model: Model, every: bool) -> list[State]:
    """The states that count as weights; all of them if wanted."""
    return [s for s in model.program.state.values() if every or s.kind in WEIGHTS]


def about(name: str, array: Array, kind: str) -> dict[str, Any]:
    """What the list says of an array."""
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return {
        "name": name,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "kind": kind,
        "bytes": array.nbytes,
        "sha256": hashlib.sha256(content.data).hexdigest(),
    }


def listed(rows: Sequence[Mapping[str, Any]]) -> str:
    """The list as a table, with the sums below."""
    from intaglio.runtime.settings import show_bytes

    lines: list[Sequence[object]] = [("name", "dtype", "shape", "kind", "bytes", "sha256")]
    for row in rows:
        shape = ",".join(map(str, row["shape"]))
        lines.append(
            (row["name"], row["dtype"], f"[{shape}]", row["kind"], row["bytes"],
             row["sha256"][:DIGITS])
        )  # fmt: skip
    numbers = sum(int(np.prod(row["shape"], dtype=np.int64)) for row in rows)
    taken = show_bytes(sum(row["bytes"] for row in rows))
    return f"{table(lines)}\n{len(rows)} arrays, {numbers} numbers, {taken}"


def take(model: Model, path: str, key: str | None, strict: bool, every: bool) -> None:
    """Set the model's states from a file; casts that lose nothing are made and told."""
    from intaglio.runtime.datasets import DataError, fit
    from intaglio.runtime.weights import load_weights

    given = load_weights(path, key)
    known = model.state.names()
    found = {known[name] for name in given if name in known}
    missing = [s.name for s in chosen(model, every) if s.name not in found]
    unknown = [name for name in given if name not in known]
    problems = [f"{path} lacks {brief(missing)}"] if missing else []
    problems += [f"the model has no {brief(unknown)}"] if unknown else []
    if problems and strict:
        raise DataError(f"{'; '.join(problems)} (--no-strict allows that)")
    for problem in problems:
        tell(problem)
    values = {
        name: fit(array, model.program.state[known[name]].type, name, tell)
        for name, array in given.items()
        if name in known
    }
    model.load_state_dict(values, strict=False)
    tell(f"{len(values)} arrays taken from {path}")


def give(model: Model, path: str, every: bool) -> None:
    """Write the model's states, each under all of its names."""
    from intaglio.runtime.weights import save_weights

    arrays = {name: model.state.array(s.name) for s in chosen(model, every) for name in s.names}
    save_weights(path, arrays)
    tell(f"wrote {path}: {len(arrays)} arrays")


def brief(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more
