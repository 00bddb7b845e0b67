"""Programs that the tests of the file format write and read: a convolution by hand, attention in a
scan, and a training program with every kind of attribute, size and state."""

import numpy as np

import intaglio.compiler.ops  # noqa: F401  # fills the registry
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import boolean, float32, int64
from intaglio.compiler.ir import Function, Graph, Program, State, Value
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.gradient import gradient
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where

Values = dict[str, np.ndarray]


def f32(*shape: int | Dim) -> TensorType:
    return TensorType(float32, shape)


def at(g: Builder, line: int, scope: str = "Net") -> None:
    g.places = (Where("net.py", line, scope),)


def filled(program: Program) -> Values:
    """A value for each state, the same for ever."""
    found = {}
    for name, state in program.state.items():
        shape, dtype = state.type.shape, state.type.dtype
        numbers = np.arange(np.prod(shape, dtype=int)) * 7919 % 1009
        numbers = numbers % 2 if dtype.kind != "f" else (numbers - 500) / 256
        found[name] = numbers.reshape(shape).astype(dtype.numpy)
    return found


def function(name: str, graph: Graph, arguments: list[str], results: list[str], **more) -> Function:
    leaves = tuple("*" for _ in results)
    nested = "*" if len(results) == 1 else ("dict", tuple(results), leaves)
    return Function(
        name,
        graph,
        tuple(arguments),
        tuple(results),
        parameters=tuple(arguments),
        input_structure=("tuple", tuple("*" for _ in arguments)),
        output_structure=nested,
        **more,
    )


def convolution() -> Program:
    """A 1-d convolution as a sum of shifted products: slices, padding, expanding, reductions."""
    g, n = Builder(), Dim("n", max=4096)
    x, w = g.input(f32(n, 16)), g.input(f32(3))
    at(g, 3, "Net.conv")
    padded = g.pad(x, low=(0, 1), high=(0, 1), value=0.0)
    total = g.full(0.0, float32, (n, 16))
    for k in range(3):
        at(g, 4 + k, "Net.conv")
        part = g.slice(padded, starts=(0, k), stops=(n, k + 16), steps=(1, 1))
        weight = g.reshape(g.slice(w, starts=(k,), stops=(k + 1,), steps=(1,)), shape=())
        total = g.add(total, g.mul(part, g.expand(weight, shape=(n, 16), axes=())))
    out = g.max(g.maximum(total, g.like(0.0, total)), axes=(1,))
    states = {"conv.weight": State(("conv.weight", "tied.weight"), f32(3))}
    forward = function("forward", g.graph([out]), ["x"], ["y"], reads=("conv.weight",))
    return Program({"forward": forward}, states)


def attention() -> Program:
    """Attention over symbolic lengths, a table of embeddings, a big and a small literal, a scan."""
    g, n = Builder(), Dim("n", max=8)
    ids, table = g.input(TensorType(int64, (n,))), g.input(f32(11, 8))
    at(g, 10, "Net.embed")
    x = g.take(table, ids, axis=0)
    scores = g.matmul(x, g.permute(x, axes=(1, 0)))
    at(g, 12, "Net.attention")
    mask = g.slice(
        g.constant(np.tril(np.ones((8, 8), np.float32))), starts=(0, 0), stops=(n, n), steps=(1, 1)
    )
    weights = g.exp(g.mul(scores, mask))
    y = g.matmul(weights, x)
    at(g, 14, "Net.recurrent")
    b = Builder()
    h, row = b.input(f32(8)), b.input(f32(8))
    scale = b.constant(np.float32(0.5))
    at(b, 15, "Net.recurrent")
    new = b.tanh(b.add(h, b.mul(row, b.expand(scale, shape=(8,), axes=()))))
    body = b.graph([new, b.neg(new)])
    start = g.constant(np.zeros(8, np.float32))
    last, steps = g.scan(start, y, body=body, carries=1, xs=1, length=n, reverse=False)
    doubled = g.concat(steps, steps, axis=0)
    states = {"embed.weight": State(("embed.weight",), f32(11, 8))}
    graph = g.graph([last, doubled])
    forward = function("forward", graph, ["ids"], ["last", "steps"], reads=("embed.weight",))
    return Program({"forward": forward}, states)


def training() -> Program:
    """A step of gradient descent on a layer with dropout, beside its evaluation, over shared
    state."""
    n = Dim("n", max=1024)
    x, t = TensorType(float32, (n, 4)), TensorType(float32, (n, 3))
    states = {
        "w": State(("w",), f32(4, 3)),
        "b": State(("b",), f32(3)),
        "mask": State(("mask",), TensorType(boolean, (3,)), "buffer"),
        "optim.lr": State(("optim.lr",), f32(), "hyperparameter"),
        "seed": State(("seed",), TensorType(int64, ()), "random"),
        "draw": State(("draw",), TensorType(int64, ()), "random"),
        "nothing": State(("nothing",), f32(0, 3), "buffer"),
    }
    g = Builder()
    values = {name: g.input(type) for name, type in {"x": x, "t": t}.items()}
    values |= {name: g.input(state.type) for name, state in states.items()}
    at(g, 20, "train_step")
    loss = _loss(g, n, values)
    step = gradient(g.graph([loss]), [values["w"], values["b"]])
    g.nodes[:] = list(step.nodes)
    g.constraints[:] = list(step.constraints)
    at(g, 25, "train_step")
    new = {"draw": g.add(values["draw"], g.full(1, int64))}
    for name, dy in zip(("w", "b"), step.outputs[1:], strict=True):
        rate = g.expand(values["optim.lr"], shape=states[name].type.shape, axes=())
        new[name] = g.sub(values[name], g.mul(rate, dy))
    shared = {"reads": tuple(states), "training": (("", True), ("drop", True))}
    train = function(
        "train_step", g.graph([loss, *new.values()]), ["x", "t"], ["loss"],
        updates=tuple(new), **shared,
    )  # fmt: skip
    e = Builder()
    inputs = {name: e.input(v.type) for name, v in values.items()}
    at(e, 30, "eval")
    check = function("eval", e.graph([_loss(e, n, inputs)]), ["x", "t"], ["loss"], **shared)
    return Program({"train_step": train, "eval": check}, states)


def _loss(g: Builder, n: Dim, v: dict[str, Value]) -> Value:
    y = g.add(g.matmul(v["x"], v["w"]), g.expand(v["b"], shape=(n, 3), axes=(1,)))
    bits = g.random_bits(v["seed"], v["draw"], shape=(n, 3), word=0)
    kept = g.gt(g.cast(bits, dtype=float32), g.full(2.0**30, float32, (n, 3)))
    y = g.where(kept, y, g.like(0.0, y))
    y = g.where(g.expand(v["mask"], shape=(n, 3), axes=(1,)), y, g.neg(y))
    error = g.sub(y, v["t"])
    return g.sum(g.mul(error, error), axes=(0, 1))


ALL = {"convolution": convolution, "attention": attention, "training": training}
