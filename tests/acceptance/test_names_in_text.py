"""No string that can enter a program reaches the text: 40 payloads, in every place at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.compiler.ir import Function, Graph, Node, Program, State, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.where import Where
from intaglio.runtime.compile import optimised
from intaglio.runtime.file import read, write

PAYLOADS = (
    '"); system("id"); //',
    "*/ int x; /*",
    "/* ",
    "*/",
    "//",
    "\\",
    "x\\\nint y;",
    "\n",
    "\r",
    "\r\n",
    "\nint main(void){return 1;}\n",
    '"',
    "'",
    '\\"',
    "%s%n%n",
    "??/",
    "??/\n#include <stdio.h>",
    "\x00",
    "\x1b[31m",
    "\u202e",
    "\u2028int z;",
    "é",
    "名前",
    "🔥",
    "#include </etc/passwd>",
    "\n#include </etc/passwd>\n",
    "#define float int",
    "\n#pragma GCC poison float\n",
    '__asm__("hlt")',
    "}{",
    ");",
    "int",
    "main",
    "k0",
    "v1",
    "ig_f0",
    "IG_HEAD",
    "a" * 5000,
    "../../etc/passwd",
    "$(touch x)`touch x`",
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(6, 8), nn.Linear(8, 3)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return self.out(F.gelu(F.layer_norm(self.table(x), 8)))


def program() -> tuple[Program, dict[str, np.ndarray]]:
    model = Net()
    opt = optim.Adam(model.parameters())

    def step(x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        opt.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        opt.step()
        return loss

    n = ig.Dim("n", max=64)
    i = ig.spec((n,), ig.int64)
    made = ig.trace(model.eval(), i).trace("step", step, i, i)
    return made.ir, made.state


def renamed_graph(graph: Graph, text: str) -> Graph:
    """The graph with every hint, place and string attribute replaced."""
    here = {v: Value(v.type, text) for v in graph.inputs}
    nodes = []
    for node in graph.nodes:
        made = [Value(v.type, text) for v in node.outputs]
        attributes = {
            k: text if isinstance(a, str) else renamed_graph(a, text) if isinstance(a, Graph) else a
            for k, a in node.attributes.items()
        }
        where = tuple(Where(text, w.line, text, w.gradient) for w in node.where)
        nodes.append(Node(node.op, [here[v] for v in node.inputs], made, attributes, where))
        here.update(zip(node.outputs, made, strict=True))
    return Graph(
        tuple(here[v] for v in graph.inputs), tuple(nodes), tuple(here[v] for v in graph.outputs),
        graph.constraints,
    )  # fmt: skip


def renamed(given: Program, text: str) -> Program:
    """The program with every name replaced: functions, arguments, results, parameters, states."""
    names = {s: f"{text}{k}" for k, s in enumerate(given.state)}
    functions = {}
    for k, f in enumerate(given.functions.values()):
        name = f"{text}{k}"
        functions[name] = replace(
            f,
            name=name,
            graph=renamed_graph(f.graph, text),
            arguments=tuple(f"{text}{j}" for j in range(len(f.arguments))),
            results=tuple(f"{text}{j}" for j in range(len(f.results))),
            parameters=tuple(f"{text}{j}" for j in range(len(f.parameters))),
            reads=tuple(names[s] for s in f.reads),
            updates=tuple(names[s] for s in f.updates),
            training=tuple((text, on) for _, on in f.training),
        )
    state = {names[s]: State((names[s],), d.type, d.kind) for s, d in given.state.items()}
    return Program(functions, state)


def texts(function: Function, target: str) -> tuple[str, ...]:
    return lower(optimised(function.graph, None), target=target).sources


@pytest.fixture(scope="module")
def plain() -> tuple[Program, dict[str, np.ndarray], dict[str, list[tuple[str, ...]]]]:
    given, values = program()
    targets = ("c", "cuda")
    return given, values, {t: [texts(f, t) for f in given.functions.values()] for t in targets}


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_text_does_not_depend_on_names(number: int, plain: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    given, values, expected = plain
    evil = renamed(given, PAYLOADS[number])
    if number % 8 == 0:  # through a file as well
        write(tmp_path / "m.ig", evil, dict(zip(evil.state, values.values(), strict=True)))
        evil = read(tmp_path / "m.ig").program
    functions = list(evil.functions.values())
    assert len(functions) == 2
    for target in ("c", "cuda") if number % 4 == 0 else ("c",):
        for function, text in zip(functions, expected[target], strict=True):
            assert texts(function, target) == text


def test_there_are_forty_payloads() -> None:
    assert len(set(PAYLOADS)) == 40
