"""`intaglio dump`: look into a model: its IR, its kernels, its memory, its C or CUDA source."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from intaglio.tools.atomic import replacing
from intaglio.tools.options import Examples, model_argument, open_model, size_option
from intaglio.tools.show import safe, safe_lines, tell

if TYPE_CHECKING:
    from intaglio.compiler.ir import Function, Graph, State

FORMATS = ("text", "json", "dot", "svg", "html")
ALL = -1
SUMMARY = 2
"""The depth of a summary by module unless another is asked for."""
LONG = 300
"""Operations of which text is printed module by module unless all are asked for."""


def parse_depth(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """A number of levels, or `all`."""
    if text is None or text == "all":
        return ALL if text else None
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a number nor all")
    return int(text)


@click.command(
    cls=Examples,
    examples="""
    intaglio dump model.ig
    intaglio dump model.ig --function forward --format svg --output forward.svg
    intaglio dump model.ig --function train_step --after fuse --depth all
    intaglio dump model.ig --function forward --kernels --memory --size n=32
    intaglio dump model.ig --function forward --source --target cuda
    """,
)
@model_argument
@click.option("--function", "names", multiple=True, help="Only this function (repeatable).")
@click.option("--after", metavar="PASS", help="The IR as it is after this pass.")
@click.option("--format", "style", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--depth",
    metavar="N|all",
    callback=parse_depth,
    help="Show modules deeper than N as one (default: all of a small program).",
)
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
    depth: int | None,
    kernels: bool,
    memory: bool,
    explain: bool,
    source: bool,
    target: str,
    sizes: dict[str, int],
    output: str | None,
) -> None:
    """Print a model's IR as typed text, JSON, DOT, SVG or HTML, with the author's source lines.

    Of a large program, text is a summary by module and a drawing has one box for a deep module,
    unless --depth says how deep to go or --after asks for the IR after a pass.

    --kernels, --memory, --explain and --source show what the compiler makes of it instead.
    Everything is shown for the --size given, or for any size."""
    from intaglio.runtime.training import named_function

    compiled = kernels or memory or explain or source
    if compiled and (style != "text" or after or depth is not None):
        raise click.UsageError(
            "--kernels, --memory, --explain and --source go without --format, --after and --depth"
        )
    if style == "json" and depth is not None:
        raise click.UsageError("--format json has all operations: it goes without --depth")
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
        if style == "text" and depth is None and after is None:
            depth = text_depth(functions)
        text = rendered(os.path.basename(model), functions, state, style, depth)
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


def text_depth(functions: Sequence[Function]) -> int | None:
    """How deep text goes by itself: a summary by module of a large program, which is told."""
    count = sum(len(f.graph.nodes) for f in functions)
    if count <= LONG:
        return None
    tell(f"{count} operations, shown by module; --depth all prints them, --depth N goes deeper")
    return SUMMARY


def rendered(
    title: str,
    functions: Sequence[Function],
    state: Mapping[str, State],
    style: str,
    depth: int | None,
) -> str:
    """Functions, and the state to be shown with them, in one of the formats; None leaves it to the
    size of a drawing how deep it goes."""
    from intaglio.compiler.ir import Program

    if style == "text":
        if depth is not None and depth != ALL:
            from intaglio.tools.summary import summary

            return "\n\n".join(summary(f, depth) for f in functions) + "\n"
        from intaglio.compiler.text import print_program

        program = Program({f.name: f for f in functions}, state)
        return safe_lines(print_program(program)) + "\n"
    if style == "json":
        from intaglio.tools.jsontext import program_json

        return program_json(functions, state)
    from intaglio.tools.diagram import diagram, fitting_depth

    drawn = []
    for function in functions:
        deep = fitting_depth(function) if depth is None else None if depth == ALL else depth
        if depth is None and deep is not None:
            tell(f"{function.name} is drawn to the depth {deep}; --depth all draws everything")
        drawn.append(diagram(function, deep))
    if style == "html":
        from intaglio.tools.page import page

        return page(title, functions, drawn, state)
    if style == "dot":
        from intaglio.tools.dot import dot

        return dot(drawn)
    from intaglio.tools.drawing import svg

    return svg(drawn)


def write(text: str, output: str | None) -> None:
    """To a file, or to standard output."""
    if output is None:
        sys.stdout.write(text)
        return
    with replacing(output) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    click.echo(f"wrote {safe(output)}", err=True)
