"""`intaglio info`: what is in a model's file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from intaglio.tools.options import Examples, model_argument
from intaglio.tools.progress import about_training
from intaglio.tools.show import function_sizes, safe, signature, table

if TYPE_CHECKING:
    from intaglio.compiler.ir import Function, Program
    from intaglio.runtime.file import LoadedFile


STATES = 20
"""States that are listed unless all are asked for."""


@click.command(
    cls=Examples,
    examples="""
    intaglio info model.ig
    intaglio info model.ig --all
    intaglio info model.ig --json | jq .functions
    """,
)
@model_argument
@click.option("--all", "every", is_flag=True, help="List every state.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def info(model: str, every: bool, as_json: bool) -> None:
    """Show a model's functions, inputs, state, digests, versions and training flags."""
    from intaglio.runtime.checkpoints import outline
    from intaglio.runtime.file import read

    found = read(model)
    if as_json:
        click.echo(json.dumps(as_data(found), indent=2, ensure_ascii=True))
        return
    click.echo(head(model, found))
    for function in found.program.functions.values():
        click.echo("\n" + about_function(function))
    click.echo("\n" + about_state(found.program, None if every else STATES))
    parts = outline(found.metadata)
    if parts is not None:
        click.echo("\ncheckpoint\n" + table(parts, "  "))
        return
    if training := about_training(found.program, found.values, found.metadata):
        click.echo("\n" + training)
    if remarks := own_remarks(found.metadata):
        click.echo("\nmetadata\n" + table(remarks, "  "))


def own_remarks(metadata: Mapping[str, object]) -> list[tuple[str, object]]:
    """The author's remarks in order, without those of a training run, which are told in words."""
    return sorted((k, v) for k, v in metadata.items() if not k.startswith("training."))


def head(path: str, found: LoadedFile) -> str:
    """Format, version, digests."""
    rows = [
        (safe(path), f"format {found.format_version}"),
        ("program", found.digest),
        ("weights", found.weights_digest),
        ("made by", found.producer),
    ]
    return table(rows)


def training_mode(function: Function) -> str:
    """Which modules were in training mode when the function was traced."""
    flags = dict(function.training)
    if not flags:
        return "no modules"
    on = [name or "the model" for name, training in flags.items() if training]
    if len(on) == len(flags):
        return "training mode"
    return "evaluation mode" if not on else f"training mode of {', '.join(map(safe, on))} only"


def about_function(function: Function) -> str:
    """A function's signature, sizes, mode and states."""
    lines = [signature(function)]
    for symbol in function_sizes(function).values():
        lines.append(f"  size {symbol.name} from {symbol.low} to {symbol.high}")
    lines += [f"  require {safe(c)}" for c in function.graph.constraints]
    lines.append(
        f"  {training_mode(function)}; {len(function.graph.nodes)} operations; "
        f"reads {len(function.reads)} and updates {len(function.updates)} states"
    )
    return "\n".join(lines)


def about_state(program: Program, most: int | None) -> str:
    """What the kinds of state take, then each state's names, type, kind and bytes: of the first
    states, and how many more there are."""
    from intaglio.runtime.settings import show_bytes

    taken: Counter[str] = Counter()
    rows = []
    for state in program.state.values():
        size = state.type.bytes
        assert isinstance(size, int)
        taken[state.kind] += size
        rows.append((" = ".join(state.names), str(state.type), state.kind, show_bytes(size)))
    total = ", ".join(f"{kind} {show_bytes(size)}" for kind, size in taken.items())
    kept = rows if most is None or len(rows) <= most + 1 else rows[:most]
    more = f"  and {len(rows) - len(kept)} more: --all lists them" if kept != rows else ""
    return "\n".join(filter(None, [f"state: {total or 'none'}", table(kept, "  "), more]))


def as_data(found: LoadedFile) -> dict[str, Any]:
    """The same as plain lists and dicts."""
    return {
        "format": found.format_version,
        "producer": found.producer,
        "program": found.digest,
        "weights": found.weights_digest,
        "functions": [_function_data(f) for f in found.program.functions.values()],
        "state": [
            {"names": s.names, "type": str(s.type), "kind": s.kind}
            for s in found.program.state.values()
        ],
        "metadata": dict(sorted(found.metadata.items())),
    }


def _function_data(function: Function) -> dict[str, Any]:
    arguments = zip(function.arguments, function.argument_values, strict=True)
    results = zip(function.results, function.result_values, strict=True)
    return {
        "name": function.name,
        "arguments": [{"name": name, "type": str(v.type)} for name, v in arguments],
        "results": [{"name": name, "type": str(v.type)} for name, v in results],
        "sizes": {s.name: [s.low, s.high] for s in function_sizes(function).values()},
        "reads": function.reads,
        "updates": function.updates,
        "training": dict(function.training),
    }
