"""`intaglio dump`: look into a model: its IR, its kernels, its memory, its C or CUDA source."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from intaglio.tools.atomic import replacing
from intaglio.tools.options import model_argument, open_model, size_option
from intaglio.tools.show import safe, safe_lines

if TYPE_CHECKING:
    from intaglio.compiler.ir import Function, Graph, State

FORMATS = ("text", "json", "dot", "svg", "html")


@click.command()
@model_argument
@click.option("--function", "names", multiple=True, help="Only this function (repeatable).")
@click.option("--after", metavar="PASS", help="The IR as it is after this pass.")
@click.option("--format", "style", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--kernels", is_flag=True, help="The steps that a compiled call takes.")
@click.option("--memory", is_flag=True, help="What a call takes, and who holds the peak.")
@click.option("--explain", is_flag=True, help="The kernels, and why others were not joined.")
@click.option("--source", is_flag=True, help="The source text of the kernels.")
@click.option("--target", type=click.Choice(["c", "cuda"]), default="c", show_default=True)
@size_option
@click.option("--output", type=click.Path(dir_okay=False), help="Write to a file.")
def dump(
    model: str,
    names: tuple[str, ...],
    after: str | None,
    style: str,
    kernels: bool,
    memory: bool,
    explain: bool,
    source: bool,
    target: str,
    sizes: dict[str, int],
    output: str | None,
) -> None:
    """Print a model's IR as typed text, JSON, DOT, SVG or HTML, with the author's source lines.

    --kernels, --memory, --explain and --source show what the compiler makes of it instead.
    Everything is shown for the --size given, or for any size."""
    from intaglio.runtime.training import named_function

    compiled = kernels or memory or explain or source
    if compiled and (style != "text" or after):
        raise click.UsageError(
            "--kernels, --memory, --explain and --source go without --format and --after"
        )
    loaded = open_model(model)
    program = loaded.program
    chosen = [named_function(program, name) for name in names or program.functions]
    if compiled:
        from intaglio.tools.listing import listing

        views = {"kernels": kernels, "memory": memory, "explain": explain, "source": source}
        parts = [listing(loaded, f, sizes, target=target, **views) for f in chosen]
        text = "\n".join(parts)
    else:
        functions = [staged(f, after, sizes) for f in chosen]
        touched = {name for f in chosen for name in (*f.reads, *f.updates)}
        state = {k: s for k, s in program.state.items() if k in touched or not names}
        text = rendered(os.path.basename(model), functions, state, style)
    write(text, output)


def staged(function: Function, after: str | None, sizes: Mapping[str, int]) -> Function:
    """The function for the sizes given, as it is after a pass of the pipeline; as saved without
    either."""
    from intaglio.compiler.passes.specialise import specialise

    graph = specialise(function.graph, sizes) if sizes else function.graph
    return function.with_graph(graph if after is None else graph_after(graph, after))


def graph_after(graph: Graph, after: str) -> Graph:
    """The graph after the passes up to the last one called `after`."""
    from intaglio.compiler.passes import PIPELINE
    from intaglio.compiler.passes.fuse import fuse

    steps = (*PIPELINE, fuse)
    names = [step.__name__ for step in steps]
    if after not in names:
        raise click.BadParameter(
            f"there is no pass {after!r}; in order: {', '.join(names)}", param_hint="'--after'"
        )
    for step in steps[: len(names) - names[::-1].index(after)]:
        graph = step(graph)
    return graph


def rendered(
    title: str, functions: Sequence[Function], state: Mapping[str, State], style: str
) -> str:
    """Functions, and the state to be shown with them, in one of the formats."""
    from intaglio.compiler.ir import Program

    if style == "text":
        from intaglio.compiler.text import print_program

        program = Program({f.name: f for f in functions}, state)
        return safe_lines(print_program(program)) + "\n"
    if style == "json":
        from intaglio.tools.jsontext import program_json

        return program_json(functions, state)
    if style == "html":
        from intaglio.tools.page import page

        return page(title, functions, state)
    from intaglio.tools.diagram import diagram
    from intaglio.tools.drawing import dot, svg

    drawn = [diagram(function) for function in functions]
    return dot(drawn) if style == "dot" else svg(drawn)


def write(text: str, output: str | None) -> None:
    """To a file, or to standard output."""
    if output is None:
        sys.stdout.write(text)
        return
    with replacing(output) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    click.echo(f"wrote {safe(output)}", err=True)
