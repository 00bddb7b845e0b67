"""A small program for the command line's tests: linear regression with a training step, built
without the front end."""

from pathlib import Path

import numpy as np

import intaglio.compiler.ops  # noqa: F401  # fills the registry of ops
from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.dtypes import float32, int64
from intaglio.compiler.ir import Function, Program, State, Value
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where
from intaglio.runtime.file import write

FEATURES, CLASSES = 5, 3
TYPES = {
    "w": TensorType(float32, (FEATURES, CLASSES)),
    "b": TensorType(float32, (CLASSES,)),
    "optim.lr": TensorType(float32, ()),
    "optim.steps": TensorType(int64, ()),
}
KINDS = {"w": "parameter", "b": "parameter", "optim.lr": "hyperparameter",
         "optim.steps": "optimizer"}  # fmt: skip
DICT = ("dict", ("loss",), ("*",))


def scores(g: Builder, x: Value, w: Value, b: Value) -> Value:
    n = x.type.shape[0]
    bias = g.expand(b, shape=(n, CLASSES), axes=(1,))
    made: Value = g.add(g.matmul(x, w), bias)
    return made


def forward(rows: Size, where: Where) -> Function:
    g = Builder()
    g.places = (where,)
    x = g.input(TensorType(float32, (rows, FEATURES)), "x")
    w, b = g.input(TYPES["w"], "w"), g.input(TYPES["b"], "b")
    return Function(
        "forward", g.graph([scores(g, x, w, b)]), ("x",), ("",), ("w", "b"),
        parameters=("x",), input_structure=("tuple", ("*",)),
    )  # fmt: skip


def loss_of(g: Builder, x: Value, t: Value, w: Value, b: Value) -> tuple[Value, Value]:
    """The loss (half the sum of squares) and the derivative by the scores."""
    off = g.sub(scores(g, x, w, b), t)
    total = g.sum(g.mul(off, off), axes=(0, 1))
    return g.mul(total, g.full(0.5, float32)), off


def evaluate(rows: Size, where: Where) -> Function:
    g = Builder()
    g.places = (where,)
    x = g.input(TensorType(float32, (rows, FEATURES)), "x")
    t = g.input(TensorType(float32, (rows, CLASSES)), "t")
    w, b = g.input(TYPES["w"], "w"), g.input(TYPES["b"], "b")
    loss, _ = loss_of(g, x, t, w, b)
    return Function(
        "eval", g.graph([loss]), ("x", "t"), ("loss",), ("w", "b"), parameters=("x", "t"),
        input_structure=("tuple", ("*", "*")), output_structure=DICT,
        training=(("", False),),
    )  # fmt: skip


def train_step(rows: Size, where: Where) -> Function:
    g = Builder()
    g.places = (where,)
    x = g.input(TensorType(float32, (rows, FEATURES)), "x")
    t = g.input(TensorType(float32, (rows, CLASSES)), "t")
    w, b, lr, steps = (g.input(type, name) for name, type in TYPES.items())
    loss, off = loss_of(g, x, t, w, b)
    dw, db = g.matmul(g.permute(x, axes=(1, 0)), off), g.sum(off, axes=(0,))
    new_w = g.sub(w, g.mul(dw, g.expand(lr, shape=dw.type.shape, axes=())))
    new_b = g.sub(b, g.mul(db, g.expand(lr, shape=db.type.shape, axes=())))
    outputs = [loss, new_w, new_b, g.add(steps, g.full(1, int64))]
    return Function(
        "train_step", g.graph(outputs), ("x", "t"), ("loss",), tuple(TYPES),
        ("w", "b", "optim.steps"), parameters=("x", "t"), input_structure=("tuple", ("*", "*")),
        output_structure=DICT, training=(("", True),),
    )  # fmt: skip


def program(rows: Size | None = None, file: str = "net.py", scope: str = "Net.a") -> Program:
    """The three functions over the state; `rows` is the batch size, any by default."""
    size = Dim("n", min=1, max=4096) if rows is None else rows
    where = Where(file, 12, scope)
    made = [make(size, where) for make in (forward, evaluate, train_step)]
    state = {name: State((name,), type, KINDS[name]) for name, type in TYPES.items()}
    return Program({f.name: f for f in made}, state)


def values() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {
        "w": random.standard_normal((FEATURES, CLASSES)).astype(np.float32),
        "b": np.zeros(CLASSES, np.float32),
        "optim.lr": np.array(0.002, np.float32),
        "optim.steps": np.array(0, np.int64),
    }


def save(path: Path, rows: Size | None = None, **names: str) -> Path:
    write(str(path), program(rows, **names), values(), {"data": "made up"})
    return path


def data(rows: int = 100, dtype: type = np.float32) -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    teacher = random.standard_normal((FEATURES, CLASSES))
    x = random.standard_normal((rows, FEATURES))
    t = x @ teacher + 0.5
    return {"x": x.astype(dtype), "t": t.astype(dtype)}
